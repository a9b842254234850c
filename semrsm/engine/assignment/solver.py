"""What a solver is: the record of the table SOLVERS and what a solver of whole pairs returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from semrsm.engine.maps import Maps


@dataclass(frozen=True)
class Solved:
    """What a solver found for P pairs of samples.

    Attributes:
        sums: (P,) float64, sum_s <v_s, w_p(s)> of the stored values.
        permutation: (P, S) int64.
        solved_again: How many pairs were not proved optimal at first and were solved again in float64.
        handed_over: How many problems, of pairs or of their groups, cost scaling gave up and augmenting
            paths solved.
        bounds: (P,) float64, what no matching of the samples exceeds; None where not asked for, or where
            the solver has no potentials.
        unproven: (P,) bool, which pairs are left to be solved again, as they were not proved optimal.
        potentials: (P, S) column potentials, to solve them again from.
        gave_up: (P,) bool on the device, the same as `handed_over` where nobody waits to count it.
    """

    sums: Tensor
    permutation: Tensor
    solved_again: int = 0
    handed_over: int = 0
    bounds: Tensor | None = None
    unproven: Tensor | None = None
    potentials: Tensor | None = None
    gave_up: Tensor | None = None


@dataclass(frozen=True)
class PairSolver:
    """How a solver matches samples that it is given as maps: products, start and proof are its own.

    Attributes:
        prepare: Maps -> what it needs of a block, made once for all pairs of the block.
        match: (rows, columns, pairs (P, 2), whether bounds are wanted) -> Solved.
        warps: S -> warps of the GPU program that solves a pair; 1 where there is none.
        prepared_bytes: (S, C, bytes of a number) -> memory for each sample beside its map.
        workspace_bytes: (S, C, bytes of a number) -> memory for each pair in work.
    """

    prepare: Callable[[Maps], Any]
    match: Callable[[Any, Any, Tensor, bool], Solved]
    prepared_bytes: Callable[[int, int, int], int]
    workspace_bytes: Callable[[int, int, int], int]
    warps: Callable[[int], int] = lambda s: 1


@dataclass(frozen=True)
class Solver:
    """An implementation of exact assignment.

    Attributes:
        name: What it is called.
        summary: One line for help texts.
        device: "cpu" or "cuda": where it computes.
        available: Says whether what it needs is installed.
        solve: (P, S, S) affinities -> (P, S) int64 permutations that maximise their sum.
        minimise: (P, S, S) costs on the CPU -> (P, S) int64 permutations that minimise their sum.
        reference: Where it comes from.
        pairs: How it matches samples from their maps; None if it solves given problems only.
        most_positions: The largest problem it solves; None where memory is the only limit.
        greedy: (P, S, S) affinities -> (P, S) int64, what `greedy_in_turn` finds, quickly; None where
            that serves itself.
        chosen_from: It is chosen for problems of so many positions and more; None for by name only.
    """

    name: str
    summary: str
    device: str
    available: Callable[[], bool]
    solve: Callable[[Tensor], Tensor]
    minimise: Callable[[Tensor], Tensor]
    reference: str
    pairs: PairSolver | None = None
    most_positions: int | None = None
    greedy: Callable[[Tensor], Tensor] | None = None
    chosen_from: int | None = 1
