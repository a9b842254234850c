"""Where pairs of samples stand in two rankings, when they count several times or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.measures.matrices import Floats, Integers

BINS = 2**9  # ranks that are told apart; a correlation of m pairs changes by about 1 / BINS / √m
BLOCK = 2**19  # pairs that are counted at a time
FEW = 8  # up to one sample in so many that does not count once, only the pairs of these are counted

Bins = NDArray[np.uint16]


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

    @classmethod
    def of(cls, joint: Floats) -> Places:
        """Return the places of pairs, of which `joint` (bins of one ranking, of the other) holds Σ w."""
        total = float(joint.sum())
        if not total:
            return cls(0.0, 0.0, (0.0, 0.0))
        both = joint.sum(axis=1), joint.sum(axis=0)
        f, g = ((np.cumsum(h) - h / 2) / total - 0.5 for h in both)
        squares = float(both[0] @ (f * f)), float(both[1] @ (g * g))
        return cls(total, float(f @ joint @ g), squares)

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


def bins_of_ranks(ranks: Integers) -> Bins:
    """Return the bin of each rank, (ranks,), of BINS bins at most.

    The bins hold about as many pairs each; a value that is tied so often that it fills two has one of
    its own, so that it does not move its neighbours. Where there are few ranks, each has its own.

    Args:
        ranks: (m,) `dense_ranks` of the pairs.

    >>> bins_of_ranks(np.array([2, 0, 1, 0])).tolist()
    [0, 1, 2]
    """
    up_to = np.bincount(ranks)
    distinct, m = len(up_to), len(ranks)
    if distinct <= BINS:
        return np.arange(distinct, dtype=np.uint16)
    heavy = np.flatnonzero(up_to * BINS >= 2 * m)
    np.cumsum(up_to, out=up_to)
    firsts = np.searchsorted(up_to, np.arange(1, BINS) * m / BINS) + 1
    firsts = np.unique(np.concatenate([[0], firsts[firsts < distinct], heavy]))
    return np.repeat(np.arange(len(firsts), dtype=np.uint16), np.diff(firsts, append=distinct))


def cells_of(
    x_ranks: Integers, y_ranks: Integers, n: int
) -> tuple[NDArray[np.uint32], tuple[int, int]]:
    """Return the cell of each pair of samples in the table of two rankings, (n, n), and its shape.

    Args:
        x_ranks: (n (n - 1) / 2,) `dense_ranks` of the pairs (0, 1), (0, 2), ...
        y_ranks: The same of the other ranking.
        n: How many samples.

    >>> cells_of(np.array([0, 1, 2]), np.array([1, 0, 0]), 3)
    (array([[0, 1, 2],
           [1, 0, 4],
           [2, 4, 0]], dtype=uint32), (3, 2))
    """
    x_bins, y_bins = bins_of_ranks(x_ranks), bins_of_ranks(y_ranks)
    height, width = int(x_bins[-1]) + 1, int(y_bins[-1]) + 1
    cells, at = np.zeros((n, n), np.uint32), 0
    for i in range(n - 1):
        row, pairs = cells[i, i + 1 :], slice(at, at + n - 1 - i)
        row[:] = x_bins[x_ranks[pairs]]
        row *= width
        row += y_bins[y_ranks[pairs]]
        cells[i + 1 :, i] = row
        at = pairs.stop
    return cells, (height, width)


def places_of(
    x_ranks: Integers, y_ranks: Integers, clusters: Integers
) -> Callable[[Floats], Places]:
    """Return what gives the places of the pairs i < j for counts (n,) of the samples.

    It takes about 30 bytes for each of BLOCK pairs, whatever n; several threads may call it.

    Args:
        x_ranks: (n (n - 1) / 2,) `dense_ranks` of the pairs (0, 1), (0, 2), ...
        y_ranks: The same of the other ranking.
        clusters: (n,) which samples are drawn together.

    >>> x = np.array([0, 2, 1])
    >>> places_of(x, 2 - x, np.arange(3))(np.ones(3)).spearman
    -1.0
    """
    n = len(clusters)
    cells, shape = cells_of(x_ranks, y_ranks, n)

    def summed(counts: Floats, chosen: Integers) -> Floats:
        joint = np.zeros(shape[0] * shape[1])
        for of_pairs, weights in _blocks(cells, clusters, counts, chosen):
            sums = np.bincount(of_pairs, weights)
            joint[: len(sums)] += sums
        return joint

    once = summed(np.ones(n), np.arange(n))

    def places(counts: Floats) -> Places:
        others = np.flatnonzero(counts != 1)
        if len(others) * FEW > n:
            joint = summed(counts, np.flatnonzero(counts))
        else:
            joint = once + _changes(cells, clusters, counts, others, len(once))
        return Places.of(joint.reshape(shape))

    return places


def _changes(
    cells: NDArray[np.uint32], clusters: Integers, counts: Floats, others: Integers, size: int
) -> Floats:
    """Return by how much cells (size,) change when the samples `others` do not count once."""
    changes, step = np.zeros(size), max(1, BLOCK // len(counts))
    for start in range(0, len(others), step):
        rows = others[start : start + step]
        own = clusters[rows, None] == clusters
        weights = np.where(own, counts[rows, None], np.outer(counts[rows], counts)) - 1.0
        weights[:, others] /= 2.0  # these pairs stand in the rows of both
        weights[np.arange(len(rows)), rows] = 0.0
        sums = np.bincount(cells[rows].ravel(), weights.ravel())
        changes[: len(sums)] += sums
    return changes


def _blocks(
    cells: NDArray[np.uint32], clusters: Integers, counts: Floats, chosen: Integers
) -> Iterator[tuple[NDArray[np.uint32], Floats]]:
    """Yield (cells (p,), how often their pairs count (p,)) of the pairs i < j of the samples `chosen`."""
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
        yield cells[chosen[a:b]].take(chosen[columns], axis=1).ravel(), weights.ravel()
        a = b
