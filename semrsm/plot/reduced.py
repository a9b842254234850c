"""RSMs too large to be drawn entry by entry: read by blocks of rows, reduced to means."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.selection import quantiles
from semrsm.plot.figures.canvas import cell_side
from semrsm.rsms import Rsm

WORKING = 64  # bytes for each entry of a block, at most
SPREAD = 1 << 20  # entries off the diagonal that the colour scale is found from
SPREAD_BYTES = 48 * SPREAD

Order = NDArray[np.integer] | None


def reduce_rsm(
    rsm: Rsm, order: Order, memory: int, panels: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Return the means of an RSM over square cells of its samples in an order, and some of its entries.

    The cells are those of `canvas.block_means` of the whole, reordered RSM, as many as are drawn; the
    entries, (k,), are evenly spread ones off the diagonal, from which a colour scale is found.

    Args:
        rsm: Any RSM.
        order: (n,) the samples of its rows and columns as they are drawn; None as they are.
        memory: Bytes for the blocks, at least `rsm.row_need(WORKING)`.
        panels: How many RSMs are drawn together.
    """
    side = cell_side(rsm.shape, panels)
    n, m = rsm.shape
    place = np.arange(n) if order is None else np.argsort(order)
    starts = [np.arange(0, size, side) for size in (n, m)]
    sums = np.zeros((len(starts[0]), len(starts[1])))
    spread, entries_before = [], 0
    step = _step(n * m, m, SPREAD // panels)
    for first, block in rsm.blocks(memory, WORKING):
        rows = np.arange(first, first + len(block))
        columns = block if order is None else block[:, order]
        np.add.at(
            sums, place[rows] // side, np.add.reduceat(columns, starts[1], axis=1, dtype=np.float64)
        )
        flat = np.arange(-entries_before % step, block.size, step)
        across = flat % m
        off = (rows[flat // m] != across) | (not rsm.symmetric)
        spread.append(block[flat[off] // m, across[off]])
        entries_before += block.size
    sizes = [
        np.diff(first, append=size).astype(np.float64)
        for first, size in zip(starts, (n, m), strict=True)
    ]
    return sums / np.outer(*sizes), np.concatenate(spread)


def _step(entries: int, columns: int, count: int = SPREAD) -> int:
    """Return how far apart the entries are that are spread evenly, over all columns alike.

    >>> _step(1 << 24, 1 << 12)
    17
    """
    step = 1 + entries // max(1, count)
    while math.gcd(step, columns) > 1:
        step += 1
    return step


def quartiles(
    rsm: Rsm, views: NDArray[np.generic] | None, same: bool | None, memory: int
) -> list[float | None]:
    """Return the quartiles of the finite pairs i < j of an RSM, of all entries of a rectangular one.

    Args:
        rsm: Any RSM.
        views: (n,) which thing each sample is a view of; used with `same`.
        same: Only pairs that are views of one thing, or with False only the others.
        memory: Bytes for the blocks.
    """

    def blocks() -> Iterator[NDArray[np.floating]]:
        for first, block in rsm.blocks(memory, WORKING):
            rows = np.arange(first, first + len(block))[:, None]
            kept = np.isfinite(block)
            if rsm.symmetric:
                kept &= np.arange(block.shape[1]) > rows
            if views is not None and same is not None:
                kept &= (views[rows] == views) == same
            yield block[kept]

    quartiles = quantiles(blocks, (0.25, 0.5, 0.75))
    return [None if math.isnan(value) else value for value in quartiles]
