"""Tiles: which blocks of pairs are computed at once, so that they fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from semrsm.errors import SemrsmError


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
    def n_pairs(self) -> int:
        """How many pairs the tile solves."""
        if self.symmetric_diagonal:
            return len(self.rows) * (len(self.rows) - 1) // 2
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Plan:
    """How an RSM is cut into tiles.

    Attributes:
        n_rows: Row samples.
        n_columns: Column samples.
        symmetric: Rows and columns are the same samples.
        block: Samples in a row or column block.
        chunk: Pairs that are in work at once in one thread.
        bytes_needed: Estimated peak memory of blocks, work and results, and of files that are loaded whole.
    """

    n_rows: int
    n_columns: int
    symmetric: bool
    block: int
    chunk: int
    bytes_needed: int

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles, those of one row block after another; each needs one new block at most.

        A rectangular plan goes through the column blocks to and fro, so that where the rows change
        the columns stay.
        """
        columns_of = _blocks(self.n_columns, self.block)
        for rows in _blocks(self.n_rows, self.block):
            for columns in columns_of:
                if not self.symmetric or rows.start <= columns.start:
                    yield Tile(rows, columns, self.symmetric and rows == columns)
            if not self.symmetric:
                columns_of.reverse()

    @property
    def n_tiles(self) -> int:
        """How many tiles there are."""
        rows, columns = (-(-n // self.block) for n in (self.n_rows, self.n_columns))
        return rows * (rows + 1) // 2 if self.symmetric else rows * columns

    @property
    def n_pairs(self) -> int:
        """How many pairs are solved."""
        return (
            self.n_rows * (self.n_rows - 1) // 2 if self.symmetric else self.n_rows * self.n_columns
        )


def _blocks(n: int, size: int) -> list[range]:
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


LARGEST_BLOCK = 2048  # samples; more brings no speed and lists of pairs that take gigabytes
RESULT_BYTES = (
    48  # of a pair of a tile: its indices, its value in the making, in the tile and mirrored
)


def plan_tiles(
    n_rows: int,
    n_columns: int,
    *,
    symmetric: bool,
    sample_bytes: int,
    reading_bytes: int,
    pair_bytes: int,
    threads: int,
    memory: int,
    largest_chunk: int = 256,
    largest_work: int = 64 << 20,
) -> Plan:
    """Cut an RSM into tiles whose blocks, work and results fit into `memory` bytes.

    A quarter of the memory is for the pairs in work, the rest for blocks of samples and the block
    of results.

    Args:
        n_rows: Row samples.
        n_columns: Column samples.
        symmetric: Rows and columns are the same samples.
        sample_bytes: What one sample takes when it is ready for matching.
        reading_bytes: What it takes besides while it is read and made ready.
        pair_bytes: What one pair in work takes.
        threads: How many chunks of pairs are in work at once.
        memory: In bytes.
        largest_chunk: Pairs in a chunk at most.
        largest_work: Bytes that a chunk takes at most.

    Raises:
        SemrsmError: Not even one pair at a time fits.

    >>> plan = plan_tiles(100, 100, symmetric=True, sample_bytes=10**6, reading_bytes=0,
    ...                   pair_bytes=10**5, threads=2, memory=10**8)
    >>> plan.block, plan.chunk, plan.n_tiles
    (24, 125, 15)
    """
    n = max(n_rows, n_columns)
    pair_bytes = max(pair_bytes, 1)

    def block_bytes(block: int) -> int:
        # Three are held at most, as `tiles` goes: two in work, and one that is being read.
        held = 1 if symmetric and block >= n else 3
        return block * (held * sample_bytes + reading_bytes) + RESULT_BYTES * block * block

    least = block_bytes(1) + threads * pair_bytes
    if least > memory:
        raise SemrsmError(
            f"one pair at a time in {threads} threads needs {least / 2**20:.1f} MiB and --memory"
            f" grants {memory / 2**20:.1f} MiB; raise --memory, lower --threads, or --pool the maps"
        )
    n_pairs = n_rows * (n_rows - 1) // 2 if symmetric else n_rows * n_columns
    # A few chunks for each thread, so that all of them end at about the same time.
    fair = -(-n_pairs // (8 * threads))
    work = min(largest_work, memory // 4 // threads)
    chunk = max(1, min(largest_chunk, fair, work // pair_bytes))
    work = threads * chunk * pair_bytes
    block = _largest(min(n, LARGEST_BLOCK), lambda size: block_bytes(size) + work <= memory)
    return Plan(n_rows, n_columns, symmetric, block, chunk, block_bytes(block) + work)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, at least 1."""
    if fits(most):
        return most
    low, high = 1, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
