"""Matchers at work on chunks of pairs: what they find, and how long it takes them."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput
from semrsm.compute.plan import refuse_without_grid
from semrsm.compute.trial_pairs import Chunk
from semrsm.errors import SemrsmError

if TYPE_CHECKING:
    import torch

    from semrsm.engine.blocks import Block
    from semrsm.engine.matchers import Matcher
    from semrsm.engine.pairs import MatchedPairs, Work

Floats = NDArray[np.float64]

TIMES = 8  # at least so many chunks are timed, the same ones again if need be, so that there is a median


@dataclass
class Runner:
    """A matcher at work on a layer, and what was found and measured so far.

    Attributes:
        work: How it matches.
        problem: Why it cannot serve the layer.
        matched: (P,) of each chunk.
        ms: Milliseconds for a pair, of each chunk that was timed.
        spent: Seconds of matching that were timed.
        timed: Pairs that were matched in them.
        prepared: Seconds in which samples were made ready.
        samples: How many those were.
    """

    work: Work
    problem: str | None = None
    matched: list[Floats] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    spent: float = 0.0
    timed: int = 0
    prepared: float = 0.0
    samples: int = 0

    @property
    def matcher(self) -> Matcher:
        """The matcher."""
        return self.work.matcher

    def run(self, chunk: Chunk, rows: torch.Tensor, columns: torch.Tensor) -> None:
        """Match the pairs of a chunk and take the time; before the first one it is matched once, not timed.

        Matchers that a run does not give chunks, but whole products, are timed by `run_band`.
        """
        if not self.matched:
            _match(*self._ready(rows, columns), chunk, self.work)
        ready = self._ready(rows, columns, timed=True)
        if not self.matcher.in_chunks:
            self.matched.append(_match(*ready, chunk, self.work).matched.numpy())
            return
        self.matched.append(self._timed(*ready, chunk).matched.numpy())

    def run_again(
        self, chunk: Chunk, rows: torch.Tensor, columns: torch.Tensor, seconds: float
    ) -> None:
        """Match a chunk, or a band of pairs, until there are enough times or the time is up."""
        if not self.matched or len(self.ms) >= TIMES:
            return
        ready = self._ready(rows, columns)
        while len(self.ms) < TIMES and self.spent <= seconds:
            self._timed(*ready, chunk)

    def _timed(self, rows: Block, columns: Block, chunk: Chunk) -> MatchedPairs:
        began = time.perf_counter()
        matched_pairs = _match(rows, columns, chunk, self.work)
        taken = time.perf_counter() - began
        self.spent += taken
        self.timed += chunk.size
        self.ms.append(1000 * taken / chunk.size)
        return matched_pairs

    def _ready(
        self, rows: torch.Tensor, columns: torch.Tensor, timed: bool = False
    ) -> tuple[Block, Block]:
        """Make the samples of a chunk ready."""
        began = time.perf_counter()
        blocks = _block(rows, self.work), _block(columns, self.work)
        if timed:
            self.prepared += time.perf_counter() - began
            self.samples += len(rows) + len(columns)
        return blocks


@dataclass(frozen=True)
class Reference:
    """What is known of the pairs of a chunk: the optimum, bounds from above, |x_i| |x_j|; (P,) each."""

    optimal: Floats
    tight: Floats
    loose: Floats
    size: Floats


def refer(chunk: Chunk, rows: torch.Tensor, columns: torch.Tensor, work: Work) -> Reference:
    """Match the pairs of a chunk optimally and bound them, with and without that matching."""
    import torch

    from semrsm.engine.certificate import bounds_of_pairs
    from semrsm.engine.maps import take

    first, second = _block(rows, work), _block(columns, work)
    matched_pairs = _match(first, second, chunk, work)
    x, y, permutation = take((first.maps, second.maps, matched_pairs.permutation), torch.Tensor.cpu)
    tight, loose = (
        bounds_of_pairs(x, y, chunk.pairs, known).numpy() for known in (permutation, None)
    )
    i, j = chunk.pairs.unbind(1)
    size = x.squared_norm[i].sqrt() * y.squared_norm[j].sqrt()
    return Reference(matched_pairs.matched.numpy(), tight, loose, size.numpy())


def unfit(matcher: Matcher, layer: LayerInput) -> str | None:
    """Say why a matcher cannot serve a layer; None if it can."""
    if matcher.needs_plane:
        try:
            refuse_without_grid(matcher, layer, layer)
        except SemrsmError as error:
            return str(error)
    return None


def _match(rows: Block, columns: Block, chunk: Chunk, work: Work) -> MatchedPairs:
    from semrsm.engine.pairs import match_pairs

    return match_pairs(rows, columns, chunk.pairs, work)


def _block(vectors: torch.Tensor, work: Work) -> Block:
    from semrsm.engine.blocks import ready

    return ready(functools.partial(_some, vectors), range(len(vectors)), work)


def _some(vectors: torch.Tensor, samples: range) -> torch.Tensor:
    """Be a source of samples that are read already."""
    return vectors[samples.start : samples.stop]
