"""Rank correlations of the pairs of samples that count several times, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats, Integers, Matrix, check_rsm, row_blocks
from semrsm.measures.resamples import Weighted, pair_weights
from semrsm.measures.rsa import centred_ranks, compare_tau_a, compare_tau_b

STEPS = 2**16  # so many ranks are told apart: coarser by less than 1e-8 of a correlation


def spearman_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-spearman` for counts (b, n), ranks taken anew for each of them."""
    return _of_ranks(K, L, clusters, _spearman)


def rho_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-rho-a` for counts (b, n); copies of a pair are no ties."""
    return _of_ranks(K, L, clusters, _rho_a)


def tau_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-a` for counts (b, n)."""
    return _of_ranks(K, L, clusters, _tau(compare_tau_a))


def tau_b_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-b` for counts (b, n)."""
    return _of_ranks(K, L, clusters, _tau(compare_tau_b))


Correlate = Callable[[NDArray[np.uint16], NDArray[np.uint16], Floats], float]


def _of_ranks(K: Matrix, L: Matrix, clusters: Integers, correlate: Correlate) -> Weighted:
    ranks = steps(K), steps(L)

    def value(counts: Floats) -> float:
        chosen = np.flatnonzero(counts)
        if len(chosen) < 3:
            return np.nan
        weights = pair_weights(counts, clusters, chosen).ravel()
        x, y = (r[chosen[:, None], chosen].ravel() for r in ranks)
        counted = weights > 0
        if any(r[counted].min() == r[counted].max() for r in (x, y)):
            return np.nan
        return correlate(x, y, weights)

    return lambda counts: np.array([value(row) for row in counts])


def steps(matrix: Matrix) -> NDArray[np.uint16]:
    """Return the rank of each pair among the distinct ones, (n, n), in at most STEPS steps from 0.

    Where there are more distinct pairs, neighbouring ranks share a step. The diagonal is 0.

    >>> steps(np.array([[9, 1, 5], [1, 9, 3], [5, 3, 9]])).tolist()
    [[0, 0, 2], [0, 0, 1], [2, 1, 0]]
    """
    check_rsm(matrix, at_least=3)
    n = matrix.shape[0]
    values = np.empty((n, n), np.float64)
    for rows, block in row_blocks(matrix):
        values[rows] = block
    upper = np.triu_indices(n, 1)
    pairs = values[upper]
    del values
    order = np.argsort(pairs)
    ordered = pairs[order]
    new = np.zeros(len(pairs), np.int64)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:], casting="unsafe")
    del ordered, pairs
    dense = np.cumsum(new, out=new)
    if dense[-1] >= STEPS:
        dense = dense * STEPS // (dense[-1] + 1)
    found = np.zeros((n, n), np.uint16)
    found[upper[0][order], upper[1][order]] = dense
    return found + found.T


def _spearman(x: NDArray[np.uint16], y: NDArray[np.uint16], weights: Floats) -> float:
    f, g = _places(x, weights), _places(y, weights)
    wf, wg = weights * f, weights * g
    return float(np.clip((wf @ g) / np.sqrt((wf @ f) * (wg @ g)), -1.0, 1.0))


def _rho_a(x: NDArray[np.uint16], y: NDArray[np.uint16], weights: Floats) -> float:
    total = weights.sum()
    m = total / 2  # pairs i < j
    product = (weights * _places(x, weights)) @ _places(y, weights) / total
    return float(np.clip(12 * product * m * m / (m * m - 1), -1.0, 1.0))


def _places(ranks: NDArray[np.uint16], weights: Floats) -> Floats:
    """Return where each value stands in the weighted distribution, -1/2 to 1/2, ties in the middle."""
    counts = np.bincount(ranks, weights)
    middle: Floats = (np.cumsum(counts) - counts / 2) / counts.sum() - 0.5
    return middle[ranks]


def _tau(compare: Callable[[Any, Any], float]) -> Correlate:
    def tau(x: NDArray[np.uint16], y: NDArray[np.uint16], weights: Floats) -> float:
        k = round(len(weights) ** 0.5)
        upper = np.triu(np.ones((k, k), dtype=bool), 1).ravel()
        times = weights[upper].astype(np.intp)
        try:
            return compare(*(centred_ranks(np.repeat(r[upper], times)) for r in (x, y)))
        except SemrsmError:
            return np.nan

    return tau
