"""Rank correlations of the pairs of samples that count several times, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats, Integers, Matrix, upper_triangle
from semrsm.measures.places import Places, places_of
from semrsm.measures.resamples import Weighted, pair_weights
from semrsm.measures.rsa import centred_ranks, compare_tau_a, compare_tau_b

STEPS = 2**16  # so many ranks are told apart; a correlation changes by less than 1e-6
CHUNK = 2**14  # pairs that are ranked at a time: they stay in the cache

Steps = NDArray[np.uint16]


def spearman_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-spearman` for counts (b, n), ranks taken anew for each of them."""
    places = _places(K, L, clusters)
    return lambda counts: np.array([places(row).spearman for row in counts])


def rho_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-rho-a` for counts (b, n); copies of a pair are no ties."""
    places = _places(K, L, clusters)
    return lambda counts: np.array([places(row).rho_a for row in counts])


def tau_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-a` for counts (b, n)."""
    return _tau(K, L, clusters, compare_tau_a)


def tau_b_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-b` for counts (b, n)."""
    return _tau(K, L, clusters, compare_tau_b)


def _places(K: Matrix, L: Matrix, clusters: Integers) -> Callable[[Floats], Places]:
    x, y = (dense_ranks(upper_triangle(M, at_least=3)) for M in (K, L))
    return places_of(x, y, clusters)


def steps(matrix: Matrix) -> Steps:
    """Return the rank of each pair among the distinct ones, (n, n), in at most STEPS steps from 0.

    Where there are more distinct pairs, neighbouring ranks share a step. The diagonal is 0.

    >>> steps(np.array([[9, 1, 5], [1, 9, 3], [5, 3, 9]])).tolist()
    [[0, 0, 2], [0, 0, 1], [2, 1, 0]]
    """
    ranks, n = dense_ranks(upper_triangle(matrix, at_least=3)), matrix.shape[0]
    last, table, at = int(ranks.max()), np.zeros((n, n), np.uint16), 0
    for i in range(n - 1):
        row = ranks[at : at + n - 1 - i]
        table[i, i + 1 :] = row if last < STEPS else row.astype(np.int64) * STEPS // (last + 1)
        at += len(row)
    table += table.T
    return table


def dense_ranks(values: NDArray[np.floating[Any]] | Integers) -> NDArray[np.signedinteger[Any]]:
    """Return the rank of each value (m,) among the distinct values, from 0.

    >>> dense_ranks(np.array([0.5, 0.1, 0.5, 2.0])).tolist()
    [1, 0, 1, 2]
    """
    order = np.argsort(values)
    dtype: type[np.signedinteger[Any]] = np.int32 if len(values) < 2**31 else np.int64
    ranks = np.empty(len(values), dtype)
    last, rank = np.nan, -1
    for part in parts(len(order)):
        ordered = values[order[part]]
        of_part = rank + np.cumsum(np.diff(ordered, prepend=last) != 0)
        ranks[order[part]] = of_part
        last, rank = ordered[-1], int(of_part[-1])
    return ranks


def parts(m: int) -> Iterator[slice]:
    """Yield slices of CHUNK of m values."""
    return (slice(start, min(start + CHUNK, m)) for start in range(0, m, CHUNK))


def _tau(
    K: Matrix, L: Matrix, clusters: Integers, compare: Callable[[Any, Any], float]
) -> Weighted:
    ranks = steps(K), steps(L)

    def tau(counts: Floats) -> float:
        chosen = np.flatnonzero(counts)
        upper = np.triu_indices(len(chosen), 1)
        times = pair_weights(counts, clusters, chosen)[upper].astype(np.intp)
        i, j = chosen[upper[0]], chosen[upper[1]]
        if not times.any():
            return np.nan
        try:
            return compare(*(centred_ranks(np.repeat(r[i, j], times)) for r in ranks))
        except SemrsmError:  # constant
            return np.nan

    return lambda counts: np.array([tau(row) for row in counts])
