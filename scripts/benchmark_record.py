#!/usr/bin/env python3
"""Times recording 2 000 images through a small CNN against its bare forward pass and writing the bytes once.

The CNN has three stages of two convolutions (32, 64 and 128 channels; images of 32 x 32), each of which is
recorded in float16: 112 KiB an image. "Writing the bytes once" appends the same bytes to one plain file and
syncs it, as recording does at its end. Both write a new file. Recording once more, over the file that is
there, is timed as well. All are timed in turn, and ratios are those of one round. Rows of
scripts/benchmark_results.csv: samples per second.

Before each of them as many bytes are written and removed, so that all find memory in the same state: on a
virtual machine the first use of a page can cost more than what is written to it.

Example: .venv/bin/python scripts/benchmark_record.py
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from benchmark_cases import Case
from benchmark_rows import append_row
from torch import nn

import semrsm

BATCH = 32
AIM = 1.15  # of the forward pass plus the writing


def stage(channels: int, wider: int) -> nn.Sequential:
    """Return two convolutions; the first one halves the map but for the first stage."""
    stride = 1 if channels == 3 else 2
    return nn.Sequential(
        nn.Conv2d(channels, wider, 3, stride, 1),
        nn.BatchNorm2d(wider),
        nn.ReLU(inplace=True),
        nn.Conv2d(wider, wider, 3, 1, 1),
        nn.BatchNorm2d(wider),
        nn.ReLU(inplace=True),
    )


def forward(model: nn.Module, images: torch.Tensor) -> None:
    """Run the model, and nothing else."""
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH])


def write(batch: bytes, n_bytes: int, path: Path) -> None:
    """Write as many bytes as recording does, in batches, and sync them."""
    with path.open("wb") as stream:
        for start in range(0, n_bytes, len(batch)):
            stream.write(memoryview(batch)[: n_bytes - start])
        os.fsync(stream.fileno())


def record(model: nn.Module, images: torch.Tensor, path: Path) -> None:
    """Run the model and record its stages."""
    with semrsm.record(model, "*", path, overwrite=True), torch.inference_mode():
        for start in range(0, len(images), BATCH):
            model(images[start : start + BATCH])


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Time the three ways in turn, and print and record what they took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--no-rows", action="store_true", help="print only")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = nn.Sequential(stage(3, 32), stage(32, 64), stage(64, 128)).eval()
    n = arguments.samples
    images = torch.randn(n, 3, 32, 32)
    bytes_each = 2 * (32 * 32 * 32 + 64 * 16 * 16 + 128 * 8 * 8)
    batch = np.random.default_rng(1).bytes(bytes_each * BATCH)
    ways: dict[str, Callable[[Path], None]] = {
        "forward pass": lambda _: forward(model, images),
        "bytes once": lambda out: write(batch, n * bytes_each, out / "plain"),
        "record": lambda out: record(model, images, out / "acts.h5"),
        "record over a file": lambda out: record(model, images, out / "acts.h5"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    forward(model, images[:BATCH])
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            out = Path(folder)
            for name, way in ways.items():
                write(batch, n * bytes_each, out / "scratch")
                (out / "scratch").unlink()
                seconds[name].append(timed(functools.partial(way, out)))
    medians = {name: median(values) for name, values in seconds.items()}
    bare = [sum(both) for both in zip(seconds["forward pass"], seconds["bytes once"], strict=True)]
    case = Case(f"n={n}", n, 1, arguments.repeats)
    for name, values in seconds.items():
        what = f"record: {name}, samples/s, median {medians[name]:.2f} s"
        if name.startswith("record"):
            ratios = [value / of for value, of in zip(values, bare, strict=True)]
            low, middle, high = quantiles(ratios, n=4)
            what += f", {middle:.2f} times forward pass and bytes once"
            what += f" (half of the rounds {low:.2f} to {high:.2f})"
        print(what)
        if not arguments.no_rows:
            append_row(case, what, "", [n / value for value in values], 1, bytes_each // 2)
    print(f"aim: at most {AIM} times")


if __name__ == "__main__":
    main()
