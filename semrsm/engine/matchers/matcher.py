"""What a matcher is: the record of the table MATCHERS and what a matcher returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.settings import Settings

__all__ = ["Matcher", "Matches", "Settings"]


@dataclass(frozen=True)
class Matches:
    """What a matcher found for P pairs.

    Attributes:
        sums: (P,) float64, sum_s <v_s, w_p(s)> of the stored values of the maps, or the bound on it
            that a matcher without a permutation gives.
        permutation: (P, S) int64, position p(s) of the column sample for position s of the row
            sample; None where the matcher has none.
        solved_again: How many of the pairs a solver could not prove optimal, so that they were
            solved again in float64.
        handed_over: How many problems, of pairs or of their groups, cost scaling gave up and augmenting
            paths solved.
        bounds: (P,) float64, what no matching of the samples themselves exceeds, if the solver says it.
        unproven: (P,) bool, which of the pairs a solver could not prove optimal and left to be solved
            again; None where it leaves none.
        potentials: (P, S) column potentials of the stored values, to solve them again from.
        gave_up: (P,) bool on the device, the same as `handed_over` where nobody waits to count it.
    """

    sums: Tensor
    permutation: Tensor | None = None
    solved_again: int = 0
    handed_over: int = 0
    bounds: Tensor | None = None
    unproven: Tensor | None = None
    potentials: Tensor | None = None
    gave_up: Tensor | None = None


@dataclass(frozen=True)
class Matcher:
    """A method that finds, for a pair of samples, which positions belong together.

    Attributes:
        name: What it is called on the command line.
        summary: One line for help texts.
        value: How its matched inner product relates to the optimum.
        both_ways: One sample would choose and the other be chosen, so each pair is matched both ways
            and the larger value taken. Swapping the two samples leaves the value of any matcher as it
            is, where ties decide nothing.
        permutation: It matches every position with exactly one. A sample with itself then has |x|²;
            without, what `match` gives it.
        position_free: Permuting the positions of a sample leaves the value as it is, where ties
            decide nothing.
        centred: It may be given centred maps: the same result from easier problems.
        in_chunks: Its pairs are matched chunk by chunk; others take all pairs of some rows at once,
            as one product.
        solves: It solves assignment problems with a solver of SOLVERS.
        prepare: (maps, settings), done once for each block of samples.
        match: (rows, columns, pairs (P, 2), settings) -> Matches.
        workspace_bytes: (S, C, bytes of a number, settings) -> memory for each pair in work.
        reference: Where it is defined.
        parameters: The fields of Settings that it reads, besides the solver.
        needs_plane: It moves whole planes (height, width), so tokens and volumes are refused.
        prepared_bytes: (S, C, bytes of a number, settings) -> memory for each sample that `prepare`
            takes on top of the maps.
        problem: (S, settings) -> positions of the largest assignment problem that it solves.
        pair_seconds: S -> about what a pair takes one core, to the order of magnitude; by this tiles
            are cut. 0 where it hardly takes anything.
    """

    name: str
    summary: str
    value: Literal["exact", "at most the optimum", "at least the optimum"]
    both_ways: bool
    permutation: bool
    position_free: bool
    centred: bool
    in_chunks: bool
    solves: bool
    prepare: Callable[[Maps, Settings], Any]
    match: Callable[[Any, Any, Tensor, Settings], Matches]
    workspace_bytes: Callable[[int, int, int, Settings], int]
    reference: str
    parameters: tuple[str, ...] = ()
    needs_plane: bool = False
    prepared_bytes: Callable[[int, int, int, Settings], int] = lambda s, c, size, settings: 0
    problem: Callable[[int, Settings], int] = lambda s, settings: s
    pair_seconds: Callable[[int], float] = lambda s: 0.0
