"""Pairs: from blocks of samples to matched inner products, tile by tile, in several threads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semrsm.engine.maps import Maps, prepare, unscaled
from semrsm.engine.matchers import Matcher, Matches, Settings
from semrsm.engine.tiles import Plan, Tile
from semrsm.errors import SemrsmError

# The position vectors (b, S, C) of some samples, from wherever they are kept.
Source = Callable[[range], Tensor]


@dataclass(frozen=True)
class Work:
    """How pairs are matched.

    Attributes:
        matcher: A row of MATCHERS.
        settings: What the matcher is told.
        device: Where the products are computed.
        dtype: What the products are computed in; their sums are always float64.
        threads: Chunks of pairs in work at once.
        grid: (height, width) of the positions, None for tokens.
    """

    matcher: Matcher
    settings: Settings = field(default_factory=Settings)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    threads: int = 1
    grid: tuple[int, int] | None = None

    def sample_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one sample takes when it is ready for matching."""
        number = torch.finfo(self.dtype).bits // 8
        maps = n_positions * n_channels * number
        return maps + self.matcher.prepared_bytes(n_positions, n_channels, number, self.settings)

    def pair_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one pair in work takes."""
        number = torch.finfo(self.dtype).bits // 8
        return self.matcher.workspace_bytes(n_positions, n_channels, number, self.settings)


def matched_tiles(
    rows: Source,
    columns: Source,
    plan: Plan,
    work: Work,
    on_pairs: Callable[[int], None] = lambda n: None,
) -> Iterator[tuple[Tile, NDArray[np.float64]]]:
    """Yield the matched inner products of every tile of a plan.

    Args:
        rows: Gives row samples.
        columns: Gives column samples; the same as `rows` in a symmetric plan.
        plan: The tiles.
        work: How pairs are matched.
        on_pairs: Told how many pairs were matched, from time to time.

    Yields:
        The tile and its block (len(tile.rows), len(tile.columns)) float64. A diagonal tile of a
        symmetric plan solves i < j, mirrors them, and has the squared norms on its diagonal.

    Raises:
        SemrsmError: A value is too large for float64.
    """
    with _pool(work.threads if work.matcher.in_threads else 1) as pool:
        for tile, row_block, column_block in _with_blocks(rows, columns, plan, work):
            yield (
                tile,
                _tile_values(tile, row_block, column_block, plan.chunk, work, pool, on_pairs),
            )


@dataclass(frozen=True)
class Block:
    """Samples that are ready: their maps and what the matcher prepared from them."""

    samples: range
    maps: Maps
    prepared: Any


def _with_blocks(
    rows: Source, columns: Source, plan: Plan, work: Work
) -> Iterator[tuple[Tile, Block, Block]]:
    """Yield each tile with its blocks; those of the next one are read meanwhile."""
    held: dict[str, Block] = {}

    def block(side: str, source: Source, samples: range) -> Block:
        if side not in held or held[side].samples != samples:
            held.pop(side, None)
            held[side] = _ready(source, samples, work)
        return held[side]

    def load(tile: Tile) -> tuple[Tile, Block, Block]:
        row_block = block("rows", rows, tile.rows)
        if tile.symmetric_diagonal:
            return tile, row_block, row_block
        return tile, row_block, block("columns", columns, tile.columns)

    with _pool(1) as reader:
        coming: Future | None = None
        for tile in plan.tiles():
            loading = reader.submit(load, tile)
            if coming is not None:
                yield coming.result()
            coming = loading
        if coming is not None:
            yield coming.result()


def _ready(source: Source, samples: range, work: Work) -> Block:
    vectors = source(samples).to(work.device)
    maps = prepare(vectors, centred=work.matcher.centred, dtype=work.dtype, grid=work.grid)
    return Block(samples, maps, work.matcher.prepare(maps, work.settings))


def _tile_values(
    tile: Tile,
    rows: Block,
    columns: Block,
    chunk: int,
    work: Work,
    pool: ThreadPoolExecutor,
    on_pairs: Callable[[int], None],
) -> NDArray[np.float64]:
    """Match the pairs of one tile, in chunks over the threads of the pool."""
    pairs = _pairs_of(tile).to(work.device)
    values = torch.zeros(len(tile.rows), len(tile.columns), dtype=torch.float64)
    chunks = pairs.split(chunk) if work.matcher.in_threads else (pairs,)
    futures = [pool.submit(_match, rows, columns, some, work) for some in chunks if len(some)]
    for future in as_completed(futures):
        some, inner_products = future.result()
        i, j = some.unbind(1)
        values[i, j] = inner_products
        on_pairs(len(some))
    if tile.symmetric_diagonal:
        values += values.T.clone()
        values.diagonal().copy_(rows.maps.squared_norm)
    if not values.isfinite().all():
        raise SemrsmError(
            "inner products overflow float64; divide the activations by a large number"
        )
    return values.numpy()


def _pairs_of(tile: Tile) -> Tensor:
    """Return the pairs of a tile, (P, 2) int64, counted from its corner."""
    a, b = len(tile.rows), len(tile.columns)
    if tile.symmetric_diagonal:
        return torch.triu_indices(a, a, offset=1).T
    return torch.cartesian_prod(torch.arange(a), torch.arange(b))


def _match(rows: Block, columns: Block, pairs: Tensor, work: Work) -> tuple[Tensor, Tensor]:
    matches = match_pairs(rows, columns, pairs, work)
    return pairs.cpu(), unscaled(matches.sums, rows.maps, columns.maps, pairs).cpu()


def match_pairs(rows: Block, columns: Block, pairs: Tensor, work: Work) -> Matches:
    """Match some pairs, (P, 2) int64, of two blocks in this thread."""
    return work.matcher.match(rows.prepared, columns.prepared, pairs, work.settings)


@contextlib.contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Run a pool; when the work fails or is interrupted, what has not begun is dropped."""
    # Several chunks at once, each with one thread, beat one chunk whose products use them all.
    start = (lambda: torch.set_num_threads(1)) if threads > 1 else None
    pool = ThreadPoolExecutor(threads, initializer=start)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
