#!/usr/bin/env python3
"""Computes 200 million pairs under a small `--memory` in a process of its own, and prints what that took.

20 000 samples of one position and 64 channels, seeded noise; the matcher is identity, the kernels
cosine and rbf. Appended to scripts/benchmark_results.csv: pairs per second of the whole command, with
the seconds, the peak resident size and the bytes read and written in the name. Linux only: /proc.

Example: .venv/bin/python scripts/benchmark_large.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from benchmark_cases import Case
from benchmark_rows import append_row

CHANNELS = 64
MEASURED = """
import json, resource
from semrsm.cli import app
app(standalone_mode=False)
counted = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"peak": peak, "read": int(counted["rchar"]), "written": int(counted["wchar"])}))
"""


def write_layer(path: Path, n_samples: int) -> None:
    """Write the layer."""
    rng = np.random.default_rng(20241)
    x = rng.standard_normal((n_samples, 1, CHANNELS), np.float32)
    with h5py.File(path, "w") as file:
        file["layer"] = x + rng.standard_normal((n_samples, 1, 1), np.float32)


def main() -> None:
    """Write the layer, compute it, print and record what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--samples", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "dump.h5"
        write_layer(dump, arguments.samples)
        options = ["-o", f"{dump}.rsm.h5", "-m", "identity", "-k", "cosine", "-k", "rbf"]
        command = ["compute", str(dump), *options, "--memory", arguments.memory]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *command], check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    name = (
        f"compute -m identity -k cosine -k rbf --memory {arguments.memory}, {seconds:.0f} s, peak"
        f" {found['peak'] / 2**30:.2f} GiB, read {found['read'] / 1e9:.1f} GB,"
        f" written {found['written'] / 1e9:.1f} GB"
    )
    case = Case(f"n={arguments.samples}", arguments.samples, 1, 1)
    append_row(case, name, "", [case.pairs / seconds], positions=1, channels=CHANNELS)
    print(name)


if __name__ == "__main__":
    main()
