#!/usr/bin/env python3
"""Times exact matching against "SciPy on raw products" on the real ResNet18 maps, in turn, in one run.

Both read the same samples of the same HDF5 file and give the matched inner products of all pairs, in
as many threads. What is timed of semrsm is `compute -m optimal`: reading, preparing and matching, as
its report says; starting Python and writing the file are excluded. Each thread has one BLAS thread,
on both sides. The 24 samples of the small layers are taken several times over, so that there are
enough pairs to time, every copy with other noise of 5 %. Each row is appended to
scripts/benchmark_results.csv: the median, 20 % and 80 % quantiles of the repeats.

The environment variable SEMRSM_NATIVE_TARGET chooses the native core for another kind of processor
(avx2, baseline), or none.

Example: .venv/bin/python scripts/benchmark_matchers.py --threads 2
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch are loaded: they ask once

import argparse
import csv
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import linear_sum_assignment

import semrsm
from semrsm.compute.run_report import versions
from semrsm.engine import native

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "scripts" / "benchmark_results.csv"
DATA = Path(os.environ.get("SEMRSM_SHARED_DATA", ROOT.parent / "shared" / "data"))
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


NOISE = 0.05  # by which the copies of a sample differ, of every value


@dataclass(frozen=True)
class Case:
    """A layer, how many of its samples are taken how many times over, and how often each side is timed."""

    layer: str
    samples: int
    copies: int
    repeats: int

    @property
    def n(self) -> int:
        """Samples in the file that is timed."""
        return self.samples * self.copies

    @property
    def pairs(self) -> int:
        """Pairs that are solved."""
        return self.n * (self.n - 1) // 2


# A pair of layer1 takes SciPy 23 s, so few are taken there.
CASES = {
    c.layer: c
    for c in (
        Case("layer4", samples=24, copies=20, repeats=3),
        Case("layer3", samples=24, copies=5, repeats=3),
        Case("layer2", samples=24, copies=1, repeats=3),
        Case("layer1", samples=4, copies=1, repeats=1),
    )
}


def scipy_on_raw_products(path: Path, layer: str, n: int, threads: int) -> np.ndarray:
    """Return m of all pairs the plain way: float32 products as they are, SciPy, float64 sums."""
    with h5py.File(path) as file:
        maps = file[layer][:n].astype(np.float32)
    positions = np.ascontiguousarray(maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1))

    def solve(pair: tuple[int, int]) -> float:
        affinity = positions[pair[0]] @ positions[pair[1]].T
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        return affinity[rows, columns].sum(dtype=np.float64)

    with ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(solve, combinations(range(n), 2))))


def write_case(case: Case, path: Path) -> None:
    """Write the samples that are timed, stored plainly."""
    with h5py.File(DATA / "resnet18_imagenet_24.h5") as source, h5py.File(path, "w") as file:
        maps = source[case.layer][: case.samples].astype(np.float32)
        copies = np.concatenate([maps] * case.copies)
        # A copy that is hardly changed would be matched again in float64.
        noise = np.random.default_rng(0).normal(1, NOISE, copies.shape).astype(np.float32)
        file.create_dataset(case.layer, data=copies * noise if case.copies > 1 else maps)


def time_case(
    case: Case, threads: int, with_baseline: bool
) -> tuple[list[float], list[float], str]:
    """Return pairs per second of each repeat, of the baseline and of semrsm, and the solver's name."""
    baseline, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "dump.h5", Path(folder) / "out.rsm.h5"
        write_case(case, path)
        for repeat in range(case.repeats + 1):
            seconds = np.inf
            if with_baseline:
                began = time.perf_counter()
                expected = scipy_on_raw_products(path, case.layer, case.n, threads)
                seconds = time.perf_counter() - began
            report = semrsm.compute(path, out, kernel="linear", threads=threads, overwrite=True)
            if with_baseline:
                rsm, _ = semrsm.read_rsm(out, kernel="linear")
                np.testing.assert_allclose(rsm[np.triu_indices(case.n, 1)], expected, rtol=1e-6)
            if repeat:  # the first is the warm-up
                baseline.append(case.pairs / seconds)  # 0 without a baseline
                ours.append(report.layers[0].pairs_per_second)
    return baseline, ours, str(report.layers[0].solver)


def record(case: Case, benchmark: str, solver: str, rates: list[float]) -> dict[str, object]:
    """Append a row of a layer of the ResNet to the results and return it."""
    with h5py.File(DATA / "resnet18_imagenet_24.h5") as file:
        _, channels, height, width = file[case.layer].shape
    return append_row(case, benchmark, solver, rates, height * width, channels)


def append_row(
    case: Case, benchmark: str, solver: str, rates: list[float], positions: int, channels: int
) -> dict[str, object]:
    """Append a row to the results and return it."""
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


def main() -> None:
    """Time the layers asked for and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--layer", action="append", choices=CASES, help="may be repeated (default: all)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-baseline", action="store_true", help="time semrsm alone")
    arguments = parser.parse_args()
    if not (DATA / "resnet18_imagenet_24.h5").exists():
        sys.exit(f"{DATA} does not exist; set SEMRSM_SHARED_DATA to the folder that holds it")
    print("layer\tS\tpairs\tscipy_raw_pairs_per_second\tsemrsm_pairs_per_second\tmedian_ratio")
    for name in arguments.layer or CASES:
        case = CASES[name]
        baseline, ours, solver = time_case(case, arguments.threads, not arguments.no_baseline)
        threads = f"{arguments.threads} threads"
        core = native.core()
        if core is not None:
            solver = f"{solver} {core.target}"
        row = record(case, f"compute -m optimal, {threads}", solver, ours)
        rate, ratio = (
            row["pairs_per_second_median"],
            np.median(np.divide(ours, baseline)) if baseline[0] else 0,
        )
        if arguments.no_baseline:
            print(name, row["S"], row["pairs"], "", rate, "", sep="\t", flush=True)
            continue
        raw = record(case, f"SciPy on raw products, {threads}", "scipy", baseline)
        raw_rate = raw["pairs_per_second_median"]
        print(name, row["S"], row["pairs"], raw_rate, rate, f"{ratio:.1f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
