"""Rank correlations of the pairs of samples that count several times, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats, Integers, Matrix, upper_triangle
from semrsm.measures.resamples import Weighted, pair_weights
from semrsm.measures.rsa import centred_ranks, compare_tau_a, compare_tau_b

STEPS = 2**16  # so many ranks are told apart; a correlation changes by less than 1e-6
CHUNK = 2**14  # pairs that are ranked at a time: they stay in the cache
BLOCK = 2**18  # pairs that are counted at a time

Steps = NDArray[np.uint16]


def spearman_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-spearman` for counts (b, n), ranks taken anew for each of them."""
    places = places_of(steps(K), steps(L), clusters)
    return lambda counts: np.array([places(row).spearman for row in counts])


def rho_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-rho-a` for counts (b, n); copies of a pair are no ties."""
    places = places_of(steps(K), steps(L), clusters)
    return lambda counts: np.array([places(row).rho_a for row in counts])


def tau_a_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-a` for counts (b, n)."""
    return _tau(K, L, clusters, compare_tau_a)


def tau_b_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `rsa-kendall-tau-b` for counts (b, n)."""
    return _tau(K, L, clusters, compare_tau_b)


def steps(matrix: Matrix) -> Steps:
    """Return the rank of each pair among the distinct ones, (n, n), in at most STEPS steps from 0.

    Where there are more distinct pairs, neighbouring ranks share a step. The diagonal is 0.

    >>> steps(np.array([[9, 1, 5], [1, 9, 3], [5, 3, 9]])).tolist()
    [[0, 0, 2], [0, 0, 1], [2, 1, 0]]
    """
    return steps_of_ranks(dense_ranks(upper_triangle(matrix, at_least=3)), matrix.shape[0])


def steps_of_ranks(ranks: Integers, n: int) -> Steps:
    """Return the `dense_ranks` of the pairs i < j as `steps` does, (n, n)."""
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


@dataclass(frozen=True)
class Places:
    """Sums over pairs of where they stand, f and g, in two weighted distributions.

    A place is from -1/2 to 1/2, what is tied stands in the middle; the mean of all places is 0.

    Attributes:
        total: Σ w, how many pairs count.
        products: Σ w f g.
        squares: Σ w f², Σ w g².
    """

    total: float
    products: float
    squares: tuple[float, float]

    @property
    def spearman(self) -> float:
        """Spearman's correlation; NaN where either side is constant."""
        if min(self.squares) == 0:
            return np.nan
        return float(np.clip(self.products / np.sqrt(self.squares[0] * self.squares[1]), -1, 1))

    @property
    def rho_a(self) -> float:
        """Spearman's correlation expected when ties are broken at random; NaN as `spearman`."""
        if min(self.squares) == 0:
            return np.nan
        m = self.total
        return float(np.clip(12 * self.products / m * (m * m / (m * m - 1)), -1.0, 1.0))


def places_of(x: Steps, y: Steps, clusters: Integers) -> Callable[[Floats], Places]:
    """Return what gives the places of the pairs i < j for counts (n,) of the samples.

    It takes about 40 bytes for each of BLOCK pairs, whatever n; several threads may call it.

    Args:
        x: (n, n), of `steps`.
        y: The same of the other RSM.
        clusters: (n,) which samples are drawn together.

    >>> x = steps(np.array([[9, 1, 5], [1, 9, 3], [5, 3, 9]]))
    >>> places_of(x, 2 - x, np.arange(3))(np.ones(3)).spearman
    -1.0
    """
    sizes = [int(s.max()) + 1 for s in (x, y)]

    def places(counts: Floats) -> Places:
        histograms = [np.zeros(size) for size in sizes]
        for of_pairs, weights in _blocks((x, y), clusters, counts):
            for histogram, some in zip(histograms, of_pairs, strict=True):
                sums = np.bincount(some, weights)
                histogram[: len(sums)] += sums
        total = float(histograms[0].sum())
        if not total:
            return Places(0.0, 0.0, (0.0, 0.0))
        f, g = ((np.cumsum(h) - h / 2) / total - 0.5 for h in histograms)
        products = 0.0
        for (of_x, of_y), weights in _blocks((x, y), clusters, counts):
            weights *= f.take(of_x)
            products += float(weights @ g.take(of_y))
        squares = float(histograms[0] @ (f * f)), float(histograms[1] @ (g * g))
        return Places(total, products, squares)

    return places


def _blocks(
    sides: tuple[Steps, ...], clusters: Integers, counts: Floats
) -> Iterator[tuple[list[Steps], Floats]]:
    """Yield (steps (p,) of each side, how often these pairs count (p,)) of the pairs that may count."""
    chosen = np.flatnonzero(counts)
    chosen = chosen[np.argsort(clusters[chosen], kind="stable")]  # clusters lie together
    c, of = counts[chosen], clusters[chosen]
    ends = np.searchsorted(of, of, side="right")
    a = 0
    while a < len(chosen) - 1:
        columns = slice(a + 1, len(chosen))
        b = min(len(chosen) - 1, a + max(1, BLOCK // (len(chosen) - a - 1)))
        weights = np.outer(c[a:b], c[columns])
        near = slice(a + 1, ends[b - 1])  # beyond these, no column is of the cluster of a row
        own = of[a:b, None] == of[near]
        np.copyto(weights[:, : own.shape[1]], c[near], where=own)
        weights[np.tril_indices(b - a, -1)] = 0.0  # i < j
        some = [side[chosen[a:b]].take(chosen[columns], axis=1).ravel() for side in sides]
        yield some, weights.ravel()
        a = b


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
