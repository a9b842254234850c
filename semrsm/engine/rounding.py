"""What rounding does to a kernel: which type has room for its values, and which rbf are not sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import ROUNDING, Finisher, Kernel, squared_distance

Floats = NDArray[np.float64]
SURE = 1e-3  # an rbf value that may be off by more is counted
ROUNDING_FLOAT32 = (
    1.2e-7  # the same as ROUNDING for inner products of float32 that were not matched again
)


def unsure_note(count: int) -> str:
    """Say that the rbf of so many pairs is not sure, and what to do.

    >>> unsure_note(3)[:53]
    'the rbf of 3 pairs may be off by more than 0.001: at '
    """
    return (
        f"the rbf of {count} pairs may be off by more than {SURE}: at this sigma it is decided by less"
        " than can be told of their distance; use a larger sigma"
    )


def stored_type(kernel: Kernel, row_sq: Floats, column_sq: Floats, n_positions: int) -> str:
    """Return the type that an RSM is stored in: "float32" where that has room for it, else "float64".

    The norms bound every value of a kernel that has no range of its own, |m_ij| <= sqrt(S) |x_i| |x_j|
    for any matcher. Float32 has room where that does not overflow, and where what vanishes below its
    smallest numbers is less than what it rounds anyway.

    Args:
        kernel: A row of KERNELS.
        row_sq: (n,) float64, squared norms of the row samples.
        column_sq: (m,) float64, of the column samples.
        n_positions: S.

    >>> from semrsm.engine.kernels import KERNELS
    >>> sizes = [1.0, 1e40, 1e-40]
    >>> [stored_type(KERNELS["linear"], *2 * (np.array([1.0, size]),), 4) for size in sizes]
    ['float32', 'float64', 'float64']
    >>> stored_type(KERNELS["cosine"], np.array([1e40]), np.array([1e40]), 4)
    'float32'
    """
    if kernel.bounded:
        return "float32"
    rows, columns = (np.sqrt(norms[norms > 0]) for norms in (row_sq, column_sq))
    if not len(rows) or not len(columns):
        return "float32"
    single = np.finfo(np.float32)
    largest = np.sqrt(n_positions) * float(rows.max()) * float(columns.max())
    smallest = float(rows.min()) * float(columns.min())
    fits = largest < float(single.max) and smallest > float(single.smallest_normal)
    return "float32" if fits else "float64"


def all_sure(row_sq: Floats, column_sq: Floats, sigma: float, rounding: float = ROUNDING) -> bool:
    """Say whether the norms alone, (n,) and (m,) float64, tell that every rbf is sure.

    >>> all_sure(np.ones(2), np.ones(3), 1.0), all_sure(np.ones(2), np.ones(3), 1e-6)
    (True, False)
    """
    if not len(row_sq) or not len(column_sq):
        return True
    return float(row_sq.max()) + float(column_sq.max()) < SURE / rounding * sigma * sigma


def n_unsure(
    finish: Finisher, first_row: int, block: Floats, symmetric: bool, rounding: float = ROUNDING
) -> int:
    """Return how many pairs of some rows, from `first_row` on, have an rbf that is not sure.

    Args:
        finish: The kernel, its width and the norms.
        first_row: The row of the RSM that the block begins with.
        block: (k, m) float64, matched inner products, all columns.
        symmetric: Rows and columns are the same samples: pairs are those right of the diagonal.
        rounding: As in `unsure`.
    """
    row_sq = finish.row_sq[first_row : first_row + len(block)]
    mask = unsure(block, row_sq, finish.column_sq, finish.sigma, rounding)
    if mask is None:
        return 0
    return int((np.triu(mask, first_row + 1) if symmetric else mask).sum())


def unsure(
    m: Floats, row_sq: Floats, column_sq: Floats, sigma: float | None, rounding: float = ROUNDING
) -> NDArray[np.bool_] | None:
    """Return which values of rbf may be off by more than SURE; None where the norms say that none is.

    float64 tells a squared distance only to about 1e-13 of s_i + s_j, and where sigma is as small
    as that, what is left of it decides the value.

    Args:
        m: (a, b) float64, matched inner products.
        row_sq: (a,) float64, squared norms of the row samples.
        column_sq: (b,) float64, squared norms of the column samples.
        sigma: The width; None for a kernel that has none.
        rounding: How far squared distances may be off, as a share of s_i + s_j.

    >>> m, norms = np.array([[1.0, 0.5]]), np.ones(2)
    >>> unsure(m, norms[:1], norms, 1e-7).tolist(), unsure(m, norms[:1], norms, 1.0)
    ([[True, False]], None)
    """
    if sigma is None or all_sure(row_sq, column_sq, sigma, rounding):
        return None
    with np.errstate(over="ignore", under="ignore"):
        error = rounding * (row_sq[:, None] + column_sq[None, :]) / sigma / sigma / 2.0
        power = squared_distance(m, row_sq, column_sq) / sigma / sigma / 2.0
        largest, value, least = (
            np.exp(-p) for p in (power - np.minimum(error, power), power, power + error)
        )
    return np.maximum(largest - value, value - least) > SURE
