#!/usr/bin/env python3
"""Times `semrsm evaluate` of n samples and measures the memory it takes.

The RSM file holds one layer, the cosine kernel of random vectors: n / 2 things of two views each, n / 10
labels, and logits of 1000 classes that follow from the vectors. Each command runs in a process of its own,
start of Python included. A row for each is appended to scripts/benchmark_results.csv: `pairs` is
n (n - 1) / 2, the rates are those pairs over the seconds of the repeats, and the peak of resident memory and
the seconds of the processor stand in the column `solver`.

Example: .venv/bin/python scripts/benchmark_evaluate.py --memory 4GiB
         .venv/bin/python scripts/benchmark_evaluate.py --memory 4GiB --bootstrap 1000 --only predictions
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np
from benchmark_commands import CHANNELS, in_a_process, measure
from benchmark_compare import write_rsm

CLASSES = 1000  # of the logits


def write_inputs(folder: Path, n: int) -> None:
    """Write a.rsm.h5, and a.h5 with the labels, views and logits of its samples."""
    rng = np.random.default_rng(0)
    things = np.arange(n) // 2
    labels = rng.integers(0, max(2, n // 10), n // 2 + 1)[things]
    vectors = rng.normal(size=(labels.max() + 1, CHANNELS))[labels]
    vectors += rng.normal(size=(n // 2 + 1, CHANNELS))[things]
    vectors += rng.normal(size=(n, CHANNELS))
    write_rsm(folder / "a.rsm.h5", vectors)
    logits = vectors @ rng.normal(size=(CHANNELS, CLASSES)) / 4
    with h5py.File(folder / "a.h5", "w") as file:
        file["labels"], file["views"] = labels, things
        file["logits"] = logits.astype(np.float32)


def main() -> None:
    """Make the files, run the commands, print and record what they took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--memory", help="given to the commands")
    parser.add_argument("--bootstrap", type=int, help="given to the commands")
    parser.add_argument("--only", nargs="+", default=["retrieval", "views", "predictions"])
    arguments = parser.parse_args()
    flags = [f"--memory={arguments.memory}"] if arguments.memory else []
    flags += [f"--bootstrap={arguments.bootstrap}"] if arguments.bootstrap else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_a_process(write_inputs, folder, arguments.samples)
        known = {
            "retrieval": [f"--labels={folder}/a.h5::labels", f"--views={folder}/a.h5::views"],
            "views": [f"--views={folder}/a.h5::views"],
            "predictions": [f"--logits={folder}/a.h5::logits"],
        }
        for evaluation in arguments.only:
            command = ["evaluate", evaluation, folder / "a.rsm.h5", *known[evaluation], *flags]
            what = " ".join(["evaluate", evaluation, *flags])
            measure(command, arguments.repeats, arguments.samples, what)


if __name__ == "__main__":
    main()
