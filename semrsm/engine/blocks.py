"""Blocks: samples that were read and made ready for matching, kept while there is room."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from semrsm.engine.maps import Maps, prepare

if TYPE_CHECKING:
    from semrsm.engine.pairs import Work

# The position vectors (b, S, C) of some samples, from wherever they are kept.
Source = Callable[[range], Tensor]


@dataclass(frozen=True)
class Block:
    """Samples that are ready for matching.

    Attributes:
        samples: Which.
        maps: Their maps.
        prepared: What the matcher prepared from them.
        again: Reads some of them again, counted in the block and ascending, and makes them ready in
            float64.
    """

    samples: range
    maps: Maps
    prepared: Any
    again: Callable[[Sequence[int]], Block]


def ready(source: Source, samples: range, work: Work) -> Block:
    """Read some samples and make them ready for matching, on the device of the work."""
    with _copying_to(work.device):
        vectors = source(samples)
        if work.device.type == "cuda":
            vectors = vectors.pin_memory().to(work.device, non_blocking=True)
        maps, prepared = _made_ready(vectors, work)
    return Block(samples, maps, prepared, functools.partial(_ready_again, source, samples, work))


def _made_ready(vectors: Tensor, work: Work) -> tuple[Maps, Any]:
    maps = prepare(vectors, centred=work.matcher.centred, dtype=work.dtype, grid=work.grid)
    return maps, work.matcher.prepare(maps, work.settings)


def _ready_again(source: Source, samples: range, work: Work, places: Sequence[int]) -> Block:
    wide = work.in_float64
    wanted = [samples[place] for place in places]
    vectors = torch.cat([source(run) for run in _runs(wanted)])
    again = functools.partial(_ready_again, source, samples, work)
    return Block(samples, *_made_ready(vectors, wide), again)


def _runs(samples: Sequence[int]) -> list[range]:
    """Return ascending numbers as ranges.

    >>> _runs([2, 3, 4, 7])
    [range(2, 5), range(7, 8)]
    """
    runs: list[range] = []
    for sample in samples:
        if runs and runs[-1].stop == sample:
            runs[-1] = range(runs[-1].start, sample + 1)
        else:
            runs.append(range(sample, sample + 1))
    return runs


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


class BlockCache:
    """The blocks of a layer that were used last, each read once while it is kept.

    Several threads may use it: one reads at a time, and who wants a block that another one is
    reading waits for it. A block in use is never let go, so a few more than `held` may be there.
    """

    def __init__(self, make: Callable[[str, range], Block], held: int) -> None:
        """Keep `held` blocks that `make(side, samples)` makes."""
        self._make, self._held = make, held
        self._blocks: OrderedDict[tuple[str, range], Future[Block]] = OrderedDict()
        self._users: dict[tuple[str, range], int] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()

    @contextlib.contextmanager
    def borrowed(self, side: str, samples: range) -> Iterator[Block]:
        """Give a block, which is kept at least until it is given back."""
        key = (side, samples)
        with self._lock:
            self._users[key] = self._users.get(key, 0) + 1
            wanted = self._blocks.get(key)
            mine = wanted is None
            if wanted is None:
                wanted = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
            self._let_go()
        try:
            if mine:
                self._read(key, wanted)
            yield wanted.result()
        finally:
            with self._lock:
                self._users[key] -= 1
                self._let_go()

    def _read(self, key: tuple[str, range], wanted: Future[Block]) -> None:
        try:
            with self._reading:
                wanted.set_result(self._make(*key))
        except BaseException as error:
            with self._lock:
                del self._blocks[key]
            wanted.set_exception(error)

    def _let_go(self) -> None:
        """Drop the blocks that were used longest ago, until so many are left as may be kept."""
        unused = [key for key in self._blocks if not self._users.get(key)]
        for key in unused[: max(0, len(self._blocks) - self._held)]:
            del self._blocks[key]
            del self._users[key]
