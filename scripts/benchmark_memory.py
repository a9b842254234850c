#!/usr/bin/env python3
"""Computes a 4 GB HDF5 layer under `--memory 1GiB` in a process of its own and prints its peak memory.

The layer is (1024, 64, 128, 128) float32 of seeded noise, 4.29 GB, in a temporary file of that size;
the matcher is identity. Linux only: the peak is the resident size that the system reports.

Example: .venv/bin/python scripts/benchmark_memory.py
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

SHAPE = (1024, 64, 128, 128)


def write_layer(path: Path, n_samples: int) -> None:
    """Write the layer, a few samples at a time."""
    rng = np.random.default_rng(20241)
    with h5py.File(path, "w") as file:
        layer = file.create_dataset(
            "layer", (n_samples, *SHAPE[1:]), np.float32, chunks=(1, *SHAPE[1:])
        )
        for sample in range(n_samples):
            layer[sample] = rng.standard_normal(SHAPE[1:], np.float32)


def main() -> None:
    """Write the layer, compute it, print seconds and the peak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--samples", type=int, default=SHAPE[0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump.h5"
        write_layer(dump, arguments.samples)
        command = [
            sys.executable,
            "-c",
            "from semrsm.cli import main; main()",
            "compute",
            str(dump),
        ]
        options = [
            "-o",
            str(dump.with_suffix(".rsm.h5")),
            "-m",
            "identity",
            "--memory",
            arguments.memory,
        ]
        began = time.perf_counter()
        subprocess.run([*command, *options], check=True)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(f"layer {dump.stat().st_size / 1e9:.2f} GB, --memory {arguments.memory}:", end=" ")
        print(f"{seconds:.0f} s, peak resident size {peak / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
