"""CKA and its like of samples that count several times, or not at all.

Centring leaves the residuals of the least-squares fit K_ij ~ t_i + t_j over the pairs that count, as
often as they count, and, for the biased kind, over the diagonal; if all count once, that is the
measure itself. The fit is solved in closed form: its matrix is diagonal but for one term for each
cluster and one for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from semrsm.measures.cka import Centred, prepare_cka, prepare_corr_whitened, prepare_debiased
from semrsm.measures.matrices import Floats, Integers, Matrix, row_blocks
from semrsm.measures.resamples import Weighted
from semrsm.measures.weighted import Blocks, cosines, weighted_sums


def cka_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `cka` for counts (b, n)."""
    return _weighted(prepare_cka, K, L, clusters, diagonal=True)


def debiased_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `cka-debiased` for counts (b, n)."""
    return _weighted(prepare_debiased, K, L, clusters, diagonal=False)


def corr_whitened_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `corr-whitened` for counts (b, n)."""
    return _weighted(prepare_corr_whitened, K, L, clusters, diagonal=True, without_identity=True)


def angle_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives `angular-cka` for counts (b, n)."""
    cosine = cka_of(K, L, clusters)
    return lambda counts: np.arccos(cosine(counts))


@dataclass(frozen=True)
class _Fit:
    """The least-squares fits of b resamples.

    Attributes:
        counts: (b, n).
        clusters: (n,).
        diagonal: Whether the diagonal counts, too.
    """

    counts: Floats
    clusters: Integers
    diagonal: bool

    def terms(self, row_sums: Floats) -> Floats:
        """Return t (b, n) from the sums (b, n) over the entries that each sample's row counts."""
        c, n = self.counts, self.counts.sum(axis=1, keepdims=True)
        size = np.bincount(self.clusters)[self.clusters]
        more = 2.0 * self.diagonal - 2.0
        own = n - c * size + size + more
        whole = own + size * (1 - c)
        of_cluster = self._of_clusters(row_sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            # A cluster's sum over its samples stands once for each of them: divided by its size.
            total = (c * of_cluster / whole / size).sum(axis=1, keepdims=True)
            total = total / (1 + (c / whole).sum(axis=1, keepdims=True))
            sums = (of_cluster - size * total) / whole
            terms = (row_sums - total - (1 - c) * sums) / own
        return np.where(c > 0, terms, 0.0)

    def _of_clusters(self, values: Floats) -> Floats:
        """Return (b, n): for each sample the sum over its cluster."""
        if self.clusters.max() + 1 == len(self.clusters):
            return values
        order = np.argsort(self.clusters, kind="stable")
        starts = np.searchsorted(self.clusters[order], np.arange(self.clusters.max() + 1))
        return np.add.reduceat(values[:, order], starts, axis=1)[:, self.clusters]


def _weighted(
    prepare: Callable[[Matrix], Centred],
    K: Matrix,
    L: Matrix,
    clusters: Integers,
    *,
    diagonal: bool,
    without_identity: bool = False,
) -> Weighted:
    a, b = prepare(K), prepare(L)
    diagonals = a.diagonal, b.diagonal
    distinct = 3 if without_identity else 2 if diagonal else 4

    def values(counts: Floats) -> Floats:
        sums = weighted_sums(_blocks(a), _blocks(b), clusters, counts)
        fit = _Fit(counts, clusters, diagonal)
        rows, products, squares = list(sums.rows), sums.products, list(sums.squares)
        if diagonal:
            rows = [r + d for r, d in zip(rows, diagonals, strict=True)]
            products = products + counts @ (diagonals[0] * diagonals[1])
            squares = [s + counts @ (d * d) for s, d in zip(squares, diagonals, strict=True)]
        before = tuple(squares)
        terms = [fit.terms(r) for r in rows]

        def inner(entries: Floats, row_sums: Floats, other_terms: Floats) -> Floats:
            # A residual is orthogonal to all terms: only one side needs to be centred.
            return entries - 2 * (counts * row_sums * other_terms).sum(axis=1)

        products = inner(products, rows[0], terms[1])
        squares = [inner(s, r, t) for s, r, t in zip(squares, rows, terms, strict=True)]
        if without_identity:
            ones = np.ones_like(counts)
            n = counts.sum(axis=1)
            identity = inner(n, ones, fit.terms(ones))
            along = [inner(counts @ d, ones, t) for d, t in zip(diagonals, terms, strict=True)]
            products = products - along[0] * along[1] / identity
            squares = [s - x * x / identity for s, x in zip(squares, along, strict=True)]
        return cosines(products, squares, before, counts, distinct)

    return values


def _blocks(centred: Centred) -> Blocks:
    def blocks() -> Iterator[tuple[slice, Floats]]:
        for rows, block in row_blocks(centred.matrix):
            yield rows, centred.centre(rows, block)

    return blocks
