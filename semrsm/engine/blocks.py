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

from semrsm.engine.maps import Maps, take

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
    return work.device.backend.ready(source, samples, work)


def read_again(source: Source, samples: range, work: Work) -> Callable[[Sequence[int]], Block]:
    """Return what reads some of these samples again and makes them ready in float64, on the CPU."""
    return functools.partial(_read_again, source, samples, work.in_float64)


def _read_again(source: Source, samples: range, work: Work, places: Sequence[int]) -> Block:
    runs = _runs([samples[place] for place in places])
    return ready(lambda _: torch.cat([source(run) for run in runs]), range(len(places)), work)


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


def box_of(rows: Block, columns: Block, pairs: Tensor) -> tuple[Block, Block, Tensor]:
    """Return the samples from the first to the last that some pair names, and the pairs in these.

    Args:
        rows: The block that `pairs[:, 0]` counts in.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64, on the CPU.
    """
    first, last = pairs.amin(0), pairs.amax(0) + 1
    x, y = (
        _some(block, slice(start, end))
        for block, start, end in zip((rows, columns), first.tolist(), last.tolist(), strict=True)
    )
    return x, y, pairs - first


def _some(block: Block, part: slice) -> Block:
    """Return consecutive samples of a block, without a copy."""
    return Block(
        block.samples[part],
        take(block.maps, lambda values: values[part]),
        take(block.prepared, lambda values: values[part]),
        lambda places: block.again([part.start + place for place in places]),
    )


class BlockCache:
    """The blocks of a layer that were used last, each read once while it is kept.

    Several threads may use it: one reads at a time, and who wants a block that another one is
    reading waits for it. A block in use is never let go, so a few more than `capacity` may be there.
    """

    def __init__(self, make: Callable[[str, range], Block], capacity: int) -> None:
        """Keep `capacity` blocks that `make(side, samples)` makes."""
        self._make, self._capacity = make, capacity
        self._blocks: OrderedDict[tuple[str, range], Future[Block]] = OrderedDict()
        self._users: dict[tuple[str, range], int] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()

    @contextlib.contextmanager
    def borrowed(self, side: str, samples: range) -> Iterator[Block]:
        """Give a block, which is kept at least until it is given back."""
        key = (side, samples)
        with self._lock:
            self._users[key] = self._users.get(key, 0) + 1
            future = self._blocks.get(key)
            mine = future is None
            if future is None:
                future = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
            self._let_go()
        try:
            if mine:
                self._read(key, future)
            yield future.result()
        finally:
            with self._lock:
                self._users[key] -= 1
                self._let_go()

    def let_go(self) -> None:
        """Drop every block that is not in use."""
        with self._lock:
            self._let_go(0)

    def _read(self, key: tuple[str, range], future: Future[Block]) -> None:
        try:
            with self._reading:
                future.set_result(self._make(*key))
        except BaseException as error:
            with self._lock:
                del self._blocks[key]
            future.set_exception(error)

    def _let_go(self, capacity: int | None = None) -> None:
        """Drop the blocks that were used longest ago, until so many are left as may be kept."""
        unused = [key for key in self._blocks if not self._users.get(key)]
        room = self._capacity if capacity is None else capacity
        for key in unused[: max(0, len(self._blocks) - room)]:
            del self._blocks[key]
            del self._users[key]
