"""The matcher `optimal`: the permutation with the largest inner product; the semantic RSM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semrsm.engine import potentials
from semrsm.engine.assignment import SOLVERS
from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.potentials import Minimise, Trees
from semrsm.engine.settings import Settings
from semrsm.engine.tiles import power_of_two_up_to

ENTRIES_AT_ONCE = 2**20
"""Pairs are taken together while their costs (4 MB) stay in the cache."""


@dataclass(frozen=True)
class Start:
    """Which potentials the solver starts from.

    Attributes:
        from_positions: The start is for maps of at least so many positions.
        sizes: Group sizes of the feature trees, coarsest first; maybe none.
        entropies: Of the Sinkhorn sweeps on every level after the coarsest and on the positions, in
            units of the mean reduced cost.
    """

    from_positions: int
    sizes: tuple[int, ...]
    entropies: tuple[float, ...]


STARTS = (
    Start(1500, (16, 4), (0.006, 0.003)),
    Start(400, (16, 4), (0.02, 0.01)),
    Start(100, (), (0.15, 0.04)),
    Start(1, (), (0.15,)),
)
"""Measured on ResNet18 maps. Below 400 positions Sinkhorn sweeps alone cost less than trees; the
better the potentials of the trees, the smaller the entropy that still improves them."""


def start_for(n_positions: int) -> Start:
    """Return the row of STARTS that serves maps of `n_positions`."""
    return next(start for start in STARTS if n_positions >= start.from_positions)


@dataclass(frozen=True)
class Grown:
    """A block of maps and the feature trees of its samples, on the device of the maps."""

    maps: Maps
    trees: Trees


def prepare_for_solver(maps: Maps, settings: Settings) -> Any:
    """Make ready what the solver needs of a block: feature trees, where it makes no start of its own."""
    solver = SOLVERS[settings.solver]
    if solver.pairs is not None:
        return solver.pairs.prepare(maps)
    return Grown(maps, potentials.grow(maps.values, start_for(maps.n_positions).sizes))


def match_optimally(rows: Any, columns: Any, pairs: Tensor, settings: Settings) -> Matches:
    """Match pairs of samples so that the sum of their matched products is largest.

    The solver sees the reduced costs u + v - A >= 0 instead of the affinity A, which changes no
    optimal matching; the closer u and v are to optimal potentials, the less it has to do.

    Args:
        rows: What `prepare_for_solver` made of the block that `pairs[:, 0]` counts in, centred: that
            changes no optimum either.
        columns: The same of the block that `pairs[:, 1]` counts in, of the same dtype.
        pairs: (P, 2) int64.
        settings: `solver` names the exact solver.

    Source: Wald et al., NeurIPS 2024, Eqs. 4-5.
    """
    solver = SOLVERS[settings.solver]
    if solver.pairs is not None:
        solved = solver.pairs.match(rows, columns, pairs, settings.bounded)
        return Matches(**vars(solved))
    return match_from_start(rows, columns, pairs, start_for(rows.maps.n_positions), solver.minimise)


def match_from_start(
    rows: Grown, columns: Grown, pairs: Tensor, start: Start, minimise: Minimise
) -> Matches:
    """Do what `match_optimally` does, on the CPU, from a start that is chosen already."""
    S = rows.maps.n_positions
    # A power of two, so that however a tile is cut into chunks the same pairs are taken together.
    at_once = min(len(pairs), power_of_two_up_to(max(1, ENTRIES_AT_ONCE // S**2)))
    memory = rows.maps.values.new_empty(2, at_once, S, S)
    reduce = _costs_from_trees if start.sizes else _costs_from_zero
    solved = []
    for chunk in pairs.split(at_once):
        costs, u, v, transposed = reduce(
            rows, columns, chunk, start, minimise, memory[:, : len(chunk)]
        )
        permutation = minimise(costs)
        matched = costs.gather(2, permutation[:, :, None]).double().sum((1, 2))
        sums = u.double().sum(1) + v.double().sum(1) - matched
        solved.append((sums, permutation.argsort(1) if transposed else permutation))
    sums, permutations = (torch.cat(parts) for parts in zip(*solved, strict=True))
    return Matches(sums, permutations)


def _costs_from_trees(
    rows: Grown, columns: Grown, pairs: Tensor, start: Start, minimise: Minimise, memory: Tensor
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Return u + v - A (k, S, S), u and v (k, S), and whether the costs are transposed: no."""
    x = [rows.maps.values[i] for i in pairs[:, 0].tolist()]
    y = [columns.maps.values[j] for j in pairs[:, 1].tolist()]
    v = potentials.coarse_to_fine(rows.trees, columns.trees, pairs, y, start.entropies, minimise)
    return *potentials.reduced(x, y, v, start.entropies, memory), False


def _costs_from_zero(
    rows: Grown, columns: Grown, pairs: Tensor, start: Start, minimise: Minimise, memory: Tensor
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Do the same without trees, transposed: the problem of column positions with row positions.

    So the products of one row sample with consecutive column samples are one product, in place.
    """
    costs, plan = memory
    for first, last in _runs(pairs):
        i, j = pairs[first].tolist()
        y = columns.maps.values[j : j + last - first]
        torch.mm(y.flatten(0, 1), rows.maps.values[i].T, out=costs[first:last].flatten(0, 1))
    costs.neg_()
    return *potentials.sharpen(costs, torch.zeros_like(costs[:, 0]), start.entropies, plan), True


def _runs(pairs: Tensor) -> list[tuple[int, int]]:
    """Return (first, end) of every run of pairs with one row sample and consecutive column samples."""
    goes_on = ((pairs[1:, 0] == pairs[:-1, 0]) & (pairs[1:, 1] == pairs[:-1, 1] + 1)).tolist()
    starts = [0] + [k + 1 for k, same in enumerate(goes_on) if not same]
    return list(zip(starts, [*starts[1:], len(pairs)], strict=True))


def prepared_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what a sample takes: for the solver, or the order of its positions and means of groups."""
    solver = SOLVERS[settings.solver]
    if solver.pairs is not None:
        return solver.pairs.prepared_bytes(n_positions, n_channels, size)
    groups = sum(n_positions // group for group in start_for(n_positions).sizes)
    return 8 * n_positions + groups * n_channels * size


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: costs, the plan of the sweeps, the solver's copy, the products."""
    solver = SOLVERS[settings.solver]
    if solver.pairs is not None:
        return solver.pairs.workspace_bytes(n_positions, n_channels, size)
    return n_positions * (n_positions * 4 * size + 64)
