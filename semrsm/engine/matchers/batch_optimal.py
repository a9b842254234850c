"""The matcher `batch-optimal`: windows of positions with similar norms, each matched optimally."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import affinities_of_some, best_permutations, norms, sums_of
from semrsm.engine.settings import Settings


@dataclass(frozen=True)
class Ordered:
    """A block of maps and an order of the positions of each sample.

    Attributes:
        maps: The block.
        order: (b, S) int64, positions of each sample in that order.
    """

    maps: Maps
    order: Tensor


def order_by_norm(maps: Maps, settings: Settings) -> Ordered:
    """Order the positions by the norm of their vectors, ascending; ties keep the lower one first."""
    return Ordered(maps, norms(maps).argsort(dim=1, stable=True))


def match_windows(rows: Ordered, columns: Ordered, pairs: Tensor, settings: Settings) -> Matches:
    """Match the w-th `settings.window` positions of one sample with the w-th of the other, optimally.

    Both samples' positions are in order of their norms, and windows are disjoint; the last one has
    the S mod window positions of largest norm. Only affinities within windows are computed.

    Args:
        rows: Positions in order of norm, of maps that are not centred.
        columns: As rows.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `window` is the number of positions in a window; `solver` names the exact solver.

    Source: "Batch-Optimal" of Wald et al., NeurIPS 2024, as their `sw_k` matchers do it.
    """
    i, j = pairs.unbind(1)
    orders = rows.order[i], columns.order[j]
    return match_runs(rows.maps, columns.maps, pairs, orders, settings.window, settings.solver)


def match_runs(
    rows: Maps,
    columns: Maps,
    pairs: Tensor,
    orders: tuple[Tensor, Tensor],
    size: int,
    solver: str,
) -> Matches:
    """Match runs of positions optimally, the w-th run of one order with the w-th of the other.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64.
        orders: Two (P, S) int64, an order of the positions of the row and of the column sample of
            each pair.
        size: Positions in a run; the last run has what is left.
        solver: A key of SOLVERS.
    """
    P, S = orders[0].shape
    whole = S // size * size
    sums = torch.zeros(P, dtype=torch.float64, device=pairs.device)
    permutation = torch.empty(P, S, dtype=torch.int64, device=pairs.device)
    for run, part in ((size, slice(0, whole)), (S - whole, slice(whole, S))):
        if part.start == part.stop:
            continue
        x, y = (order[:, part].reshape(P, -1, run) for order in orders)
        affinity = affinities_of_some(rows, columns, pairs, x, y)
        within = best_permutations(affinity, solver)
        sums += sums_of(affinity, within).sum(1)
        permutation.scatter_(1, x.flatten(1), y.gather(2, within).flatten(1))
    return Matches(sums, permutation)


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: gathered vectors, affinities, centred ones, costs for the solver."""
    window = min(settings.window, n_positions)
    return n_positions * (window * (3 * size + 8) + 2 * n_channels * size + 64)


def prepared_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what the order of a sample takes while it is made: norms and indices."""
    return 24 * n_positions
