"""RSMs by blocks of rows, checked: what is worked on at once is as large as the memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm

WORKING = 64  # bytes that an evaluation takes for each entry of a block, at most
ROUNDING = 1e-5  # what entries (i, j) and (j, i) may differ by, relative to the largest entry

Block = tuple[NDArray[np.intp], NDArray[np.floating]]


def row_blocks(rsm: Rsm, memory: int, working: int = WORKING) -> Iterator[Block]:
    """Yield (row numbers, block of rows) from top to bottom, within the bytes granted.

    Args:
        rsm: The RSM.
        memory: Bytes, at least `rsm.row_need(working)`.
        working: Bytes for each entry of a block that whoever works on it takes.

    Raises SemrsmError naming the first row that holds NaN or infinity.
    """
    for start, block in rsm.blocks(memory, working):
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise SemrsmError(
                f"{rsm.address}: row {row} holds NaN or infinity; leave that sample out"
            )
        yield np.arange(start, start + len(block)), block


def refuse_no_pairs(rsm: Rsm) -> None:
    """Raise SemrsmError for an RSM that has no pairs i < j: a rectangular one, or one sample."""
    n, m = rsm.shape
    if not rsm.symmetric:
        raise SemrsmError(
            f"{rsm.address} is rectangular ({n} x {m}) and its rows and columns are not the"
            " same samples; give a symmetric one, or use: semrsm evaluate retrieval"
        )
    if n < 2:
        raise SemrsmError(f"{rsm.address} has one sample and no pairs; give an RSM of more samples")


def symmetric_blocks(rsm: Rsm, memory: int) -> Iterator[Block]:
    """Yield what `row_blocks` does; raise SemrsmError after the last if the RSM is not symmetric."""
    n = rsm.shape[0]
    # One random vector v of signs tells K v from K^T v in the same pass over the rows.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], n)
    by_rows, by_columns, largest = np.zeros(n), np.zeros(n), 0.0
    for numbers, block in row_blocks(rsm, memory):
        scaled = block.astype(np.float64) * 2.0**-16  # sums of the largest numbers stay finite
        by_rows[numbers] = scaled @ signs
        by_columns += signs[numbers] @ scaled
        largest = max(largest, float(np.abs(scaled).max()))
        yield numbers, block
    gap = np.abs(by_rows - by_columns)
    # The lowest sample, not the largest gap: the two samples of a pair tie but for rounding.
    differing = np.flatnonzero(gap > ROUNDING * np.sqrt(n) * largest)
    if differing.size:
        raise SemrsmError(
            f"{rsm.address}: row and column {differing[0]} differ; give a symmetric RSM"
        )


def upper_pairs(blocks: Iterable[Block], n: int) -> NDArray[np.float64]:
    """Return the pairs i < j of blocks of rows: (0, 1), (0, 2), ... (1, 2), ..., float64.

    >>> upper_pairs([(np.arange(2), np.array([[9.0, 1.0], [1.0, 9.0]]))], 2).tolist()
    [1.0]
    """
    pairs, at = np.empty(n * (n - 1) // 2), 0
    for numbers, block in blocks:
        for i, row in zip(numbers, block, strict=True):
            pairs[at : at + n - 1 - i] = row[i + 1 :]
            at += n - 1 - i
    return pairs


def pair_rows(
    blocks: Iterable[Block], columns: Iterable[NDArray[np.generic]]
) -> Iterator[Sequence[Any]]:
    """Yield (i, j, entry, value of the column) for the pairs i < j, read again from blocks of rows.

    Args:
        blocks: As `row_blocks` gives them.
        columns: For each i the values of the pairs (i, i + 1), (i, i + 2), ...
    """
    rows = ((i, row) for numbers, block in blocks for i, row in zip(numbers, block, strict=True))
    for (i, row), column in zip(rows, columns, strict=True):
        parts = row[i + 1 :].astype(np.float64).tolist(), column.tolist()
        yield from zip([int(i)] * len(column), range(i + 1, len(row)), *parts, strict=True)
