"""An NVIDIA GPU: large chunks, two and more in flight, each on a stream of its own.

The threads of a tile matcher each put a chunk on a stream and wait for it once, when its results
have arrived; meanwhile the GPU works on the chunks of the others, and the samples of the next tile
are read, copied and made ready.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

import torch
from torch import Tensor

from semrsm.engine.alike import alike
from semrsm.engine.assignment import SOLVERS
from semrsm.engine.backends import cpu
from semrsm.engine.backends.cuda_plan import Card, Needs, plan_for
from semrsm.engine.blocks import Block, Source, box_of, read_again
from semrsm.engine.devices import Device
from semrsm.engine.maps import Maps, prepare, type_of_values, unscaled
from semrsm.engine.matchers import Matches
from semrsm.engine.pairs import MatchedPairs, Work, alike_again, solved_again
from semrsm.engine.tiles import Budget, LayerSize, Tile

WIDENED = 1 << 26  # numbers of maps that are made ready at a time in float64: 512 MiB


def count() -> int:
    """Return how many GPUs are here and can be used, for which Triton is needed too."""
    return torch.cuda.device_count() if importlib.util.find_spec("triton") else 0


def place(index: int) -> torch.device:
    """Return where torch keeps the tensors of a GPU."""
    return torch.device("cuda", index)


def describe(index: int) -> str:
    """Return the model of a GPU."""
    return torch.cuda.get_device_name(index)


def card_of(device: Device) -> Card:
    """Return what a plan needs to know of a GPU, as it is now."""
    free, total = torch.cuda.mem_get_info(device.index)
    properties = torch.cuda.get_device_properties(device.index)
    return Card(str(device), properties.multi_processor_count, total, free)


def plan(work: Work, layer: LayerSize, memory: int) -> Budget:
    """Decide what is in work at once; see `cuda_plan.plan_for`."""
    S, C = layer.n_positions, layer.n_channels
    number = type_of_values(S, C, work.dtype).itemsize
    matching = work.matcher.workspace_bytes(S, C, number, work.settings)
    pairs = SOLVERS[work.settings.solver].pairs if work.matcher.solves else None
    needs = Needs(
        values=1 + work.certify,
        sample_bytes=work.sample_bytes(S, C),
        preparing_bytes=layer.reading_bytes,
        shared_bytes=8 * 3 * WIDENED,
        pair_bytes=matching + certificate_bytes(work, S, number),
        warps=pairs.warps(work.matcher.problem(S, work.settings)) if pairs else 1,
        again_bytes=cpu.again_bytes(work, layer),
    )
    return plan_for(card_of(work.device), layer, needs, work.threads, memory)


def certificate_bytes(work: Work, n_positions: int, size: int) -> int:
    """Return what bounding a pair takes on the GPU, where no solver has done it: its affinities, twice."""
    if not work.certify:
        return 0
    return n_positions * (2 * n_positions * size + 64)


def chunks(piece: Tile, work: Work, budget: Budget) -> list[Tensor]:
    """Return the pairs of a piece in rectangles of `budget.chunk` pairs at most.

    A rectangle's affinities are one product without waste, but at the diagonal. A matcher that takes
    whole blocks gets bands of rows.
    """
    if not work.matcher.in_chunks:
        return cpu.bands(piece, work, budget)
    (a, b), rectangles, first = piece.shape, [], 0
    apart = int(work.matcher.permutation)  # what only bounds has a value of a sample with itself
    while first < a:
        left = first + apart if piece.symmetric_diagonal else 0
        height = min(a - first, max(1, budget.chunk // max(1, b - left)))
        if piece.symmetric_diagonal:  # at most an eighth of a rectangle's products is for nothing
            height = min(height, max(1, (b - left + 3) // 4))
        width = max(1, budget.chunk // height)
        rows = torch.arange(first, first + height)
        for columns in torch.arange(left, b).split(width) if left < b else ():
            pairs = torch.cartesian_prod(rows, columns)
            above = pairs[:, 0] + apart <= pairs[:, 1]
            rectangles.append(pairs[above] if piece.symmetric_diagonal else pairs)
        first += height
    return [pairs for pairs in rectangles if len(pairs)]


@dataclass
class Lane:
    """A stream, and memory that the GPU copies from and to while the processor goes on.

    Attributes:
        stream: What is put on it is done in turn.
        up: (k,) uint8, pinned: what goes to the GPU.
        down: (k,) uint8, pinned: what comes from it.
    """

    stream: torch.cuda.Stream
    up: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    down: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))

    def send(self, values: Tensor, place: torch.device) -> Tensor:
        """Put a copy of some values on the GPU; once in a chunk, as the memory is used again."""
        self.up = _at_least(self.up, values)
        staged = _as(self.up, values)
        staged.copy_(values)
        return torch.empty_like(staged, device=place).copy_(staged, non_blocking=True)

    def fetch(self, values: Tensor) -> Tensor:
        """Wait for some values of the GPU, and with them for all that came before; return a copy."""
        self.down = _at_least(self.down, values)
        staged = _as(self.down, values)
        staged.copy_(values, non_blocking=True)
        self.stream.synchronize()
        return staged.clone()


def _at_least(memory: Tensor, values: Tensor) -> Tensor:
    """Return pinned memory that has room for some values: what is there, or twice as much."""
    if memory.numel() >= values.nbytes:
        return memory
    return torch.empty(max(2 * memory.numel(), values.nbytes), dtype=torch.uint8, pin_memory=True)


def _as(memory: Tensor, values: Tensor) -> Tensor:
    """Return the beginning of pinned memory as a tensor like `values`."""
    return memory[: values.nbytes].view(values.dtype).view(values.shape)


@functools.cache
def _lanes(device: Device, kind: str) -> SimpleQueue[Lane]:
    """Return the lanes of a GPU that are free, for "pairs" or for "samples".

    They live on: what torch has freed on a stream serves that stream only, and pinning takes long.
    """
    return SimpleQueue()


@contextlib.contextmanager
def _lane_of(device: Device, kind: str) -> Iterator[Lane]:
    """Give a lane of a GPU, and have torch put on its stream what this thread computes."""
    lanes = _lanes(device, kind)
    try:
        lane = lanes.get_nowait()
    except Empty:
        lane = Lane(torch.cuda.Stream(device.place))
    try:
        with torch.cuda.stream(lane.stream):
            yield lane
    except BaseException:
        lane.stream.synchronize()  # what was sent may still be on its way
        raise
    finally:
        lanes.put(lane)


def ready(source: Source, samples: range, work: Work) -> Block:
    """Read some samples and make them ready for matching, on a stream of their own."""
    vectors = source(samples)
    with _lane_of(work.device, "samples") as lane:
        there = lane.send(vectors, work.device.place)
        maps = prepare(
            there,
            centred=work.matcher.centred,
            dtype=work.dtype,
            grid=work.grid,
            widened=WIDENED,
        )
        prepared = work.matcher.prepare(maps, work.settings)
        lane.stream.synchronize()
    block = Block(samples, maps, prepared, read_again(source, samples, work))
    _warm_up(block, work)
    return block


_warmed: set[tuple[Work, int, int]] = set()
_warming = threading.Lock()


def _warm_up(block: Block, work: Work) -> None:
    """Match one pair before the first of its kind, so that no chunk waits while programs are compiled."""
    kind = (work, block.maps.n_positions, block.maps.n_channels)
    with _warming:
        if kind not in _warmed:
            one, _, pair = box_of(block, block, torch.zeros(1, 2, dtype=torch.int64))
            _on_gpu(one, one, pair, work)
            _warmed.add(kind)


def match(rows: Block, columns: Block, pairs: Tensor, work: Work) -> MatchedPairs:
    """Match some pairs of two blocks, of no other samples if that can be; see `pairs.match_pairs`."""
    x, y, counted = box_of(rows, columns, pairs)
    matches, matched_pairs, are_alike = _on_gpu(x, y, counted, work)
    matched_pairs = solved_again(matched_pairs, matches, x.maps, y.maps, work)
    if matched_pairs.solved_again:  # their values are other ones now
        place = work.device.place
        are_alike = alike(x.maps, y.maps, counted.to(place), matched_pairs.matched.to(place)).cpu()
    if are_alike.any():
        matched_pairs = alike_again(matched_pairs, x, y, are_alike.nonzero()[:, 0], work)
    return replace(matched_pairs, pairs=pairs)


def _on_gpu(
    rows: Block, columns: Block, pairs: Tensor, work: Work
) -> tuple[Matches, MatchedPairs, Tensor]:
    """Match pairs on a stream; this thread waits for it once, when all that is wanted is on its way."""
    settings, matcher = replace(work.settings, bounded=work.certify), work.matcher
    maps = rows.maps, columns.maps
    with _lane_of(work.device, "pairs") as lane:
        there = lane.send(pairs, work.device.place)
        matches = matcher.match(rows.prepared, columns.prepared, there, settings)
        matched = unscaled(_sums(matches, work, maps, there), *maps, there)
        numbers = matched.new_zeros(5, len(pairs))
        numbers[0] = matched
        if work.certify:
            bounds = matches.bounds
            if bounds is None:
                from semrsm.engine.assignment.triton_products import bounds_without_matching

                bounds = bounds_without_matching(*maps, there)
            # The sums of a matching are rounded too, and may lie above its value.
            numbers[1] = torch.maximum(bounds, matched)
        if matches.unproven is not None:
            numbers[2] = matches.unproven
        if matcher.permutation and not (maps[0].exact and maps[1].exact and not matcher.in_chunks):
            numbers[3] = alike(*maps, there, matched)
        if matches.gave_up is not None:
            numbers[4] = matches.gave_up
        values, bound, unproven, are_alike, gave_up = lane.fetch(numbers)
    matches = replace(matches, unproven=unproven.bool())
    matched_pairs = MatchedPairs(
        *(pairs, values, matches.permutation, bound if work.certify else None),
        handed_over=int(gave_up.sum()),
    )
    return matches, matched_pairs, are_alike.bool()


def _sums(matches: Matches, work: Work, maps: tuple[Maps, Maps], pairs: Tensor) -> Tensor:
    """Return the sums of matched products: of precision fast anew, from the vectors."""
    exact = work.precision == "exact" or not work.matcher.in_chunks
    if exact or matches.permutation is None or matches.potentials is not None:
        return matches.sums
    from semrsm.engine.assignment.triton_proof import matched_sums

    rows, columns = (m.values for m in maps)
    return matched_sums(rows, columns, pairs, matches.permutation)
