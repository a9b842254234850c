"""The readable reference of triton_sap: the same algorithm for one pair, in NumPy and float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]
FIRST_EPS = 0.25


@dataclass(frozen=True)
class Solution:
    """An optimal assignment of one pair.

    Attributes:
        permutation: (S,) int64, row s belongs with column permutation[s].
        u: (S,) float64, row potentials.
        v: (S,) float64, column potentials: u_s + v_t >= A[s,t], with equality where matched.
        scans: How many rows of A the search read; divided by S it is the K of the notes.
    """

    permutation: Indices
    u: Vector
    v: Vector
    scans: int


def solve(affinity: Vector, start: Vector | None = None) -> Solution:
    """Find the permutation p that maximises sum_s A[s, p(s)], by shortest augmenting paths.

    Three stages: column potentials v by Sinkhorn scaling, unless `start` gives them; every row asks
    for its best column, t = argmax A[s,t] - v_t, and the lowest row that asks gets it; each row
    left over is matched along the path of least total slack, u_s + v_t - A[s,t], to a free column.

    Args:
        affinity: (S, S), finite.
        start: (S,) any column potentials; good ones make the search short, none make it wrong.

    Sources: R. Jonker and A. Volgenant, Computing 38 (1987), doi:10.1007/BF02278710, for the
    augmenting paths; M. Cuturi, NeurIPS 2013, arXiv:1306.0895, for the Sinkhorn scaling.

    >>> solve(np.array([[3.0, 2.0], [3.0, 0.0]])).permutation.tolist()
    [1, 0]
    """
    affinity = np.asarray(affinity, dtype=np.float64)
    v = sinkhorn(affinity) if start is None else np.array(start, dtype=np.float64)
    row_of = _first_askers(affinity, v)
    left_over = sorted(set(range(len(v))) - set(row_of.tolist()))
    scans = sum([_augment(affinity, row, v, row_of) for row in left_over])
    permutation = np.empty(len(v), dtype=np.int64)
    permutation[row_of] = np.arange(len(v))
    u = affinity[np.arange(len(v)), permutation] - v[permutation]
    return Solution(permutation, u, v, scans)


def sinkhorn(affinity: Vector) -> Vector:
    """Return column potentials (S,) near the optimal ones, by annealed Sinkhorn scaling.

    With P[s,t] = softmax_t((A[s,t] - v_t) / eps), a column that is asked for more than once in
    total becomes dearer: v_t += eps log sum_s P[s,t]. eps falls geometrically from a quarter of the
    range of A, see `annealing`. Zeros where all affinities are equal.
    """
    eps = FIRST_EPS * np.ptp(affinity)
    v = np.zeros(affinity.shape[1])
    iterations, factor = annealing(len(v))
    for _ in range(iterations if eps > 0 else 0):
        scores = (affinity - v) / eps
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        v += eps * np.log(np.maximum(shares.sum(axis=0), 1e-30))
        eps *= factor
    return v


def annealing(S: int) -> tuple[int, float]:
    """Return how many iterations pay off for S positions, and the factor of eps between two.

    >>> annealing(49)[0], annealing(3136)[0]
    (20, 60)
    """
    iterations, last_eps = (20, 3e-4) if S <= 1024 else (60, 1e-4)
    return iterations, (last_eps / FIRST_EPS) ** (1 / (iterations - 1))


def _first_askers(affinity: Vector, v: Vector) -> Indices:
    """Return, per column, the lowest row that likes it best; -1 where no row does."""
    best = (affinity - v).argmax(axis=1)
    row_of = np.full(len(v), -1)
    for row in reversed(range(len(v))):
        row_of[best[row]] = row
    return row_of


def _augment(affinity: Vector, row: int, v: Vector, row_of: Indices) -> int:
    """Match one free row along a shortest path, in place; return how many rows were read."""
    gain = affinity[row] - v
    distance = gain.max() - gain
    parent = np.full(len(v), -1)
    is_open = np.ones(len(v), dtype=bool)
    scans = 1
    column = _nearest(distance, is_open, row_of)
    while row_of[column] >= 0:
        is_open[column] = False
        gain = affinity[row_of[column]] - v
        candidate = distance[column] + np.maximum(gain[column] - gain, 0.0)
        closer = is_open & (candidate < distance)
        distance[closer] = candidate[closer]
        parent[closer] = column
        scans += 1
        column = _nearest(distance, is_open, row_of)
    v[~is_open] += distance[column] - distance[~is_open]
    while parent[column] >= 0:
        row_of[column] = row_of[parent[column]]
        column = parent[column]
    row_of[column] = row
    return scans


def _nearest(distance: Vector, is_open: NDArray[np.bool_], row_of: Indices) -> int:
    """Return the open column of least distance: a free one before a matched one, then the first."""
    tied = np.flatnonzero(is_open & (distance == distance[is_open].min()))
    free = tied[row_of[tied] < 0]
    return int(free[0] if len(free) else tied[0])
