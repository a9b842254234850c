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
import tempfile
from pathlib import Path

import numpy as np
from benchmark_commands import CHANNELS, in_a_process, measure

from semrsm.engine.kernels import KERNELS
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import writing

MEASURES = ("cka-debiased", "rsa-spearman")
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
        in_a_process(write_plain if arguments.plain else write_rsms, files, arguments.samples)
        memory = [f"--memory={arguments.memory}"] if arguments.memory else []
        for measures in together:
            flags = [f"--measure={name}" for name in measures] + memory
            what = f"compare {' '.join(measures)}, --memory {arguments.memory or 'default'}"
            measure(["compare", *files, *flags], arguments.repeats, arguments.samples, what)


if __name__ == "__main__":
    main()
