#!/usr/bin/env python3
"""Times exact matching on real maps, and beside it, in turn, in one run, what others do.

Ways: SciPy on raw products in threads; OR-tools on integers, the faster exact path of the published
code, in processes; semrsm with the native core of every kind that this processor runs, and without
one. All read the same samples of the same HDF5 file and give the matched inner products of all
pairs, in as many threads or processes, each with one BLAS thread. What is timed of semrsm is
`compute -m optimal`: reading, preparing and matching, as its report says; starting Python and
writing the file are excluded. The 24 samples of the small layers are taken several times over, so
that there are enough pairs to time, every copy with other noise of 5 %. `tokens-*` and `zeros-196`
are made, see benchmark_cases.py. Each row is appended to scripts/benchmark_results.csv: the median,
20 % and 80 % quantiles of the repeats.

Example: .venv/bin/python scripts/benchmark_matchers.py --threads 2 --layer layer4 --layer layer3
OR-tools comes with the extra `bench`: pip install '.[bench]'.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch are loaded: they ask once

import argparse
import functools
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from baselines import BASELINES, Timed
from benchmark_cases import CASES, RESNET, Case, write_case
from benchmark_rows import append_row

import semrsm
from semrsm.engine import native

SCIPY, ORTOOLS = BASELINES
CLOSE = {SCIPY: 1e-6, ORTOOLS: 1e-2}  # its integers lose digits


def ours(target: str, path: Path, layer: str, n: int, threads: int) -> Timed:
    """Match with semrsm and the native core for a kind of processor, or none."""
    os.environ[native.CHOICE] = target
    native.core.cache_clear()
    out = path.with_name("out.rsm.h5")
    report = semrsm.compute(path, out, kernel="linear", threads=threads, overwrite=True)
    rsm, _ = semrsm.read_rsm(out, kernel="linear")
    found = report.layers[0]
    return rsm[np.triu_indices(n, 1)].astype(float), found.pairs / found.pairs_per_second


def ways(names: Sequence[str]) -> dict[str, Callable[[Path, str, int, int], Timed]]:
    """Return the ways asked for, by name."""
    there = dict(BASELINES) if importlib.util.find_spec("ortools") else {SCIPY: BASELINES[SCIPY]}
    for target in (*native.targets(), "none"):
        if target != "baseline":
            there[f"semrsm {target}"] = functools.partial(ours, target)
    unknown = set(names) - set(there)
    if unknown:
        sys.exit(f"no way is named {', '.join(unknown)}; there are: {', '.join(there)}")
    return {name: there[name] for name in names or there}


def time_case(case: Case, threads: int, names: Sequence[str]) -> None:
    """Time a case in every way and print a line for each."""
    timed = ways(names)
    rates: dict[str, list[float]] = {name: [] for name in timed}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.h5"
        shape = write_case(case, path)
        for repeat in range(case.repeats + 1):
            found = {}
            for name, way in timed.items():
                if name in BASELINES and not repeat and case.repeats > 1:
                    continue  # nothing of theirs has to warm up
                found[name], seconds = way(path, case.layer, case.n, threads)
                if repeat or case.repeats == 1:  # the first is the warm-up where there are others
                    rates[name].append(len(found[name]) / seconds)
            last = found[name]
            for name, matched in found.items():
                every = -(-len(last) // len(matched))
                np.testing.assert_allclose(matched, last[::every], rtol=CLOSE.get(name, 1e-6))
    reference = rates.get(SCIPY)
    for name, measured in rates.items():
        row = append_row(case, f"compute -m optimal, {threads} threads", name, measured, *shape)
        rate = row["pairs_per_second_median"]
        ratio = f"{np.median(np.divide(measured, reference)):.1f}" if reference else ""
        print(case.layer, shape[0], case.pairs, name, rate, ratio, sep="\t", flush=True)


def main() -> None:
    """Time the layers asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--layer", action="append", choices=CASES, help="may be repeated (default: all)"
    )
    parser.add_argument("--way", action="append", default=[], help="may be repeated (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not RESNET.exists():
        sys.exit(f"{RESNET} does not exist; set SEMRSM_SHARED_DATA to the folder that holds it")
    print("layer\tS\tpairs\tway\tpairs_per_second\tratio_to_scipy")
    for name in arguments.layer or CASES:
        time_case(CASES[name], arguments.threads, arguments.way)


if __name__ == "__main__":
    main()
