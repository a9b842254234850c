"""Certificates: how far from the optimum a matching can be, from any potentials, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

ACCEPTED_GAP = 1e-6
WARNED_GAP = 1e-5
CHUNK = 2**24


def upper_bound(affinity: Tensor, pairs: Tensor, v: Tensor) -> Tensor:
    """Bound the optimal value of each pair from above: sum_s max_t (A[s,t] - v_t) + sum_t v_t.

    True for any v, however it was found; equal to the optimum where v is optimal. What float64 may
    lose in the sums is added on top, so that the bound never falls below the true optimum.

    Args:
        affinity: (B_i, S, B_j, S) float32 or float64, any strides, any device; the A of pair (i, j)
            is affinity[i, :, j, :].
        pairs: (P, 2) int64.
        v: (P, S) float32 or float64, finite.

    Returns:
        (P,) float64.

    >>> A = torch.tensor([[3.0, 2.0], [3.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> pairs = torch.tensor([[0, 0]])
    >>> [round(upper_bound(A, pairs, torch.tensor([v])).item(), 9) for v in ([0.0, 0.0], [1.0, 0.0])]
    [6.0, 5.0]
    """
    S = affinity.shape[1]
    blocks = affinity.permute(0, 2, 1, 3)
    step = max(1, CHUNK // max(1, S * S))
    bounds = torch.empty(len(pairs), dtype=torch.float64, device=affinity.device)
    for first in range(0, len(pairs), step):
        i, j = pairs[first : first + step].unbind(1)
        prices = v[first : first + step].double()
        u = (blocks[i, j].double() - prices[:, None, :]).amax(2)
        rounding = (u.abs().sum(1) + prices.abs().sum(1)) * (2 * S + 4) * 2.0**-53
        bounds[first : first + step] = u.sum(1) + prices.sum(1) + rounding
    return bounds


def value(affinity: Tensor, pairs: Tensor, permutation: Tensor) -> Tensor:
    """Return the value of each pair's matching, sum_s A[s, p(s)], summed in float64.

    Args:
        affinity: (B_i, S, B_j, S) float32 or float64, as for `upper_bound`.
        pairs: (P, 2) int64.
        permutation: (P, S) int64.

    Returns:
        (P,) float64.

    >>> A = torch.tensor([[3.0, 2.0], [3.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> value(A, torch.tensor([[0, 0]]), torch.tensor([[1, 0]])).item()
    5.0
    """
    i, j = pairs[:, :1], pairs[:, 1:]
    rows = torch.arange(affinity.shape[1], device=affinity.device)
    return affinity[i, rows[None, :], j, permutation].double().sum(1)


def scale(row_norms: Tensor, column_norms: Tensor, pairs: Tensor, permutation: Tensor) -> Tensor:
    """Return what gaps are measured against, per pair: sum_s |x_s| |y_p(s)|.

    Args:
        row_norms: (B_i, S), the norm of every position vector.
        column_norms: (B_j, S).
        pairs: (P, 2) int64.
        permutation: (P, S) int64.

    Returns:
        (P,) float64.

    >>> scale(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0, 0]]),
    ...       torch.tensor([[1, 0]])).item()
    10.0
    """
    partners = column_norms[pairs[:, 1]].double().gather(1, permutation)
    return (row_norms[pairs[:, 0]].double() * partners).sum(1)


def relative_gap(bound: Tensor, value: Tensor, scale: Tensor) -> Tensor:
    """Return (bound - value) / scale per pair, at least 0; 0 where bound and value are equal.

    Up to ACCEPTED_GAP a matching counts as optimal, above WARNED_GAP the run warns.

    Args:
        bound: (P,) float64, from `upper_bound`.
        value: (P,) float64, of the matching.
        scale: (P,) float64, from `scale`.

    >>> relative_gap(torch.tensor([6.0]), torch.tensor([5.0]), torch.tensor([8.0])).item()
    0.125
    """
    gap = (bound - value).clamp(min=0)
    return torch.where(gap == 0, gap, gap / scale)


def unproven(gap: Tensor) -> Tensor:
    """Return (P,) bool: the pairs to solve again in float64, gap above 1e-6 or not a number.

    >>> unproven(torch.tensor([1e-9, 1e-3, torch.nan])).tolist()
    [False, True, True]
    """
    return ~(gap <= ACCEPTED_GAP)
