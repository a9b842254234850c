"""Measures of nearest neighbours: which samples are most similar to each sample.

The tie rule: of samples that are equally similar to a sample, those of lower index are nearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import (
    Floats,
    Integers,
    Matrix,
    check_same_size,
    checked_blocks,
    power_of_two_above,
)

K_NEAREST = 10  # unless asked for otherwise


@dataclass(frozen=True)
class Neighbours:
    """The k nearest neighbours of each of n samples.

    Attributes:
        index: (n, k) int64, in ascending order of index, not of similarity.
        values: (n, k) float64, the similarities divided by a power of two.
    """

    index: NDArray[np.int64]
    values: Floats


def prepare_neighbours(matrix: Matrix, k: int) -> Neighbours:
    """Find the k nearest neighbours of each sample, itself excluded, ties by lower index.

    Raises SemrsmError if there are fewer than k + 2 samples (all would be neighbours) or all pairs
    are equally similar.

    >>> prepare_neighbours(np.array([[9, 1, 2, 2], [1, 9, 3, 0], [2, 3, 9, 1], [2, 0, 1, 9]]), k=1)
    Neighbours(index=array([[2],
           [2],
           [1],
           [0]]), values=array([[0.125 ],
           [0.1875],
           [0.1875],
           [0.125 ]]))
    """
    if 2 <= matrix.shape[0] < k + 2:
        raise SemrsmError(
            f"wanted at least {k + 2} samples, got {matrix.shape[0]}, for {k} nearest neighbours;"
            " use more samples or fewer neighbours"
        )
    nearest, low, high, scale = [], np.inf, -np.inf, 1.0
    for rows, block, largest in checked_blocks(matrix, at_least=k + 2):
        own = np.arange(len(block)), np.arange(rows.start, rows.stop)
        block[own] = np.inf
        low = min(low, float(block.min()))
        block[own] = -np.inf
        high = max(high, float(block.max()))
        nearest.append(_nearest(block, k))
        scale = power_of_two_above(largest)
    if low == high:
        raise SemrsmError(
            "the RSM is constant off the diagonal, so no sample has nearest neighbours;"
            " choose samples that differ"
        )
    index, values = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
    return Neighbours(index, values / scale)


def compare_mutual(a: Neighbours, b: Neighbours) -> float:
    """Return the mean share of neighbours that both RSMs have in common."""
    return float(_in_common(a, b).mean() / a.index.shape[1])


def compare_jaccard(a: Neighbours, b: Neighbours) -> float:
    """Return the mean ratio of common neighbours to all neighbours of either RSM."""
    common = _in_common(a, b)
    return float((common / (2 * a.index.shape[1] - common)).mean())


def compare_cknna(a: Neighbours, b: Neighbours) -> float:
    """Return HSIC_1 of the RSMs restricted to common neighbours, over that of each with itself.

    Raises SemrsmError if the HSIC_1 of an RSM with itself is not positive.
    """
    squares = _masked_hsic(a, a), _masked_hsic(b, b)
    if min(squares) <= 0:
        raise SemrsmError(
            "the HSIC of an RSM with itself over its nearest neighbours is not positive,"
            " so cknna is undefined; use more samples or another measure"
        )
    return _masked_hsic(a, b) / float(np.sqrt(squares[0]) * np.sqrt(squares[1]))


def permute_neighbours(neighbours: Neighbours, order: Integers) -> Neighbours:
    """Return the neighbours of the samples in another order."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    index = place[neighbours.index[order]]
    ascending = np.argsort(index, axis=1)
    return Neighbours(
        np.take_along_axis(index, ascending, axis=1),
        np.take_along_axis(neighbours.values[order], ascending, axis=1),
    )


def _nearest(similar: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """The k largest of each row: all above the k-th largest, then equals from the left."""
    last = -np.partition(-similar, k - 1, axis=1)[:, k - 1 : k]
    above, equal = similar > last, similar == last
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (equal.cumsum(axis=1) <= room))
    shape = (len(similar), k)
    return np.nonzero(chosen)[1].reshape(shape), similar[chosen].reshape(shape)


def _in_common(a: Neighbours, b: Neighbours) -> NDArray[np.int64]:
    check_same_size(len(a.index), len(b.index))
    n = len(a.index)
    rows = np.arange(n)[:, None] * n
    common = np.intersect1d(rows + a.index, rows + b.index, assume_unique=True)
    return np.bincount(common // n, minlength=n)


def _masked_hsic(a: Neighbours, b: Neighbours) -> float:
    """Song's trace form of HSIC_1, without its factor, of the entries that are common neighbours.

    The mask is not symmetric (j may be near i, and i not near j), so the order of a and b matters.
    """
    from scipy import sparse  # every command would wait for it

    check_same_size(len(a.index), len(b.index))
    n = len(a.index)
    rows = np.arange(n)[:, None] * n
    common, at_a, at_b = np.intersect1d(
        rows + a.index, rows + b.index, assume_unique=True, return_indices=True
    )
    where = common // n, common % n
    K = sparse.csr_array((a.values.ravel()[at_a], where), shape=(n, n))
    L = sparse.csr_array((b.values.ravel()[at_b], where), shape=(n, n))
    trace = K.multiply(L.T).sum()
    sums = K.sum() * L.sum() / ((n - 1) * (n - 2))
    return float(trace + sums - 2 * (K.sum(axis=0) @ L.sum(axis=1)) / (n - 2))
