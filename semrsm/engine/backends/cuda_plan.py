"""What is in work at once on a GPU: numbers only, so that the plan for any card can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from semrsm.engine.tiles import RESULT_BYTES, Budget, LayerSize, power_of_two_up_to
from semrsm.errors import SemrsmError
from semrsm.machine import require_memory

WAVES = 4  # of programs in flight: fewer leave multiprocessors idle while the last ones end
RESIDENT_WARPS = 16  # of a multiprocessor: its registers have room for so many of the solver's
LANES = 2  # chunks in flight: the one begins while the results of the other are fetched
MOST_LANES = 4
HEADROOM = 16  # of the memory of a card, this part is left to the driver, cuBLAS and others
SMALLEST = 16  # part of a chunk below which smaller blocks of samples are better


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: As `device` takes it.
        multiprocessors: How many programs run at the same time, at least.
        total: Bytes of its memory.
        free: Bytes of it that nobody has taken.
    """

    name: str
    multiprocessors: int
    total: int
    free: int

    @property
    def room(self) -> int:
        """Bytes that a run may take."""
        return max(0, self.free - self.total // HEADROOM)


@dataclass(frozen=True)
class Needs:
    """What matching takes; bytes on the GPU unless said otherwise.

    Attributes:
        values: Numbers kept for a pair: 1, or 2 with an upper bound.
        sample_bytes: What a sample takes when it is ready.
        preparing_bytes: What it takes besides while it is made ready.
        shared_bytes: What making any number of samples ready takes besides, at most.
        pair_bytes: What a pair in work takes.
        warps: Of the program that solves a pair.
        again_bytes: What a thread of this machine takes to match a pair again.
    """

    values: int
    sample_bytes: int
    preparing_bytes: int
    shared_bytes: int
    pair_bytes: int
    warps: int
    again_bytes: int


def plan_for(card: Card, layer: LayerSize, needs: Needs, threads: int, memory: int) -> Budget:
    """Decide what is in work at once on a card: enough programs to fill it, two chunks and more.

    A chunk is a tile at most. Where memory is short there are first fewer chunks in flight, then smaller
    ones, then smaller blocks of samples.

    Args:
        card: The GPU.
        layer: What is to be matched.
        needs: What that takes.
        threads: Of this machine, which match pairs again.
        memory: Bytes granted on this machine.

    Raises:
        SemrsmError: Not even one pair at a time fits.

    >>> layer = LayerSize(512, 10_000, 10_000, True, 49, 512, 2 * 49 * 512 * 4)
    >>> needs = Needs(1, 49 * 512 * 4, 2 * 49 * 512 * 4, 0, 4 * 49**2 + 64 * 49, 1, 10**6)
    >>> plan = plan_for(Card("cuda:0", 132, 141 << 30, 140 << 30), layer, needs, 8, 64 << 30)
    >>> plan.chunk, plan.lanes, plan.tiles
    (16384, 2, 2)
    """
    edge = min(layer.edge, max(layer.n_rows, layer.n_columns))
    piece = edge
    while True:
        host = _host_bytes(layer, needs, piece, threads)
        if host <= memory:
            for lanes, chunk in _launches(layer, needs, card, piece):
                tiles = _tiles_in_work(layer, piece, lanes, chunk) if piece == edge else 1
                all_blocks = _all_blocks(layer, piece)
                blocks = min(2 * tiles + 1, all_blocks)
                rest = card.room - _device_bytes(needs, piece, lanes, chunk)
                if blocks * piece * needs.sample_bytes <= rest:
                    cached_blocks = min(all_blocks, rest // max(1, piece * needs.sample_bytes))
                    taken = card.room - rest + cached_blocks * piece * needs.sample_bytes
                    return Budget(piece, max(2, cached_blocks), tiles, chunk, host, lanes, taken)
        if piece == 1:
            break
        piece = -(-piece // 2)
    what = f"one pair at a time and {threads} threads"
    require_memory(what, host, memory, "lower `threads`, or `pool` the maps")
    raise SemrsmError(
        f"one pair does not fit into the memory of {card.name}, {card.room >> 20} MiB;"
        " `pool` the maps or use `device='cpu'`"
    )


def _launches(layer: LayerSize, needs: Needs, card: Card, piece: int) -> Iterator[tuple[int, int]]:
    """Yield how many chunks may be in flight, and the pairs of each, the best first."""
    target = WAVES * card.multiprocessors * max(1, RESIDENT_WARPS // needs.warps)
    pairs = min(piece, layer.n_rows) * min(piece, layer.n_columns)
    chunk = min(power_of_two_from(target), power_of_two_from(pairs))
    for lanes in range(min(MOST_LANES, max(LANES, -(-target // chunk))), LANES, -1):
        yield lanes, chunk
    least = 1 if piece == 1 else max(1, chunk // SMALLEST)
    while chunk >= least:
        yield LANES, chunk
        chunk //= 2
    yield 1, max(1, chunk)


def _tiles_in_work(layer: LayerSize, piece: int, lanes: int, chunk: int) -> int:
    """Return how many tiles keep the lanes busy while one more ends and is written."""
    pairs = min(piece, layer.n_rows) * min(piece, layer.n_columns)
    return 1 + -(-lanes * chunk // max(1, pairs))


def _all_blocks(layer: LayerSize, piece: int) -> int:
    rows, columns = -(-layer.n_rows // piece), -(-layer.n_columns // piece)
    return rows if layer.symmetric else rows + columns


def _device_bytes(needs: Needs, piece: int, lanes: int, chunk: int) -> int:
    """Return what chunks take, and a block that is made ready."""
    preparing = piece * needs.preparing_bytes
    in_work = lanes * chunk * needs.pair_bytes
    return in_work + preparing + min(needs.shared_bytes, 4 * preparing)


def _host_bytes(layer: LayerSize, needs: Needs, piece: int, threads: int) -> int:
    """Return what this machine needs: a block as read and as staged, tiles, pairs matched again."""
    pairs = min(piece, layer.n_rows) * min(piece, layer.n_columns)
    edge = min(layer.edge, layer.n_rows) * min(layer.edge, layer.n_columns)
    tiles = MOST_LANES * (RESULT_BYTES * pairs + 2 * 8 * needs.values * edge)
    return 2 * piece * layer.reading_bytes + tiles + threads * needs.again_bytes


def power_of_two_from(n: int) -> int:
    """Return the smallest power of two that is at least n.

    >>> [power_of_two_from(n) for n in (1, 2, 3, 64, 100)]
    [1, 2, 4, 64, 128]
    """
    return 2 * power_of_two_up_to(n - 1) if n > 1 else 1
