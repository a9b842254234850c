"""What exact matching is compared with: the plain way, and the published implementation's faster path.

Each takes an activation file, a layer and how many samples, threads or processes, and returns the
matched inner products of all pairs i < j, or of every so many of them, float64, and the seconds that took.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MOST_PAIRS = 2000  # that OR-tools is timed on
Timed = tuple[NDArray[np.float64], float]


def positions_of(path: Path, layer: str) -> NDArray[np.float32]:
    """Return the position vectors of all samples, (n, S, C), of maps (n, c, h, w) or tokens (n, t, d)."""
    with h5py.File(path) as file:
        maps = file[layer][:].astype(np.float32)
    if maps.ndim == 3:
        return maps
    return np.ascontiguousarray(maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1))


def scipy_on_raw_products(path: Path, layer: str, n: int, workers: int) -> Timed:
    """Match the plain way: float32 products as they are, SciPy, in threads. Reading is timed."""
    began = time.perf_counter()
    positions = positions_of(path, layer)

    def solve(pair: tuple[int, int]) -> float:
        affinity = positions[pair[0]] @ positions[pair[1]].T
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        return affinity[rows, columns].sum(dtype=np.float64)

    with ThreadPoolExecutor(workers) as pool:
        matched = np.array(list(pool.map(solve, combinations(range(n), 2))))
    return matched, time.perf_counter() - began


def ortools_on_integers(path: Path, layer: str, n: int, workers: int) -> Timed:
    """Match as the published code's faster exact path does: OR-tools on affinities times 1000, as integers.

    In processes, which read the file before the clock starts. Of many pairs some are taken.
    """
    pairs = np.array(list(combinations(range(n), 2)))
    pairs = pairs[:: -(-len(pairs) // MOST_PAIRS)]
    parts = np.array_split(pairs, min(len(pairs), 32 * workers))
    arguments = (get_context("spawn"), _open, (str(path), layer))
    with ProcessPoolExecutor(workers, *arguments) as pool:
        list(pool.map(_match, [pairs[:1]] * 4 * workers))  # all processes are up
        began = time.perf_counter()
        matched = np.concatenate(list(pool.map(_match, parts)))
        return matched, time.perf_counter() - began


BASELINES: dict[str, Callable[[Path, str, int, int], Timed]] = {
    "SciPy on raw products": scipy_on_raw_products,
    "OR-tools on integers": ortools_on_integers,
}

_positions: NDArray[np.float32]


def _open(path: str, layer: str) -> None:
    global _positions
    _positions = positions_of(Path(path), layer)


def _match(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([_value(_positions[i], _positions[j]) for i, j in pairs])


def _value(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment

    affinity = x @ y.T
    S = len(x)
    rows, columns = (part.ravel().astype(np.int32) for part in np.indices((S, S)))
    problem = SimpleLinearSumAssignment()
    problem.add_arcs_with_cost(rows, columns, -(affinity * 1000).astype(np.int64).ravel())
    if problem.solve() != problem.OPTIMAL:
        raise RuntimeError("OR-tools found no matching")
    mates = [problem.right_mate(s) for s in range(S)]
    return affinity[np.arange(S), mates].sum(dtype=np.float64)
