"""Time and memory of a measure on two float32 RSMs: `python scripts/benchmark_measures.py NAME N`.

Prints name, n, value, seconds and the peak memory of the whole process in GiB, tab-separated.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from semrsm.measures import MEASURES
from semrsm.names import look_up


def main(name: str, n: int) -> None:
    """Measure two related Gaussian RSMs of n samples in memory."""
    draws = np.random.default_rng(0)
    x = draws.standard_normal((n, 64), dtype=np.float32)
    y = x + draws.standard_normal((n, 64), dtype=np.float32)
    K, L = x @ x.T, y @ y.T
    start = time.perf_counter()
    value = look_up(MEASURES, name, "measure")(K, L)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(name, n, f"{value:.6f}", f"{seconds:.2f}", f"{peak:.2f}", sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
