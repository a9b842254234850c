"""The rows of scripts/benchmark_results.csv: what was timed, where, and how fast it was."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from benchmark_cases import ROOT, Case

from semrsm.compute.run_report import versions

RESULTS = ROOT / "scripts" / "benchmark_results.csv"
COLUMNS = (
    "date",
    "commit",
    "machine",
    "device",
    "versions",
    "benchmark",
    "layer",
    "S",
    "C",
    "pairs",
    "solver",
    "pairs_per_second_median",
    "p20",
    "p80",
)


def append_row(
    case: Case, benchmark: str, solver: str, rates: Sequence[float], positions: int, channels: int
) -> dict[str, object]:
    """Append a row, with the median and the 20 % and 80 % quantiles of the rates, and return it."""
    p20, median, p80 = np.quantile(rates, [0.2, 0.5, 0.8])
    row = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip(),
        "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}",
        "device": "cpu",
        "versions": " ".join(f"{name}={version}" for name, version in versions().items()),
        "benchmark": benchmark,
        "layer": case.layer,
        "S": positions,
        "C": channels,
        "pairs": case.pairs,
        "solver": solver,
        "pairs_per_second_median": f"{median:.4g}",
        "p20": f"{p20:.4g}",
        "p80": f"{p80:.4g}",
    }
    fresh = not RESULTS.exists()
    with RESULTS.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    return row


def processor() -> str:
    """Return the processor's model."""
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
