"""Tiles: blocks of pairs that are computed at once, and how much of one is in work as memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semrsm.machine import require_memory


@dataclass(frozen=True)
class Tile:
    """The pairs of some row samples with some column samples.

    Attributes:
        rows: Which row samples.
        columns: Which column samples.
        symmetric_diagonal: Rows and columns are the same samples; only pairs i < j are solved.
    """

    rows: range
    columns: range
    symmetric_diagonal: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.rows), len(self.columns)

    @property
    def n_pairs(self) -> int:
        """How many pairs the tile solves."""
        if self.symmetric_diagonal:
            return len(self.rows) * (len(self.rows) - 1) // 2
        return len(self.rows) * len(self.columns)

    def pieces(self, edge: int) -> Iterator[Tile]:
        """Yield the tile in pieces of at most `edge` rows and columns; each needs one new block at most.

        They go through the columns to and fro, so that where the rows change the columns stay. Of a
        diagonal tile only the pieces that hold pairs i < j are there.
        """
        columns_of = blocks_of(self.columns, edge)
        for rows in blocks_of(self.rows, edge):
            for columns in columns_of:
                if not self.symmetric_diagonal or rows.start <= columns.start:
                    yield Tile(rows, columns, self.symmetric_diagonal and rows == columns)
            columns_of.reverse()


def blocks_of(samples: range, edge: int) -> list[range]:
    """Return consecutive samples in blocks of at most `edge`."""
    return [
        range(start, min(start + edge, samples.stop))
        for start in range(samples.start, samples.stop, edge)
    ]


@dataclass(frozen=True)
class LayerSize:
    """What a backend needs to know of a layer to decide what is in work at once.

    Attributes:
        edge: Of a tile, in samples.
        n_rows: Row samples.
        n_columns: Column samples.
        symmetric: Rows and columns are the same samples.
        n_positions: S.
        n_channels: C.
        reading_bytes: What a sample takes on this machine while it is read.
    """

    edge: int
    n_rows: int
    n_columns: int
    symmetric: bool
    n_positions: int
    n_channels: int
    reading_bytes: int


@dataclass(frozen=True)
class Budget:
    """How much of a layer is in work at once, so that it fits into the memory granted.

    Attributes:
        piece: Samples in a block that is read at once: a tile's edge, or a part of it.
        cached_blocks: Blocks of samples that are kept, the most recent ones.
        tiles: Tiles in work at once: while one ends and is written, the next is read and begun.
        chunk: Pairs that one thread matches at once.
        bytes_needed: Estimated peak of blocks, work and results, on this machine.
        lanes: Chunks in work at once; 0 for as many as there are threads.
        device_bytes: The same of a device with a memory of its own.
    """

    piece: int
    cached_blocks: int
    tiles: int
    chunk: int
    bytes_needed: int
    lanes: int = 0
    device_bytes: int = 0


LARGEST_CHUNK = 256  # pairs; more brings no speed on a CPU and less frequent progress
LARGEST_WORK = 64 << 20  # bytes of a chunk; larger ones only leave the caches
RESULT_BYTES = 48  # of a pair in work: its indices, its value in the making and in the tile


def plan_budget(
    edge: int,
    n_rows: int,
    n_columns: int,
    *,
    symmetric: bool,
    values: int,
    sample_bytes: int,
    reading_bytes: int,
    pair_bytes: int,
    threads: int,
    memory: int,
    again_bytes: int = 0,
) -> Budget:
    """Decide what is in work at once on a CPU: whole tiles, two of them, and as many blocks as fit.

    A quarter of the memory is for the pairs in work. Where whole tiles fit, a tile's numbers depend
    neither on the memory nor on the threads; where they are cut, products are of other sizes and may
    round otherwise.

    Args:
        edge: Of a tile, in samples.
        n_rows: Row samples of the layer.
        n_columns: Column samples.
        symmetric: Rows and columns are the same samples.
        values: Numbers kept for a pair: 1, or 2 with an upper bound.
        sample_bytes: What one sample takes when it is ready for matching.
        reading_bytes: What it takes besides while it is read and made ready.
        pair_bytes: What one pair in work takes.
        threads: How many chunks are in work at once.
        memory: In bytes.
        again_bytes: What a thread takes besides blocks to match a pair again, instead of a chunk.

    Raises:
        SemrsmError: Not even one pair at a time fits.

    >>> plan_budget(64, 100, 100, symmetric=True, values=1, sample_bytes=10**6, reading_bytes=0,
    ...             pair_bytes=10**5, threads=2, memory=10**8)
    Budget(piece=16, cached_blocks=5, tiles=1, chunk=64, bytes_needed=92877824, lanes=2, device_bytes=0)
    """
    edge = min(edge, max(n_rows, n_columns))
    pair_bytes = max(pair_bytes, 1)
    tile_bytes = 8 * values * min(edge, n_rows) * min(edge, n_columns)

    def block_bytes(piece: int, cached_blocks: int, tiles: int) -> int:
        pairs = min(piece, n_rows) * min(piece, n_columns)
        return piece * (cached_blocks * sample_bytes + reading_bytes) + tiles * (
            RESULT_BYTES * pairs + 2 * tile_bytes
        )

    least = block_bytes(1, 2, 1) + threads * max(pair_bytes, again_bytes)
    what = f"one pair at a time in {threads} threads"
    require_memory(what, least, memory, "lower `threads`, or `pool` the maps")
    pairs = min(edge, n_rows) * min(edge, n_columns) // (2 if symmetric else 1)
    fair = -(-pairs // 16)  # a few chunks for each thread, so that all end at about the same time
    work = max(1, min(LARGEST_WORK, memory // 4 // threads) // pair_bytes)
    chunk = power_of_two_up_to(max(1, min(LARGEST_CHUNK, fair, work)))
    in_work = threads * max(chunk * pair_bytes, again_bytes)
    left = memory - in_work

    def all_blocks(piece: int) -> int:
        rows, columns = -(-n_rows // piece), -(-n_columns // piece)
        return rows if symmetric else rows + columns

    piece = edge
    while piece > 1 and block_bytes(piece, min(3, all_blocks(piece)), 1) > left:
        piece = -(-piece // 2)
    tiles = 1
    if piece == edge and block_bytes(piece, min(5, all_blocks(piece)), 2) <= left:
        tiles = 2
    room = left - block_bytes(piece, 0, tiles)
    cached_blocks = max(2, min(all_blocks(piece), room // max(1, piece * sample_bytes)))
    needed = block_bytes(piece, min(cached_blocks, all_blocks(piece)), tiles) + in_work
    return Budget(piece, cached_blocks, tiles, chunk, needed, lanes=threads)


def power_of_two_up_to(n: int) -> int:
    """Return the largest power of two that is at most n.

    >>> [power_of_two_up_to(n) for n in (1, 2, 3, 64, 100)]
    [1, 2, 2, 64, 64]
    """
    return 1 << (n.bit_length() - 1)
