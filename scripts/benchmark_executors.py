#!/usr/bin/env python3
"""Times where tiles are matched: two threads, two processes, two Dask workers, in turn, in one run.

The real ResNet18 maps, taken so many times over that a run takes ten seconds. What is timed is
matching, as the report says: reading, preparing, matching and writing tiles, from the moment when a
process is ready; starting processes and finishing the file are excluded, and the seconds of the
whole call are printed beside. Each process has one BLAS thread for each of its threads. Each row is
appended to scripts/benchmark_results.csv: the median, 20 % and 80 % quantiles of the repeats.

Example: .venv/bin/python scripts/benchmark_executors.py --repeats 3
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch are loaded: they ask once

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_cases import Case, write_case
from benchmark_rows import append_row

import semrsm

CASES = (
    Case("layer4", samples=24, copies=40, repeats=0),
    Case("layer3", samples=24, copies=12, repeats=0),
)
EXECUTORS: dict[str, dict[str, Any]] = {
    "2 threads": {"threads": 2},
    "--workers 2": {"workers": 2},
    "--dask local:2": {"dask": "local:2"},
}


def time_case(
    case: Case, repeats: int
) -> tuple[dict[str, list[tuple[float, float]]], tuple[int, int]]:
    """Return (pairs per second, seconds of the call) of each repeat, by executor, and (S, C)."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in EXECUTORS}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "dump.h5", Path(folder) / "out.rsm.h5"
        shape = write_case(case, path)
        for _ in range(repeats):
            for name, options in EXECUTORS.items():
                began = time.perf_counter()
                report = semrsm.compute(path, out, kernel="linear", overwrite=True, **options)
                seconds = time.perf_counter() - began
                found[name].append((report.layers[0].pairs_per_second, seconds))
    return found, shape


def main() -> None:
    """Time the cases and print a line for each executor."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layer", choices=[case.layer for case in CASES])
    arguments = parser.parse_args()
    print("layer\texecutor\tpairs\tpairs_per_second\tratio_to_threads\tseconds_of_the_call")
    for case in [c for c in CASES if arguments.layer in (None, c.layer)]:
        found, shape = time_case(case, arguments.repeats)
        threads = np.array([rate for rate, _ in found["2 threads"]])
        for name, timed in found.items():
            rates, seconds = (np.array(values) for values in zip(*timed, strict=True))
            append_row(case, f"compute -m optimal, {name}", "native", rates.tolist(), *shape)
            ratio, call = np.median(rates / threads), np.median(seconds)
            print(
                case.layer,
                name,
                case.pairs,
                f"{np.median(rates):.4g}",
                f"{ratio:.3f}",
                f"{call:.1f}",
                sep="\t",
                flush=True,
            )


if __name__ == "__main__":
    main()
