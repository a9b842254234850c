"""Minibatch CKA: debiased CKA of RSMs that are too large to hold, from small aligned batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.cka import check_left
from semrsm.measures.matrices import Floats, Matrix, check_rsm, check_same_size


def minibatch_cka(batches: Iterable[tuple[Matrix, Matrix]]) -> float:
    """Estimate debiased CKA from the RSMs of aligned batches of samples.

    The unbiased HSIC_1 of (K_b, L_b), (K_b, K_b) and (L_b, L_b) are summed over the batches b; then
    one ratio is taken. The mean of the batches' CKAs would be something else. With one batch that
    holds all samples the result is `cka-debiased`.

    Args:
        batches: Pairs of RSMs (n_b, n_b) of the same samples in the same order, n_b >= 4.

    Raises:
        SemrsmError: There is no batch, one is too small, or all batches of one side are constant.

    References:
        T. Nguyen, M. Raghu, S. Kornblith: Do wide and deep networks learn the same things?
        ICLR 2021, doi:10.48550/arXiv.2010.15327.

    >>> K = np.array([[0.0, 3, 1, 1], [3, 0, 1, 1], [1, 1, 0, 5], [1, 1, 5, 0]])
    >>> L = np.array([[0.0, 3, 2, 1], [3, 0, 1, 2], [2, 1, 0, 5], [1, 2, 5, 0]])
    >>> round(minibatch_cka([(K, L), (L, K)]), 4)
    0.9375
    """
    products, squares, count = np.zeros(3), np.zeros(2), 0
    for number, (K, L) in enumerate(batches):
        try:
            check_same_size(K.shape[0], L.shape[0])
            (a, square_a), (b, square_b) = _u_centred(K), _u_centred(L)
        except SemrsmError as error:
            raise error.within(f"batch {number}") from None
        share = len(a) * (len(a) - 3)
        products += np.array([np.vdot(a, b), np.vdot(a, a), np.vdot(b, b)]) / share
        squares += np.array([square_a, square_b]) / share
        count += 1
    if not count:
        raise SemrsmError("wanted at least one batch, got none; use more samples")
    check_left(products[1], squares[0])
    check_left(products[2], squares[1])
    return float(np.clip(products[0] / np.sqrt(products[1]) / np.sqrt(products[2]), -1.0, 1.0))


def aligned_batches(K: Matrix, L: Matrix, size: int) -> Iterator[tuple[Matrix, Matrix]]:
    """Cut two RSMs of the same n samples into the RSMs of n // size batches of nearly equal size.

    Batches are runs of samples in the order of the RSMs, so no batch holds fewer than `size`
    samples unless there are fewer in all. Every pair of samples of different batches is left out.

    Raises SemrsmError if the RSMs differ in n.
    """
    n = K.shape[0]
    check_same_size(n, L.shape[0])
    bounds = np.linspace(0, n, max(1, n // size) + 1).astype(int)
    for start, stop in pairwise(bounds.tolist()):
        rows = slice(start, stop)
        yield np.asarray(K[rows])[:, rows], np.asarray(L[rows])[:, rows]


def _u_centred(matrix: Matrix) -> tuple[Floats, float]:
    """U-centre a small RSM; also its sum of squares before, without its common offset."""
    check_rsm(matrix, at_least=4)
    n = matrix.shape[0]
    values = np.array(matrix[0:n], dtype=np.float64)
    values -= values[0, 1]
    np.fill_diagonal(values, 0.0)
    row_sums = values.sum(axis=1)
    term = row_sums / (n - 2) - row_sums.sum() / (2 * (n - 1) * (n - 2))
    centred = values - term - term[:, None]
    np.fill_diagonal(centred, 0.0)
    return centred, float(np.vdot(values, values))
