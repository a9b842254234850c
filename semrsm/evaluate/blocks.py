"""RSMs by blocks of rows, checked: so that no more than the pairs i < j is ever held."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm

BLOCK = 1 << 21  # entries of a block
ROUNDING = 1e-5  # what entries (i, j) and (j, i) may differ by, relative to the largest entry


def row_blocks(rsm: Rsm) -> Iterator[tuple[NDArray[np.intp], NDArray[np.floating]]]:
    """Yield (row numbers, block of rows) from top to bottom.

    Raises SemrsmError naming the first row that holds NaN or infinity.
    """
    n, m = rsm.shape
    step = max(1, BLOCK // m)
    for start in range(0, n, step):
        block = rsm.rows(slice(start, min(start + step, n)))
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise SemrsmError(
                f"{rsm.address}: row {row} holds NaN or infinity; leave that sample out"
            )
        yield np.arange(start, start + len(block)), block


def upper_pairs(rsm: Rsm) -> NDArray[np.float64]:
    """Return the pairs i < j of a symmetric RSM: (0, 1), (0, 2), ... (1, 2), ..., float64.

    Raises SemrsmError if the RSM is not symmetric or holds a value that is not finite.
    """
    n, m = rsm.shape
    if not rsm.symmetric:
        raise SemrsmError(
            f"{rsm.address} is rectangular ({n} x {m}) and its rows and columns are not the"
            " same samples; give a symmetric one, or use: semrsm evaluate retrieval"
        )
    if n < 2:
        raise SemrsmError(f"{rsm.address} has one sample and no pairs; give an RSM of more samples")
    pairs = np.empty(n * (n - 1) // 2)
    # One random vector v of signs tells K v from K^T v in the same pass over the rows.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], n)
    by_rows, by_columns, largest, at = np.zeros(n), np.zeros(n), 0.0, 0
    for numbers, block in row_blocks(rsm):
        scaled = block.astype(np.float64) * 2.0**-16  # sums of the largest numbers stay finite
        by_rows[numbers] = scaled @ signs
        by_columns += signs[numbers] @ scaled
        largest = max(largest, float(np.abs(scaled).max()))
        for i, row in zip(numbers, block, strict=True):
            pairs[at : at + n - 1 - i] = row[i + 1 :]
            at += n - 1 - i
    gap = np.abs(by_rows - by_columns)
    # The lowest sample, not the largest gap: the two samples of a pair tie but for rounding.
    differing = np.flatnonzero(gap > ROUNDING * np.sqrt(n) * largest)
    if differing.size:
        raise SemrsmError(
            f"{rsm.address}: row and column {differing[0]} differ; give a symmetric RSM"
        )
    return pairs
