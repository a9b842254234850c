#!/usr/bin/env python3
"""Times `semrsm compare` of two RSM files of n samples and measures the memory it takes.

The files hold one layer each, the cosine kernel of random vectors, written through semrsm's own writer.
The command runs in a process of its own, start of Python included. A row for each run is appended to
scripts/benchmark_results.csv: `pairs` is n (n - 1) / 2, the rates are those pairs over the seconds of the
repeats, and the peak of resident memory stands in the column `solver`.

Example: .venv/bin/python scripts/benchmark_compare.py --samples 10000
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from benchmark_cases import ROOT
from benchmark_rows import COLUMNS, RESULTS, processor

from semrsm.compute.run_report import versions
from semrsm.engine.kernels import KERNELS
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import writing

MEASURES = ("cka-debiased", "rsa-spearman")
CHANNELS = 64
ROWS = 512  # and columns of the RSM that are made at once


def write_rsms(files: list[Path], n: int) -> None:
    """Write the RSM files of random vectors and of the same with as much noise."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, CHANNELS))
    for path in files:
        write_rsm(path, vectors)
        vectors = vectors + rng.normal(size=vectors.shape)


def write_rsm(path: Path, vectors: np.ndarray) -> None:
    """Write the RSM file of (n, C) float64 vectors, block by block."""
    n = len(vectors)
    norms = np.einsum("nc,nc->n", vectors, vectors)
    with writing(path) as writer:
        writer.metadata["layers"] = ["layer"]
        info = LayerInfo("layer", "identity", "nd", 1, CHANNELS, n, n, "symmetric")
        layer = writer.layer(info)
        layer.write_squared_norms(norms, norms)
        for row in range(0, n, ROWS):
            for column in range(row, n, ROWS):
                block = vectors[row : row + ROWS] @ vectors[column : column + ROWS].T
                layer.write_matched(row, column, block)
        finish = KERNELS["cosine"].finish
        blocks = (
            (row, finish(block, norms[row : row + len(block)], norms, None))
            for row, block in layer.matched_rows()
        )
        layer.write_kernel("cosine", None, blocks)


def run(files: list[Path], memory: str | None) -> tuple[float, float, str]:
    """Return seconds, peak of resident memory in GiB, and the table of one run of the command."""
    command = "from semrsm.cli import main; main()"
    flags = [flag for measure in MEASURES for flag in ("--measure", measure)]
    flags += ["--memory", memory] if memory else []
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", command, "compare", *map(str, files), *flags],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    table = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(f"semrsm compare failed with status {status}")
    return seconds, usage.ru_maxrss / 2**20, table


def record(n: int, seconds: list[float], peak: float, memory: str | None) -> None:
    """Append a row to the results."""
    pairs = n * (n - 1) // 2
    p20, median, p80 = np.quantile([pairs / s for s in seconds], [0.2, 0.5, 0.8])
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    fresh = not RESULTS.exists()
    with RESULTS.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(
            {
                "date": datetime.now(UTC).date().isoformat(),
                "commit": commit.stdout.strip(),
                "machine": f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
                "device": "cpu",
                "versions": " ".join(f"{name}={version}" for name, version in versions().items()),
                "benchmark": f"compare {' '.join(MEASURES)}, --memory {memory or 'default'},"
                f" median {np.median(seconds):.1f} s",
                "layer": f"n={n}",
                "S": 1,
                "C": CHANNELS,
                "pairs": pairs,
                "solver": f"peak {peak:.2f} GiB",
                "pairs_per_second_median": f"{median:.4g}",
                "p20": f"{p20:.4g}",
                "p80": f"{p80:.4g}",
            }
        )


def main() -> None:
    """Make the files, run the command, print and record what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--memory", help="given to the command")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("a.rsm.h5", "b.rsm.h5")]
        # In a process of its own: a child's peak is never less than what its parent holds.
        writer = get_context("spawn").Process(target=write_rsms, args=(files, arguments.samples))
        writer.start()
        writer.join()
        runs = [run(files, arguments.memory) for _ in range(arguments.repeats)]
    print(runs[0][2], end="")
    seconds, peak = [r[0] for r in runs], max(r[1] for r in runs)
    record(arguments.samples, seconds, peak, arguments.memory)
    load = os.getloadavg()[0]
    print(f"median {np.median(seconds):.1f} s, peak {peak:.2f} GiB, load {load:.1f}")


if __name__ == "__main__":
    main()
