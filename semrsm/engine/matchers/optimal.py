"""The matcher `optimal`: the permutation with the largest inner product; the semantic RSM."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.assignment import SOLVERS
from semrsm.engine.maps import Maps
from semrsm.engine.matchers.record import Matches, Settings


def affinities(rows: Maps, columns: Maps, pairs: Tensor) -> Tensor:
    """Return the inner products between all positions of each pair: (P, S, S), dtype of the maps."""
    i, j = pairs.unbind(1)
    return torch.bmm(rows.values[i], columns.values[j].transpose(1, 2))


def sums_of(affinity: Tensor, permutation: Tensor) -> Tensor:
    """Return sum_s affinity[s, p(s)] of each problem in float64: (P, S, S), (P, S) -> (P,)."""
    return affinity.gather(2, permutation[:, :, None]).squeeze(2).double().sum(1)


def match_optimally(rows: Maps, columns: Maps, pairs: Tensor, settings: Settings) -> Matches:
    """Return the permutation p that makes sum_s <x_s, y_p(s)> largest, for each pair.

    Args:
        rows: (a, S, C), centred: that changes no optimum and makes the problems easier.
        columns: (b, S, C), centred.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `solver` names the exact solver.

    Source: Wald et al., NeurIPS 2024, Eqs. 4-5.
    """
    affinity = affinities(rows, columns, pairs)
    permutation = SOLVERS[settings.solver].solve(affinity)
    return Matches(sums_of(affinity, permutation), permutation)
