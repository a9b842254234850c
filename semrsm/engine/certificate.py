"""Certificates: how far from the optimum a matching can be, from any potentials, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.potentials import duals_of, reduced

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


ENTROPIES = (
    0.15,
    0.04,
    0.01,
)  # of the sweeps that give potentials where no optimal matching is known


def bounds_of_pairs(rows: Maps, columns: Maps, pairs: Tensor, optimal: Tensor | None) -> Tensor:
    """Bound the sums of every matching of some pairs from above, in float64, pair by pair.

    From an optimal matching come optimal potentials, and the bound is tight up to rounding; without
    one the potentials are those of a few Sinkhorn sweeps. What the rounding of the stored values may
    hide is added on top, so that the bound never falls below the true optimum.

    Args:
        rows: (a, S, C), centred or not.
        columns: (b, S, C).
        pairs: (P, 2) int64.
        optimal: (P, S) int64, optimal matchings; None where they are not known.

    Returns:
        (P,) float64, in the units of `Matches.sums`; `maps.unscaled` gives those of the samples.
    """
    bounds = [
        _bound_of_pair(rows.values[i], columns.values[j], None if optimal is None else optimal[k])
        for k, (i, j) in enumerate(pairs.tolist())
    ]
    return torch.stack(bounds)


def _bound_of_pair(x: Tensor, y: Tensor, optimal: Tensor | None) -> Tensor:
    """Bound sum_s <x_s, y_p(s)> over all permutations p, () float64, for (S, C) each."""
    unit = torch.finfo(x.dtype).eps
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    affinity = x @ y.T
    if optimal is None:
        v = reduced([x], [y], y.new_zeros(1, len(y)), ENTROPIES)[2][0]
    else:
        v = duals_of(affinity[None], optimal[None])[1][0]
    u = (affinity - v).amax(1)
    size = torch.linalg.vector_norm(x) * torch.linalg.vector_norm(y)
    of_means = len(x) * (mean_x @ mean_y)
    # A stored value is off by half a unit at most; by Cauchy and Schwarz a sum then by these sizes.
    rounding = 2 * unit * (size + of_means.abs())
    rounding = rounding + (2 * len(x) + x.shape[1]) * 2.0**-52 * (
        u.abs().sum() + v.abs().sum() + size
    )
    return u.sum() + v.sum() + of_means + rounding
