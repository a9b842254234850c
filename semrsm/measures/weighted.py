"""Measures of pairs whose samples count several times, or not at all: what a bootstrap asks for.

Products of pairs are summed for all resamples at once, as matrix products with their counts, by
blocks of rows: no resampled matrix is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.measures.matrices import Floats, Integers, Matrix, check_rsm, row_blocks
from semrsm.measures.resamples import Tick, Weighted

NOTHING_LEFT = 1e-10  # a sum of squares below this part of the one before is rounding

Blocks = Callable[[], Iterator[tuple[slice, Floats]]]  # (rows, (r, n)) from top to bottom


def no_tick(done: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Sums:
    """Sums over the ordered pairs of two RSMs, for b resamples.

    Attributes:
        pairs: (b,) how many pairs count.
        rows: Two (b, n): for each sample the sum of its pairs, once for each of its copies.
        products: (b,) of K and L.
        squares: Two (b,): of K, of L.
    """

    pairs: Floats
    rows: tuple[Floats, Floats]
    products: Floats
    squares: tuple[Floats, Floats]


def weighted_sums(
    first: Blocks, second: Blocks, clusters: Integers, counts: Floats, tick: Tick = no_tick
) -> Sums:
    """Sum the pairs i != j of two RSMs, each as often as `resamples.Resamples` tells.

    Args:
        first: Blocks of the first RSM; may be changed by the caller.
        second: Those of the second.
        clusters: (n,) which samples were drawn together.
        counts: (b, n) how often each sample counts.
        tick: Called with 0 after each block, so that whoever waits sees it.
    """
    b, n = counts.shape
    size = np.bincount(clusters)[clusters]
    own = (counts * (counts.sum(axis=1, keepdims=True) - counts * size + size - 1)).sum(axis=1)
    rows = np.empty((b, n)), np.empty((b, n))
    sums = np.zeros((3, b))
    for (at, K), (_, L) in zip(first(), second(), strict=True):
        together = clusters[at, None] == clusters
        itself = np.arange(len(K)), np.arange(at.start, at.stop)
        c = counts[:, at]
        for k, (x, y) in enumerate(((K, L), (K, K), (L, L))):
            sums[k] += np.einsum("br,br->b", c, _row_sums(x * y, together, itself, counts))
        for total, x in zip(rows, (K, L), strict=True):
            total[:, at] = _row_sums(x, together, itself, counts)
        tick(0)
    return Sums(own, rows, sums[0], (sums[1], sums[2]))


def _row_sums(block: Floats, together: NDArray[np.bool_], itself: Any, counts: Floats) -> Floats:
    """Return (b, r): pairs with other clusters by their counts, pairs within the cluster once."""
    block[itself] = 0.0
    within = np.where(together, block, 0.0).sum(axis=1)
    block[together] = 0.0
    sums: Floats = counts @ block.T
    sums += within
    return sums


def pearson_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives the Pearson correlation of the pairs for counts (b, n)."""
    blocks = _shifted(K), _shifted(L)

    def values(counts: Floats) -> Floats:
        s = weighted_sums(*blocks, clusters, counts)
        k, l_ = ((counts * rows).sum(axis=1) for rows in s.rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            products = s.products - k * l_ / s.pairs
            left = s.squares[0] - k * k / s.pairs, s.squares[1] - l_ * l_ / s.pairs
        return cosines(products, left, s.squares, counts, 3)

    return values


def cosine_of(K: Matrix, L: Matrix, clusters: Integers) -> Weighted:
    """Return what gives the cosine of the pairs for counts (b, n)."""
    blocks = _shifted(K, centred=False), _shifted(L, centred=False)

    def values(counts: Floats) -> Floats:
        s = weighted_sums(*blocks, clusters, counts)
        return cosines(s.products, s.squares, s.squares, counts, 3)

    return values


def cosines(
    products: Floats,
    squares: Sequence[Floats],
    before: Sequence[Floats],
    counts: Floats,
    distinct: int,
) -> Floats:
    """Return products / √(squares of K, of L), (b,); NaN where nothing but rounding is left.

    Args:
        products: (b,) sums of products.
        squares: Two (b,), sums of squares.
        before: The same before centring.
        counts: (b, n).
        distinct: How many different samples it takes at least.
    """
    defined = (counts > 0).sum(axis=1) >= distinct
    for left, whole in zip(squares, before, strict=True):
        defined &= left > NOTHING_LEFT * whole
    cosine = np.full(len(products), np.nan)
    cosine[defined] = (
        products[defined] / np.sqrt(squares[0][defined]) / np.sqrt(squares[1][defined])
    )
    return np.clip(cosine, -1.0, 1.0)


def _shifted(matrix: Matrix, centred: bool = True) -> Blocks:
    """Return the blocks of an RSM / a power of two, minus the mean of its pairs if `centred`.

    Raises SemrsmError if it is no RSM.
    """
    scale = check_rsm(matrix, at_least=3)
    n, total, shift = matrix.shape[0], 0.0, 0.0
    if centred:  # in two steps, so that a common offset costs no digits
        first = float(np.asarray(matrix[0:1], dtype=np.float64)[0, 1]) / scale
        for rows, block in row_blocks(matrix):
            block /= scale
            block -= first
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0.0
            total += float(block.sum())
        shift = total / (n * (n - 1))

    def blocks() -> Iterator[tuple[slice, Floats]]:
        for rows, block in row_blocks(matrix):
            block /= scale
            if centred:
                block -= first
                block -= shift
            yield rows, block

    return blocks
