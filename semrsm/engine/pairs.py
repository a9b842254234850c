"""Pairs: from two blocks of samples to the matched inner products of some of their pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from semrsm.engine.alike import alike, batches_of, match_again
from semrsm.engine.assignment import choose_float64_solver
from semrsm.engine.blocks import Block
from semrsm.engine.certificate import bounds_of_pairs
from semrsm.engine.maps import Maps, type_of_values, unscaled
from semrsm.engine.matchers import Matcher, Matches, Settings
from semrsm.engine.products import sums_of_matched
from semrsm.engine.tiles import LARGEST_CHUNK, LARGEST_WORK
from semrsm.errors import SemrsmError


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
        return LARGEST_CHUNK if self.device.type == "cpu" else 4096

    @property
    def largest_work(self) -> int:
        """How many bytes a chunk takes at most: on a CPU, larger ones only leave the caches."""
        return LARGEST_WORK if self.device.type == "cpu" else 16 << 30

    @property
    def in_float64(self) -> Work:
        """The same on the CPU in float64: how a pair is matched again."""
        return replace(
            self,
            device=torch.device("cpu"),
            dtype=torch.float64,
            precision="exact",
            settings=replace(self.settings, solver=choose_float64_solver().name),
        )

    def sample_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one sample takes when it is ready for matching."""
        number = type_of_values(n_positions, n_channels, self.dtype).itemsize
        maps = n_positions * n_channels * number
        return maps + self.matcher.prepared_bytes(n_positions, n_channels, number, self.settings)

    def pair_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one pair in work takes."""
        number = type_of_values(n_positions, n_channels, self.dtype).itemsize
        matching = self.matcher.workspace_bytes(n_positions, n_channels, number, self.settings)
        # The float64 affinities of one pair, twice, and once more while they are reduced.
        return matching + (24 * n_positions**2 if self.certify else 0)

    def again_bytes(self, n_positions: int, n_channels: int, reading_bytes: int) -> int:
        """Return what a thread takes to match one pair again; `reading_bytes` to read a sample."""
        if not self.matcher.permutation:
            return 0
        work = self.in_float64
        sample = work.sample_bytes(n_positions, n_channels)
        return work.pair_bytes(n_positions, n_channels) + 3 * sample + reading_bytes


@dataclass(frozen=True)
class MatchedPairs:
    """What was found for P pairs, on the CPU unless said otherwise.

    Attributes:
        pairs: (P, 2) int64.
        matched: (P,) float64, matched inner products.
        permutation: (P, S) int64, on the device of the work; None where the matcher has none.
        upper_bound: (P,) float64; None unless certified.
        solved_again: How many pairs were matched again in float64: not proved optimal, or alike.
    """

    pairs: Tensor
    matched: Tensor
    permutation: Tensor | None
    upper_bound: Tensor | None
    solved_again: int = 0


def match_pairs(rows: Block, columns: Block, pairs: Tensor, work: Work) -> MatchedPairs:
    """Match some pairs, (P, 2) int64 on the device of the work, of two blocks, in this thread.

    Pairs of maps that are alike are matched again, so that distances have their digits.
    """
    settings = replace(work.settings, bounded=work.certify)
    matches = work.matcher.match(rows.prepared, columns.prepared, pairs, settings)
    sums = matches.sums
    # What takes a tile at once has summed float64 products already.
    inexact = work.precision != "exact" and work.matcher.in_chunks
    if inexact and matches.permutation is not None:
        sums = sums_of_matched(rows.maps, columns.maps, pairs, matches.permutation)
    matched = unscaled(sums, rows.maps, columns.maps, pairs)
    bound = None
    if work.certify:
        # The sums of a matching are rounded too, and may lie above its value.
        bounds = _bounds(rows.maps, columns.maps, pairs, matches, work.matcher)
        bound = torch.maximum(bounds, matched).cpu()
    found = MatchedPairs(
        pairs.cpu(), matched.cpu(), matches.permutation, bound, matches.solved_again
    )
    # What takes a tile at once has summed float64 products of all digits, if there are no others.
    exact = rows.maps.exact and columns.maps.exact and not work.matcher.in_chunks
    if exact or not work.matcher.permutation:
        return found
    places = alike(rows.maps, columns.maps, pairs, matched)
    return _matched_again(found, rows, columns, places, work) if len(places) else found


def _bounds(rows: Maps, columns: Maps, pairs: Tensor, matches: Matches, matcher: Matcher) -> Tensor:
    """Return what no matching of some pairs exceeds, (P,) float64: as the solver says, or from scratch."""
    if matches.bounds is not None:
        return matches.bounds
    optimal = matches.permutation if matcher.value == "exact" else None
    return bounds_of_pairs(rows, columns, pairs, optimal)


def _matched_again(
    found: MatchedPairs, rows: Block, columns: Block, places: Tensor, work: Work
) -> MatchedPairs:
    """Match the pairs at some places again and put what is found where it belongs."""
    wide, S, C = work.in_float64, rows.maps.n_positions, rows.maps.n_channels
    settings = replace(wide.settings, bounded=work.certify)
    matched, permutation, bound = (
        None if values is None else values.clone()
        for values in (found.matched, found.permutation, found.upper_bound)
    )
    assert matched is not None
    assert permutation is not None

    def match(x: Block, y: Block, pairs: Tensor) -> Matches:
        return wide.matcher.match(x.prepared, y.prepared, pairs, settings)

    # What the chunk takes is granted. A sample is there once as it is read, once ready.
    granted = len(found.pairs) * work.pair_bytes(S, C)
    sizes = 2 * wide.sample_bytes(S, C), wide.pair_bytes(S, C), granted
    batches = batches_of(found.pairs, places.cpu(), *sizes)
    for again in match_again(rows, columns, found.pairs, match, batches):
        assert again.matches.permutation is not None
        matched[again.places] = again.matched
        permutation[again.places] = again.matches.permutation.to(permutation.device)
        if bound is not None:
            maps = again.rows.maps, again.columns.maps
            bounds = _bounds(*maps, again.pairs, again.matches, work.matcher)
            bound[again.places] = torch.maximum(bounds, again.matched)
    count = found.solved_again + len(places)
    return MatchedPairs(found.pairs, matched, permutation, bound, count)


def match_or_halve(
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
    halves = [match_or_halve(rows, columns, work, on_note, half) for half in pairs.tensor_split(2)]
    bounds = [half.upper_bound for half in halves if half.upper_bound is not None]
    return MatchedPairs(
        torch.cat([half.pairs for half in halves]),
        torch.cat([half.matched for half in halves]),
        None,
        torch.cat(bounds) if bounds else None,
        sum(half.solved_again for half in halves),
    )
