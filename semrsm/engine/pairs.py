"""Pairs: from two blocks of samples to the matched inner products of some of their pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from semrsm.engine.alike import batches_of, match_again
from semrsm.engine.assignment import choose_float64_solver
from semrsm.engine.assignment.again import solve_again
from semrsm.engine.blocks import Block
from semrsm.engine.certificate import bounds_of_pairs
from semrsm.engine.devices import Device
from semrsm.engine.maps import Maps, type_of_values
from semrsm.engine.matchers import Matcher, Matches, Settings
from semrsm.engine.tiles import LARGEST_WORK, Tile
from semrsm.errors import SemrsmError


@dataclass(frozen=True)
class Work:
    """How pairs are matched.

    Attributes:
        matcher: A row of MATCHERS.
        settings: What the matcher is told.
        device: Where the products are computed.
        dtype: What the products are computed in; their sums are always float64.
        threads: Threads of this machine that match pairs, or solve again what a GPU could not prove.
        grid: (height, width) of the positions, None for tokens.
        certify: Also bound every pair from above.
        precision: "exact" or "fast": how float32 products are computed, see the row of BACKENDS.
    """

    matcher: Matcher
    settings: Settings = field(default_factory=Settings)
    device: Device = field(default_factory=Device)
    dtype: torch.dtype = torch.float32
    threads: int = 1
    grid: tuple[int, int] | None = None
    certify: bool = False
    precision: str = "exact"

    @property
    def in_float64(self) -> Work:
        """The same on the CPU in float64: how a pair is matched again."""
        return replace(
            self,
            device=Device(),
            dtype=torch.float64,
            precision="exact",
            settings=replace(self.settings, solver=choose_float64_solver().name),
        )

    def sample_bytes(self, n_positions: int, n_channels: int) -> int:
        """Return what one sample takes when it is ready for matching."""
        number = type_of_values(n_positions, n_channels, self.dtype).itemsize
        maps = n_positions * n_channels * number
        return maps + self.matcher.prepared_bytes(n_positions, n_channels, number, self.settings)


def pair_bytes(work: Work, n_positions: int, n_channels: int) -> int:
    """Return what one pair in work takes on the CPU."""
    number = type_of_values(n_positions, n_channels, work.dtype).itemsize
    matching = work.matcher.workspace_bytes(n_positions, n_channels, number, work.settings)
    # The float64 affinities of one pair, twice, and once more while they are reduced.
    return matching + (24 * n_positions**2 if work.certify else 0)


@dataclass(frozen=True)
class MatchedPairs:
    """What was found for P pairs, on the CPU unless said otherwise.

    Attributes:
        pairs: (P, 2) int64.
        matched: (P,) float64, matched inner products.
        permutation: (P, S) int64, on the device of the work; None where the matcher has none.
        upper_bound: (P,) float64; None unless certified.
        solved_again: How many pairs were matched again in float64: not proved optimal, or alike.
        handed_over: How many problems, of pairs or of their groups, cost scaling gave up and augmenting
            paths solved.
    """

    pairs: Tensor
    matched: Tensor
    permutation: Tensor | None
    upper_bound: Tensor | None
    solved_again: int = 0
    handed_over: int = 0


def match_pairs(rows: Block, columns: Block, pairs: Tensor, work: Work) -> MatchedPairs:
    """Match some pairs, (P, 2) int64 on the CPU, of two blocks on the device of the work.

    Pairs that a solver could not prove optimal are solved again, and pairs of maps that are alike are
    matched again, in float64, so that distances have their digits.
    """
    return work.device.backend.match(rows, columns, pairs, work)


def pairs_of(tile: Tile, with_itself: bool = False) -> Tensor:
    """Return the pairs of a tile, (P, 2) int64, counted from its corner, row by row.

    With `with_itself` those of a diagonal tile hold every sample with itself, too.

    >>> pairs_of(Tile(range(3), range(3), symmetric_diagonal=True)).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    a, b = tile.shape
    if tile.symmetric_diagonal:
        return torch.triu_indices(a, a, offset=0 if with_itself else 1).T
    return torch.cartesian_prod(torch.arange(a), torch.arange(b))


