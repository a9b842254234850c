#!/usr/bin/env python3
"""Times `semrsm compare` of two RSM files of n samples and measures the memory it takes.

The files hold one layer each, the cosine kernel of random vectors, written through semrsm's own writer;
with --plain they are .npy files, float32. The command runs in a process of its own, start of Python included.
A row for each run is appended to scripts/benchmark_results.csv: `pairs` is n (n - 1) / 2, the rates are those
pairs over the seconds of the repeats, and the peak of resident memory and the seconds of the processor stand
in the column `solver`. A measure that is refused for its memory has its sentence printed, and no row.

Example: .venv/bin/python scripts/benchmark_compare.py --samples 10000 --memory 4GiB --each --measure cka nbs
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
        layer.create_kernel("cosine", None)
        finish = KERNELS["cosine"].finish
        for row in range(0, n, ROWS):
            block = vectors[row : row + ROWS] @ vectors.T
            own = np.arange(len(block))
            block[own, row + own] = norms[row : row + ROWS]
            layer.write_matched(row, block)
            layer.write_kernel("cosine", row, finish(block, norms[row : row + ROWS], norms, None))


def write_plain(files: list[Path], n: int) -> None:
    """Write the cosine RSMs of random vectors and of the same with as much noise as .npy, float32."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, CHANNELS))
    for path in files:
        unit = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (n, n))
        for row in range(0, n, ROWS):
            matrix[row : row + ROWS] = unit[row : row + ROWS] @ unit.T
        matrix.flush()
        vectors = vectors + rng.normal(size=vectors.shape)


@dataclass(frozen=True)
class Run:
    """One run of the command: what it took, and its table; None where it was refused."""

    seconds: float
    processor_seconds: float
    peak_gib: float
    table: str | None


def run(files: list[Path], measures: Sequence[str], memory: str | None) -> Run:
    """Run the command."""
    command = "from semrsm.cli import main; main()"
    flags = [flag for measure in measures for flag in ("--measure", measure)]
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
    processor_seconds = usage.ru_utime + usage.ru_stime
    return Run(seconds, processor_seconds, usage.ru_maxrss / 2**20, None if status else table)


def record(n: int, runs: Sequence[Run], measures: Sequence[str], memory: str | None) -> None:
    """Append a row to the results."""
    pairs, seconds = n * (n - 1) // 2, [run.seconds for run in runs]
    busy, peak = min(run.processor_seconds for run in runs), max(run.peak_gib for run in runs)
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
                "benchmark": f"compare {' '.join(measures)}, --memory {memory or 'default'},"
                f" median {np.median(seconds):.1f} s",
                "layer": f"n={n}",
                "S": 1,
                "C": CHANNELS,
                "pairs": pairs,
                "solver": f"peak {peak:.2f} GiB, processor {busy:.0f} s",
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
    parser.add_argument("--measure", nargs="+", default=list(MEASURES))
    parser.add_argument("--each", action="store_true", help="one run for each measure")
    parser.add_argument("--plain", action="store_true", help="plain matrices, .npy, no RSM files")
    arguments = parser.parse_args()
    together = [[name] for name in arguments.measure] if arguments.each else [arguments.measure]
    with tempfile.TemporaryDirectory() as folder:
        names = ("a.npy", "b.npy") if arguments.plain else ("a.rsm.h5", "b.rsm.h5")
        files = [Path(folder) / name for name in names]
        # In a process of its own: a child's peak is never less than what its parent holds.
        write = write_plain if arguments.plain else write_rsms
        writer = get_context("spawn").Process(target=write, args=(files, arguments.samples))
        writer.start()
        writer.join()
        for measures in together:
            runs = [run(files, measures, arguments.memory) for _ in range(arguments.repeats)]
            if runs[0].table is None:
                continue
            print(runs[0].table, end="")
            record(arguments.samples, runs, measures, arguments.memory)
            median, busy = (
                float(np.median([getattr(r, name) for r in runs]))
                for name in ("seconds", "processor_seconds")
            )
            peak, load = max(r.peak_gib for r in runs), os.getloadavg()[0]
            print(
                f"median {median:.1f} s, of the processor {busy:.1f} s, peak {peak:.2f} GiB,"
                f" load {load:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
