"""Centred kernel alignment: biased, debiased, as an angle; and the whitened RSA measures equal to it.

Each of them is the cosine of two centred matrices. A centred matrix is the RSM minus row and column
terms, with a diagonal of its own, so that it is never stored: blocks of rows are centred when read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import (
    Floats,
    Integers,
    Matrix,
    Permuted,
    check_same_size,
    checked_blocks,
    power_of_two_above,
    row_blocks,
    row_slices,
)

NOTHING_LEFT = 1e-12  # a centred norm below this part of the norm before is rounding
DIGITS_LEFT = 1e-2  # of the squares before: where less is left, it is summed from what is left


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


def compare_centred_many(
    prepared: Sequence[Centred], pairs: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the cosines of some pairs of centred matrices, reading each matrix once.

    Blocks of the same rows of all of them are held at once, and multiplied as one matrix product.

    Args:
        prepared: Centred matrices of the same n.
        pairs: Places in `prepared`.

    >>> K = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
    >>> round(compare_centred_many([prepare_cka(K), prepare_cka(K**2)], [(0, 1)])[0], 4)
    0.9889
    """
    n = len(prepared[0].row_term)
    for other in prepared[1:]:
        check_same_size(n, len(other.row_term))
    left, right = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    products = np.zeros((len(left), len(right)))
    blocks = np.empty((len(prepared), 0))
    for rows in row_slices(n, n):
        if blocks.shape[1] != (rows.stop - rows.start) * n:  # the first rows, and the last
            blocks = np.empty((len(prepared), (rows.stop - rows.start) * n))
        for centred, place in zip(prepared, blocks, strict=True):
            place[:] = centred.centre(rows, np.array(centred.matrix[rows], np.float64)).ravel()
        products += _some(blocks, left) @ _some(blocks, right).T
    at = {side: {i: k for k, i in enumerate(places)} for side, places in enumerate((left, right))}
    norms = [centred.norm for centred in prepared]
    cosines = (products[at[0][i], at[1][j]] / norms[i] / norms[j] for i, j in pairs)
    return [float(np.clip(cosine, -1.0, 1.0)) for cosine in cosines]


def _some(blocks: Floats, places: list[int]) -> Floats:
    """Return some rows, without a copy where they stand side by side."""
    first, last = places[0], places[-1]
    return blocks[first : last + 1] if last - first + 1 == len(places) else blocks[places]


def compare_angles(prepared: Sequence[Centred], pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Return arccos of what `compare_centred_many` returns, in radians."""
    return [float(np.arccos(cosine)) for cosine in compare_centred_many(prepared, pairs)]


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
    n = matrix.shape[0]
    scale, shift = 0.0, 0.0
    row_sums, diagonal, squares = np.zeros(n), np.zeros(n), 0.0
    for rows, block, largest in checked_blocks(matrix, at_least):
        if rows.start == 0:
            scale = power_of_two_above(largest)
            shift = float(block[0, 1]) / scale
        elif largest > scale:  # what is there was divided by too little; powers of two lose nothing
            ratio = scale / power_of_two_above(largest)
            scale, shift, squares = scale / ratio, shift * ratio, squares * ratio**2
            row_sums *= ratio
            diagonal *= ratio
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
    left = _square_left(sums, row_term, diagonal)
    if left < DIGITS_LEFT * squares:
        left = sum(_square(centred.centre(rows, block)) for rows, block in row_blocks(matrix))
    check_left(left, squares)
    return Centred(matrix, sums.scale, sums.shift, row_term, diagonal, float(np.sqrt(left)))


def _square_left(sums: _Sums, row_term: Floats, diagonal: Floats) -> float:
    """The squares of a centred matrix from sums, without reading it: has digits where much is left.

    That is Σ_{i≠j} (k_ij - t_i - t_j)² + Σ d_i², d the diagonal given.
    """
    n, total = len(row_term), float(row_term.sum())
    of_terms = 2 * (n - 2) * _square(row_term) + 2 * total**2
    of_both = 4 * float(np.vdot(sums.row_sums, row_term))
    return sums.squares - of_both + of_terms + _square(diagonal)


def check_left(left: float, squares: float) -> None:
    """Raise SemrsmError if centring left nothing but rounding: sums of squares after and before."""
    if left <= NOTHING_LEFT**2 * squares:
        raise SemrsmError(
            "the RSM is constant once it is centred, so this measure is undefined;"
            " choose samples that differ"
        )


def _square(values: Floats) -> float:
    return float(np.vdot(values, values))