def solved_again(
    matched_pairs: MatchedPairs, matches: Matches, rows: Maps, columns: Maps, work: Work
) -> MatchedPairs:
    """Solve those pairs again, in float64 and in one batch, that the solver could not prove optimal.

    Args:
        matched_pairs: What was found so far.
        matches: What the solver gave: `unproven` on the CPU, the others wherever they are.
        rows: The maps that `matched_pairs.pairs[:, 0]` counts in.
        columns: The maps that `matched_pairs.pairs[:, 1]` counts in.
        work: How pairs are matched.
    """
    if matches.unproven is None or not matches.unproven.any():
        return matched_pairs
    places = matches.unproven.nonzero()[:, 0]
    assert matched_pairs.permutation is not None
    assert matches.potentials is not None
    there = places.to(matched_pairs.permutation.device)
    some, start = matched_pairs.pairs[places], matches.potentials[there].cpu()
    again = solve_again(rows, columns, some, start, work.threads, bounded=work.certify)
    matched, permutation = matched_pairs.matched.clone(), matched_pairs.permutation.clone()
    bound = None
    matched[places] = again.matched
    permutation[there] = again.permutation.to(permutation.device)
    if matched_pairs.upper_bound is not None and again.bounds is not None:
        bound = matched_pairs.upper_bound.clone()
        bound[places] = torch.maximum(again.bounds, again.matched)
    count = matched_pairs.solved_again + len(places)
    return replace(
        matched_pairs,
        matched=matched,
        permutation=permutation,
        upper_bound=bound,
        solved_again=count,
    )


def upper_bounds(
    rows: Maps, columns: Maps, pairs: Tensor, matches: Matches, matcher: Matcher
) -> Tensor:
    """Return what no matching of some pairs exceeds, (P,) float64: as the solver says, or from scratch."""
    if matches.bounds is not None:
        return matches.bounds
    optimal = matches.permutation if matcher.value == "exact" else None
    return bounds_of_pairs(rows, columns, pairs, optimal)


def alike_again(
    matched_pairs: MatchedPairs, rows: Block, columns: Block, places: Tensor, work: Work
) -> MatchedPairs:
    """Match the pairs at some places again and put what is found where it belongs."""
    wide, S, C = work.in_float64, rows.maps.n_positions, rows.maps.n_channels
    settings = replace(wide.settings, bounded=work.certify)
    matched, permutation, bound = (
        None if values is None else values.clone()
        for values in (matched_pairs.matched, matched_pairs.permutation, matched_pairs.upper_bound)
    )
    assert matched is not None
    assert permutation is not None

    def match(x: Block, y: Block, pairs: Tensor) -> Matches:
        return wide.matcher.match(x.prepared, y.prepared, pairs, settings)

    # What a chunk takes on the CPU is granted. A sample is there once as it is read, once ready.
    granted = min(len(matched_pairs.pairs) * pair_bytes(work, S, C), LARGEST_WORK)
    sizes = 2 * wide.sample_bytes(S, C), pair_bytes(wide, S, C), granted
    batches = batches_of(matched_pairs.pairs, places.cpu(), *sizes)
    for again in match_again(rows, columns, matched_pairs.pairs, match, batches):
        assert again.matches.permutation is not None
        matched[again.places] = again.matched
        permutation[again.places] = again.matches.permutation.to(permutation.device)
        if bound is not None:
            maps = again.rows.maps, again.columns.maps
            bounds = upper_bounds(*maps, again.pairs, again.matches, work.matcher)
            bound[again.places] = torch.maximum(bounds, again.matched)
    count = matched_pairs.solved_again + len(places)
    return replace(
        matched_pairs,
        matched=matched,
        permutation=permutation,
        upper_bound=bound,
        solved_again=count,
    )


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
                " `pool` the maps or use `device='cpu'`"
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
        sum(half.handed_over for half in halves),
    )
