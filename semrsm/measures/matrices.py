"""Read RSMs by blocks of rows: arrays, memory maps and HDF5 datasets alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

BLOCK_BYTES = 2**24
FOR_BLOCKS = 8 * BLOCK_BYTES  # what blocks of rows and what is made of them take, at most
ROUNDING = 1e-5  # what entries (i, j) and (j, i) may differ by, relative to the largest entry


class Matrix(Protocol):
    """What a measure needs of an RSM: its shape, its dtype and slices of its rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""

    @property
    def dtype(self) -> Any:
        """Any real dtype."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Rows start to stop, (stop - start, n)."""


@dataclass(frozen=True)
class Permuted:
    """An RSM with its samples in another order, rows made when they are asked for.

    Attributes:
        matrix: The RSM.
        order: (n,) which sample stands at each place.
    """

    matrix: Matrix
    order: Integers

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return self.matrix.shape

    @property
    def dtype(self) -> Any:
        """That of the RSM."""
        return self.matrix.dtype

    def __getitem__(self, rows: slice, /) -> Any:
        """Return rows start to stop in the new order."""
        samples = self.order[rows]
        if isinstance(self.matrix, np.ndarray):
            return self.matrix[samples][:, self.order]
        return np.concatenate([self.matrix[int(i) : int(i) + 1] for i in samples])[:, self.order]


def row_blocks(matrix: Matrix) -> Iterator[tuple[slice, Floats]]:
    """Yield (rows, block) from top to bottom; every block is a new float64 array of (rows, n)."""
    for rows in row_slices(*matrix.shape):
        yield rows, np.array(matrix[rows], dtype=np.float64)


def row_slices(n: int, columns: int) -> Iterator[slice]:
    """Yield rows from top to bottom, of BLOCK_BYTES in float64 where one row is not more."""
    step = max(1, BLOCK_BYTES // (8 * columns))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def check_rsm(matrix: Matrix, at_least: int) -> float:
    """Check that `matrix` is an RSM of at least `at_least` samples; return its scale.

    The scale is the power of two above the largest magnitude, so that dividing by it loses nothing
    and no square of an entry overflows; 1 for a matrix of zeros. Symmetry is checked with one
    random vector v of signs: K v against K^T v, both in one pass over the rows.

    Raises SemrsmError if the matrix is not square, too small, not real, not finite or not symmetric.

    >>> check_rsm(np.array([[5.0, 1.0], [1.0, 5.0]]), at_least=2)
    8.0
    """
    return power_of_two_above(max(largest for _, _, largest in checked_blocks(matrix, at_least)))


def checked_blocks(matrix: Matrix, at_least: int) -> Iterator[tuple[slice, Floats, float]]:
    """Yield (rows, block, largest magnitude so far) of what is checked to be an RSM, in one reading.

    Blocks are as of `row_blocks`. Raises SemrsmError as `check_rsm`: what is not symmetric is told after
    the last block.
    """
    n = _check_shape(matrix, at_least)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], n)
    by_rows, by_columns, largest = np.zeros(n), np.zeros(n), 0.0
    for rows, block in row_blocks(matrix):
        row_largest = np.maximum(block.max(axis=1), -block.min(axis=1))
        if not np.isfinite(row_largest).all():
            row = rows.start + int(np.flatnonzero(~np.isfinite(row_largest))[0])
            raise SemrsmError(
                f"wanted finite numbers, row {row} holds NaN or infinity; leave that sample out"
            )
        largest = max(largest, float(row_largest.max()))
        small = block * 2.0**-64  # sums of the largest float64 stay finite
        by_rows[rows] = small @ signs
        by_columns += signs[rows] @ small
        del small
        yield rows, block, largest
    gap = np.abs(by_rows - by_columns)
    # Both samples of a pair have the same gap but for rounding: the lowest, not the largest, is
    # named, so that the sentence does not depend on the processor.
    tolerance = ROUNDING * np.sqrt(n) * largest * 2.0**-64 + np.finfo(np.float64).tiny
    differing = np.flatnonzero(gap > tolerance)
    if differing.size:
        raise SemrsmError(
            f"wanted a symmetric RSM, row and column {differing[0]} differ;"
            " compare RSMs whose pairs (i, j) and (j, i) are equal"
        )


def _check_shape(matrix: Matrix, at_least: int) -> int:
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise SemrsmError(
            f"wanted a square RSM (n, n) of one set of samples, got shape {tuple(matrix.shape)};"
            " rectangular RSMs cannot be compared"
        )
    if np.dtype(matrix.dtype).kind not in "fiub":
        raise SemrsmError(f"wanted real numbers, got dtype {matrix.dtype}; convert the RSM first")
    n = matrix.shape[0]
    if n < at_least:
        raise SemrsmError(f"wanted at least {at_least} samples, got {n}; use more samples")
    return n


def check_same_size(n: int, other: int) -> None:
    """Raise SemrsmError unless two RSMs have the same number of samples."""
    if n != other:
        raise SemrsmError(
            f"wanted two RSMs of the same samples, got {n} and {other} samples;"
            " compute both from the same samples"
        )


def power_of_two_above(largest: float) -> float:
    """Return a power of two of the size of `largest`, 1 for 0; dividing by it is exact."""
    exponent = int(np.frexp(largest)[1]) if largest else 0
    return float(np.ldexp(1.0, min(exponent, 1023)))


def upper_triangle(matrix: Matrix, at_least: int) -> NDArray[np.floating[Any]]:
    """Return the entries i < j, row by row: (n (n - 1) / 2,), float32 if that loses nothing.

    Raises SemrsmError as `check_rsm`; the matrix is read once.

    >>> upper_triangle(np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]]), 3).tolist()
    [1.0, 2.0, 3.0]
    """
    n = _check_shape(matrix, at_least)
    dtype = np.dtype(matrix.dtype)
    wide = dtype.kind != "f" or dtype.itemsize > 4
    m = n * (n - 1) // 2
    values: NDArray[np.floating[Any]] = np.empty(m, np.float64) if wide else np.empty(m, np.float32)
    filled = 0
    for rows, block, _ in checked_blocks(matrix, at_least):
        for i, row in enumerate(block, start=rows.start):
            values[filled : filled + n - 1 - i] = row[i + 1 :]
            filled += n - 1 - i
    return values
