"""Centred kernel alignment: biased, debiased, as an angle; and the whitened RSA measures equal to it.

Each of them is the cosine of two centred matrices. A centred matrix is the RSM minus row and column
terms, with a diagonal of its own, so that it is never stored: blocks of rows are centred when read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import (
    Floats,
    Integers,
    Matrix,
    Permuted,
    check_rsm,
    check_same_size,
    row_blocks,
)

NOTHING_LEFT = 1e-12  # a centred norm below this part of the norm before is rounding


@dataclass(frozen=True)
class Centred:
    """An RSM and what centring subtracts from it.

    Entry (i, j), i != j, of the centred matrix is K_ij / scale - shift - row_term_i - row_term_j.

    Attributes:
        matrix: The RSM, read again by each comparison: an HDF5 file must stay open.
        scale: Power of two that the entries are divided by.
        shift: K_01 / scale: subtracted first, so that a common offset costs no digits.
        row_term: (n,) float64.
        diagonal: (n,) float64, the diagonal of the centred matrix.
        norm: Frobenius norm of the centred matrix.
    """

    matrix: Matrix
    scale: float
    shift: float
    row_term: Floats
    diagonal: Floats
    norm: float

    def centre(self, rows: slice, block: Floats) -> Floats:
        """Centre a block of rows in place and return it."""
        _shifted(block, self.scale, self.shift)
        block -= self.row_term
        block -= self.row_term[rows, None]
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = self.diagonal[rows]
        return block


@dataclass(frozen=True)
class _Sums:
    """What a first pass over K / scale - shift finds: row sums without the diagonal, squares."""

    scale: float
    shift: float
    row_sums: Floats
    diagonal: Floats
    squares: float


def prepare_cka(matrix: Matrix) -> Centred:
    """Double-centre an RSM: H K H with H = I - 11ᵀ/n. Raises SemrsmError if nothing is left."""
    sums = _sums(matrix, at_least=2)
    return _centred(matrix, sums, *_double_centring(sums), sums.squares + _square(sums.diagonal))


def prepare_debiased(matrix: Matrix) -> Centred:
    """U-centre an RSM: zero diagonal, and zero row sums. Raises SemrsmError if nothing is left."""
    sums = _sums(matrix, at_least=4)
    n = len(sums.row_sums)
    row_term = sums.row_sums / (n - 2) - sums.row_sums.sum() / (2 * (n - 1) * (n - 2))
    return _centred(matrix, sums, row_term, np.zeros(n), sums.squares)


def prepare_corr_whitened(matrix: Matrix) -> Centred:
    """Double-centre an RSM and remove its multiple of H. Raises SemrsmError if nothing is left."""
    sums = _sums(matrix, at_least=3)
    row_term, diagonal = _double_centring(sums)
    n = len(diagonal)
    multiple = diagonal.sum() / (n - 1)
    row_term = row_term - multiple / (2 * n)
    diagonal = diagonal - multiple * (1 - 1 / n)
    return _centred(matrix, sums, row_term, diagonal, sums.squares + _square(sums.diagonal))


def compare_centred(a: Centred, b: Centred) -> float:
    """Return the cosine of two centred matrices, in one pass over the rows of both.

    Raises SemrsmError if they differ in n.
    """
    check_same_size(len(a.row_term), len(b.row_term))
    total = 0.0
    for (rows, block), (_, other) in zip(row_blocks(a.matrix), row_blocks(b.matrix), strict=True):
        total += float(np.vdot(a.centre(rows, block), b.centre(rows, other)))
    return float(np.clip(total / a.norm / b.norm, -1.0, 1.0))


def compare_angle(a: Centred, b: Centred) -> float:
    """Return arccos of the cosine of two centred matrices, in radians."""
    return float(np.arccos(compare_centred(a, b)))


def permute_centred(centred: Centred, order: Integers) -> Centred:
    """Return a centred matrix with its samples in another order; what was found of it stays."""
    matrix = Permuted(centred.matrix, order)
    return dataclasses.replace(
        centred, matrix=matrix, row_term=centred.row_term[order], diagonal=centred.diagonal[order]
    )


def _sums(matrix: Matrix, at_least: int) -> _Sums:
    scale = check_rsm(matrix, at_least)
    n = matrix.shape[0]
    shift = float(np.asarray(matrix[0:1], dtype=np.float64)[0, 1]) / scale
    row_sums, diagonal, squares = np.zeros(n), np.zeros(n), 0.0
    for rows, block in row_blocks(matrix):
        _shifted(block, scale, shift)
        own = np.arange(len(block)), np.arange(rows.start, rows.stop)
        diagonal[rows] = block[own]
        block[own] = 0.0
        row_sums[rows] = block.sum(axis=1)
        squares += _square(block)
    return _Sums(scale, shift, row_sums, diagonal, squares)


def _shifted(block: Floats, scale: float, shift: float) -> None:
    block /= scale
    block -= shift


def _double_centring(sums: _Sums) -> tuple[Floats, Floats]:
    means = (sums.row_sums + sums.diagonal) / len(sums.diagonal)
    row_term = means - means.mean() / 2
    return row_term, sums.diagonal - 2 * row_term


def _centred(
    matrix: Matrix, sums: _Sums, row_term: Floats, diagonal: Floats, squares: float
) -> Centred:
    centred = Centred(matrix, sums.scale, sums.shift, row_term, diagonal, 1.0)
    left = sum(_square(centred.centre(rows, block)) for rows, block in row_blocks(matrix))
    check_left(left, squares)
    return Centred(matrix, sums.scale, sums.shift, row_term, diagonal, float(np.sqrt(left)))


def check_left(left: float, squares: float) -> None:
    """Raise SemrsmError if centring left nothing but rounding: sums of squares after and before."""
    if left <= NOTHING_LEFT**2 * squares:
        raise SemrsmError(
            "the RSM is constant once it is centred, so this measure is undefined;"
            " choose samples that differ"
        )


def _square(values: Floats) -> float:
    return float(np.vdot(values, values))
