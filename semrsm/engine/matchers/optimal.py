"""Matcher `optimal`: the permutation of largest matched inner product, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine import potentials
from semrsm.engine.maps import Maps
from semrsm.engine.potentials import Minimise, Trees

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


def trees_of(maps: Maps, start: Start) -> Trees:
    """Grow the feature trees that `start` needs, once for all pairs of the block."""
    return potentials.grow(maps.values, start.sizes)


def optimal_assignment(
    rows: Maps,
    columns: Maps,
    pairs: Tensor,
    row_trees: Trees,
    column_trees: Trees,
    start: Start,
    minimise: Minimise,
    certify: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Match pairs of samples so that the sum of their matched products is largest.

    The solver sees the reduced costs u + v - A >= 0 instead of the affinity A, which changes no
    optimal matching; the closer u and v are to optimal potentials, the less it has to do.

    Args:
        rows: The block that `pairs[:, 0]` counts in, on the CPU, finite.
        columns: The block that `pairs[:, 1]` counts in, of the same dtype.
        pairs: (P, 2) int64.
        row_trees: `trees_of(rows, start)`.
        column_trees: `trees_of(columns, start)`.
        start: `start_for(S)`.
        minimise: An exact solver of costs, such as `assignment.laprust_jv.minimise`.
        certify: Also compute the upper bound, from optimal potentials.

    Returns:
        sums: (P,) float64, sum_s <x_s, y_p(s)> of the stored values.
        permutation: (P, S) int64, p.
        upper_bound: (P,) float64 of the sums, or None.
    """
    S = rows.n_positions
    at_once = max(1, min(len(pairs), ENTRIES_AT_ONCE // S**2))
    memory = rows.values.new_empty(2, at_once, S, S)
    solved = []
    for chunk in pairs.split(at_once):
        costs, offset = _reduced_costs(
            rows, columns, chunk, row_trees, column_trees, start, minimise, memory[:, : len(chunk)]
        )
        p = minimise(costs)
        matched = costs.gather(2, p[:, :, None]).double().sum((1, 2))
        bound = offset + _upper_bound(costs, p) if certify else torch.empty(0)
        solved.append((offset - matched, p, bound))
    sums, permutation, upper_bound = (torch.cat(parts) for parts in zip(*solved, strict=True))
    return sums, permutation, upper_bound if certify else None


def _reduced_costs(
    rows: Maps,
    columns: Maps,
    pairs: Tensor,
    row_trees: Trees,
    column_trees: Trees,
    start: Start,
    minimise: Minimise,
    memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return u + v - A (k, S, S), written to memory[0], and sum u + sum v (k,) float64."""
    x = [rows.values[i] for i in pairs[:, 0].tolist()]
    y = [columns.values[j] for j in pairs[:, 1].tolist()]
    v = rows.values.new_zeros(len(pairs), rows.n_positions)
    if start.sizes:
        v = potentials.coarse_to_fine(row_trees, column_trees, pairs, y, start.entropies, minimise)
    costs, u, v = potentials.reduced(x, y, v, start.entropies, memory)
    return costs, u.double().sum(1) + v.double().sum(1)


def _upper_bound(costs: Tensor, permutation: Tensor) -> Tensor:
    """Bound sum_s -costs[s, p(s)] (k,) from above, in float64, by optimal potentials."""
    _, v = potentials.duals_of(-costs, permutation)
    v = v.double()
    u = torch.stack([(-cost - w).amax(1) for cost, w in zip(costs, v, strict=True)])
    return u.sum(1) + v.sum(1)
