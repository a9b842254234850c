"""The matcher `topk-greedy`: the positions of largest norm matched optimally, the rest greedily."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.matchers.batch_optimal import Ordered
from semrsm.engine.matchers.greedy import greedy_permutations
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import (
    affinities_of_some,
    best_permutations,
    better_of_both_ways,
    sums_of,
)
from semrsm.engine.settings import Settings


def match_topk(rows: Ordered, columns: Ordered, pairs: Tensor, settings: Settings) -> Matches:
    """Match the `settings.topk` positions of largest norm optimally, the others greedily, both ways.

    No match crosses the cut, and only the affinities on either side of it are computed. Of positions
    with the same norm the later ones count as larger. With S of at most `topk` the result is optimal.

    Args:
        rows: Positions in order of norm, ascending, of maps that are not centred.
        columns: As rows.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `topk` is how many are matched optimally; `solver` names the exact solver.

    Source: "TopK-Greedy" of Wald et al., NeurIPS 2024.
    """
    i, j = pairs.unbind(1)
    orders = rows.order[i], columns.order[j]
    P, S = orders[0].shape
    small = max(0, S - settings.topk)
    sums = torch.zeros(P, dtype=torch.float64, device=pairs.device)
    permutation = torch.empty(P, S, dtype=torch.int64, device=pairs.device)
    for part, optimal in ((slice(0, small), False), (slice(small, S), True)):
        if part.start == part.stop:
            continue
        # Positions go up, so that greedy ties are decided by the lower one.
        x, y = (order[:, part].sort(dim=1).values for order in orders)
        affinity = affinities_of_some(rows.maps, columns.maps, pairs, x[:, None], y[:, None])[:, 0]
        if optimal:
            within = best_permutations(affinity, settings.solver)
            sums += sums_of(affinity, within)
        else:
            of_rest, within = better_of_both_ways(
                affinity, lambda a: greedy_permutations(a, settings.solver)
            )
            sums += of_rest
        permutation.scatter_(1, x, y.gather(1, within))
    return Matches(sums, permutation)


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: gathered vectors and the larger of its two problems."""
    top = min(settings.topk, n_positions)
    rest = n_positions - top
    problem = max(top * top * (3 * size + 8), 3 * rest * rest * size)
    return problem + n_positions * (2 * n_channels * size + 64)
