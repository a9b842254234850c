"""The matcher `greedy`: positions in order of their best affinity, each takes its best free partner."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.assignment import SOLVERS
from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import affinities, better_of_both_ways
from semrsm.engine.settings import Settings


def match_greedily(rows: Maps, columns: Maps, pairs: Tensor, settings: Settings) -> Matches:
    """Match each pair greedily, once with either sample's positions choosing; the better one counts.

    Args:
        rows: (a, S, C), not centred: the raw products decide who chooses first.
        columns: (b, S, C), not centred.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `solver` names whose implementation is used.

    Source: Wald et al., NeurIPS 2024, name its "greedy"; the procedure is that of `greedy_permutations`.
    """
    affinity = affinities(rows, columns, pairs)
    return Matches(
        *better_of_both_ways(affinity, lambda a: greedy_permutations(a, settings.solver))
    )


def greedy_permutations(affinity: Tensor, solver: str) -> Tensor:
    """Let the rows, in order of their largest affinity, each take the best column that is still free.

    Ties: of rows with the same largest affinity the lower one chooses first; of columns with the
    same affinity the lower one is taken.

    Args:
        affinity: (P, S, S), finite, on the device of the solver.
        solver: A key of SOLVERS: its own implementation, else `greedy_in_turn`.

    Returns:
        (P, S) int64: row s takes column p(s).

    >>> greedy_permutations(torch.tensor([[[5.0, 4.0], [6.0, 1.0]]]), "scipy").tolist()
    [[1, 0]]
    """
    return (SOLVERS[solver].greedy or greedy_in_turn)(affinity)


def greedy_in_turn(affinity: Tensor) -> Tensor:
    """Do what `greedy_permutations` does: the readable twin of native/src/greedy.hpp and triton_greedy."""
    order = affinity.amax(2).argsort(dim=1, descending=True, stable=True)
    in_turn = affinity.gather(1, order[:, :, None].expand_as(affinity))
    taken = torch.zeros_like(affinity[:, 0])
    columns = torch.empty_like(order)
    for row, column in zip(in_turn.unbind(1), columns.split(1, dim=1), strict=True):
        torch.argmax(row + taken, dim=1, keepdim=True, out=column)
        taken.scatter_(1, column, -torch.inf)
    return torch.empty_like(order).scatter_(1, order, columns)


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: gathered vectors, affinities both ways, and these in order."""
    return n_positions * (3 * n_positions * size + 2 * n_channels * size + 64)
