"""Products between the positions of two samples, and what every matcher does with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semrsm.engine.assignment import SOLVERS
from semrsm.engine.maps import Maps

PART = 1 << 18  # numbers: 1 MiB in float32


def affinities(rows: Maps, columns: Maps, pairs: Tensor) -> Tensor:
    """Return the inner products between all positions of each pair: (P, S, S), dtype of the maps."""
    i, j = pairs.unbind(1)
    return torch.bmm(rows.values[i], columns.values[j].transpose(1, 2))


def affinities_of_some(
    rows: Maps, columns: Maps, pairs: Tensor, row_positions: Tensor, column_positions: Tensor
) -> Tensor:
    """Return the inner products between some positions of each pair, and only those.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64.
        row_positions: (P, W, k) int64, the positions of the row sample in each of W windows.
        column_positions: (P, W, k) int64, those of the column sample.

    Returns:
        (P, W, k, k), dtype of the maps.
    """
    i, j = pairs[:, :, None, None].unbind(1)
    x, y = rows.values[i, row_positions], columns.values[j, column_positions]
    return x @ y.transpose(2, 3)


def norms(maps: Maps) -> Tensor:
    """Return the Euclidean norm of each stored position vector: (b, S) float64."""
    return torch.cat(
        [torch.linalg.vector_norm(v, dim=2, dtype=torch.float64) for v in few_samples(maps)]
    )


def few_samples(maps: Maps) -> tuple[Tensor, ...]:
    """Split the values of a block into a few samples each, so that copies of a part are small."""
    return maps.values.split(max(1, PART // (maps.n_positions * maps.n_channels)))


def sums_of(affinity: Tensor, permutation: Tensor) -> Tensor:
    """Return sum_s affinity[s, p(s)] of each problem in float64: (..., S, S), (..., S) -> (...).

    >>> sums_of(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[1, 0]])).tolist()
    [5.0]
    """
    return affinity.gather(-1, permutation[..., None]).squeeze(-1).double().sum(-1)


def sums_of_matched(rows: Maps, columns: Maps, pairs: Tensor, permutation: Tensor) -> Tensor:
    """Return sum_s <v_s, w_p(s)> of each pair from the vectors themselves, in float64.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64.
        permutation: (P, S) int64.

    Returns:
        (P,) float64, whatever precision the affinities were computed in.
    """
    sums = [
        (rows.values[i].double() * columns.values[j][p].double()).sum()
        for (i, j), p in zip(pairs.tolist(), permutation, strict=True)
    ]
    return torch.stack(sums)


def better_of_both_ways(
    affinity: Tensor, match: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Match with the rows choosing, then with the columns choosing, and keep the larger sum.

    So swapping the two samples changes nothing, where ties decide nothing.

    Args:
        affinity: (P, S, S).
        match: (P, S, S) -> (P, S) int64, in which rows and columns do not play the same part.

    Returns:
        sums: (P,) float64.
        permutation: (P, S) int64, of the rows.
    """
    there, back = match(affinity), match(affinity.mT.contiguous()).argsort(1)
    of_there, of_back = sums_of(affinity, there), sums_of(affinity, back)
    better = torch.where((of_back > of_there)[:, None], back, there)
    return torch.maximum(of_there, of_back), better


def best_permutations(affinity: Tensor, solver: str) -> Tensor:
    """Return the permutations with the largest sum of affinities, (..., S, S) -> (..., S) int64.

    The means of rows and columns are subtracted first: that changes no optimum, and what all
    positions share makes the problems harder.
    """
    size = affinity.shape[-1]
    centred = (affinity - affinity.mean(-1, keepdim=True)).reshape(-1, size, size)
    centred -= centred.mean(1, keepdim=True)
    return SOLVERS[solver].solve(centred).reshape(affinity.shape[:-1])
