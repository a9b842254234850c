"""Pairs: from blocks of samples to matched inner products, tile by tile, in several threads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semrsm.engine.certificate import bounds_of_pairs
from semrsm.engine.devices import product_precision
from semrsm.engine.maps import Maps, prepare, unscaled
from semrsm.engine.matchers import Matcher, Settings
from semrsm.engine.products import sums_of_matched
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
        certify: Also bound every pair from above.
        precision: "exact" or "fast": how float32 products are computed, see devices.PRECISIONS.
    """

    matcher: Matcher
    settings: Settings = field(default_factory=Settings)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    threads: int = 1
    grid: tuple[int, int] | None = None
    certify: bool = False
    precision: str = "exact"

    @property
    def largest_chunk(self) -> int:
        """How many pairs a chunk holds at most: more brings no speed and less frequent progress."""
        return 256 if self.device.type == "cpu" else 4096

    @property
    def largest_work(self) -> int:
        """How many bytes a chunk takes at most: on a CPU, larger ones only leave the caches."""
        return 64 << 20 if self.device.type == "cpu" else 16 << 30

    def sample_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one sample takes when it is ready for matching."""
        number = torch.finfo(self.dtype).bits // 8
        maps = n_positions * n_channels * number
        return maps + self.matcher.prepared_bytes(n_positions, n_channels, number, self.settings)

    def pair_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one pair in work takes."""
        number = torch.finfo(self.dtype).bits // 8
        matching = self.matcher.workspace_bytes(n_positions, n_channels, number, self.settings)
        # The float64 affinities of one pair, twice, and once more while they are reduced.
        return matching + (24 * n_positions**2 if self.certify else 0)


@dataclass(frozen=True)
class TileValues:
    """What was found for the pairs of a tile.

    Attributes:
        tile: Which pairs.
        matched: (rows, columns) float64, matched inner products. A diagonal tile of a symmetric plan
            solves i < j, mirrors them, and has the squared norms on its diagonal.
        upper_bound: (rows, columns) float64, what no matching can exceed; None unless certified.
        solved_again: How many pairs could not be proved optimal and were solved again in float64.
    """

    tile: Tile
    matched: NDArray[np.float64]
    upper_bound: NDArray[np.float64] | None
    solved_again: int


def matched_tiles(
    rows: Source,
    columns: Source,
    plan: Plan,
    work: Work,
    on_pairs: Callable[[int], None] = lambda n: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Iterator[TileValues]:
    """Yield the matched inner products of every tile of a plan.

    Args:
        rows: Gives row samples.
        columns: Gives column samples; the same as `rows` in a symmetric plan.
        plan: The tiles.
        work: How pairs are matched.
        on_pairs: Told how many pairs were matched, from time to time.
        on_note: Told when a device ran out of memory and the work went on in smaller parts.

    Raises:
        SemrsmError: A value is too large for float64; one pair does not fit on the device.
    """
    in_threads = work.threads if work.matcher.in_threads else 1
    with product_precision(work.precision, work.device), _pool(in_threads) as pool:
        for tile, row_block, column_block in _with_blocks(rows, columns, plan, work):
            pairs = _pairs_of(tile).to(work.device)
            chunks = pairs.split(plan.chunk) if work.matcher.in_threads else (pairs,)
            match = functools.partial(_match_or_halve, row_block, column_block, work, on_note)
            futures = [pool.submit(match, chunk) for chunk in chunks if len(chunk)]
            yield _assemble(tile, row_block, futures, work.certify, on_pairs)
            del match, row_block, column_block  # before the next but one is read


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
            held[side] = ready(source, samples, work)
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


def ready(source: Source, samples: range, work: Work) -> Block:
    """Read some samples and make them ready for matching, on the device of the work."""
    with _copying_to(work.device):
        vectors = source(samples)
        if work.device.type == "cuda":
            vectors = vectors.pin_memory().to(work.device, non_blocking=True)
        maps = prepare(vectors, centred=work.matcher.centred, dtype=work.dtype, grid=work.grid)
        return Block(samples, maps, work.matcher.prepare(maps, work.settings))


@functools.cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream for copies: what torch has freed on a stream serves that stream only."""
    return torch.cuda.Stream(device)


@contextlib.contextmanager
def _copying_to(device: torch.device) -> Iterator[None]:
    """Let copies to a GPU run beside the kernels that solve the tile before."""
    if device.type != "cuda":
        yield
        return
    stream = _copy_stream(device)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


@dataclass(frozen=True)
class MatchedPairs:
    """What was found for P pairs, on the CPU unless said otherwise.

    Attributes:
        pairs: (P, 2) int64.
        matched: (P,) float64, matched inner products.
        permutation: (P, S) int64, on the device of the work; None where the matcher has none.
        upper_bound: (P,) float64; None unless certified.
        solved_again: How many pairs could not be proved optimal and were solved again in float64.
    """

    pairs: Tensor
    matched: Tensor
    permutation: Tensor | None
    upper_bound: Tensor | None
    solved_again: int = 0


def match_pairs(rows: Block, columns: Block, pairs: Tensor, work: Work) -> MatchedPairs:
    """Match some pairs, (P, 2) int64 on the device of the work, of two blocks, in this thread."""
    matches = work.matcher.match(rows.prepared, columns.prepared, pairs, work.settings)
    sums = matches.sums
    # What takes a tile at once has summed float64 products already.
    inexact = work.precision != "exact" and work.matcher.in_threads
    if inexact and matches.permutation is not None:
        sums = sums_of_matched(rows.maps, columns.maps, pairs, matches.permutation)
    matched = unscaled(sums, rows.maps, columns.maps, pairs)
    bound = None
    if work.certify:
        optimal = matches.permutation if work.matcher.value == "exact" else None
        bounds = bounds_of_pairs(rows.maps, columns.maps, pairs, optimal)
        bound = unscaled(bounds, rows.maps, columns.maps, pairs).cpu()
    return MatchedPairs(
        pairs.cpu(), matched.cpu(), matches.permutation, bound, matches.solved_again
    )


def _match_or_halve(
    rows: Block, columns: Block, work: Work, on_note: Callable[[str], None], pairs: Tensor
) -> MatchedPairs:
    """Match some pairs; where the device has too little memory for them, one half after the other."""
    try:
        # The permutations of a whole RSM would fill the memory; here they have served.
        return replace(match_pairs(rows, columns, pairs, work), permutation=None)
    except torch.OutOfMemoryError:
        if len(pairs) == 1:
            raise SemrsmError(
                f"one pair does not fit into the memory of {work.device};"
                " --pool the maps or use --device cpu"
            ) from None
        on_note(
            f"{len(pairs)} pairs do not fit into the memory of {work.device}; going on with half as many"
        )
    halves = [_match_or_halve(rows, columns, work, on_note, half) for half in pairs.tensor_split(2)]
    bounds = [half.upper_bound for half in halves if half.upper_bound is not None]
    return MatchedPairs(
        torch.cat([half.pairs for half in halves]),
        torch.cat([half.matched for half in halves]),
        None,
        torch.cat(bounds) if bounds else None,
        sum(half.solved_again for half in halves),
    )


def _assemble(
    tile: Tile, rows: Block, futures: list[Future], certified: bool, on_pairs: Callable[[int], None]
) -> TileValues:
    """Put what was found for the pairs of a tile into place as it comes in."""
    layers = torch.zeros(1 + certified, len(tile.rows), len(tile.columns), dtype=torch.float64)
    solved_again = 0
    for future in as_completed(futures):
        found: MatchedPairs = future.result()
        i, j = found.pairs.unbind(1)
        layers[0, i, j] = found.matched
        if found.upper_bound is not None:
            layers[1, i, j] = found.upper_bound
        solved_again += found.solved_again
        on_pairs(len(found.pairs))
    if tile.symmetric_diagonal:
        layers += layers.mT.clone()
        layers.diagonal(dim1=1, dim2=2).copy_(rows.maps.squared_norm.cpu())
    if not layers.isfinite().all():
        raise SemrsmError(
            "inner products overflow float64; divide the activations by a large number"
        )
    bounds = layers[1].numpy() if certified else None
    return TileValues(tile, layers[0].numpy(), bounds, solved_again)


def _pairs_of(tile: Tile) -> Tensor:
    """Return the pairs of a tile, (P, 2) int64, counted from its corner."""
    a, b = len(tile.rows), len(tile.columns)
    if tile.symmetric_diagonal:
        return torch.triu_indices(a, a, offset=1).T
    return torch.cartesian_prod(torch.arange(a), torch.arange(b))


@contextlib.contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Run a pool; when the work fails or is interrupted, what has not begun is dropped."""
    # Several chunks at once, each with one thread, beat one chunk whose products use them all.
    start = (lambda: torch.set_num_threads(1)) if threads > 1 else None
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=start)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if start:  # what one thread sets, every thread to come begins with
            torch.set_num_threads(before)
