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
    """Bound the inner product of every matching of some pairs from above, in float64, pair by pair.

    From an optimal matching come optimal potentials, and the bound is tight up to rounding; without
    one the potentials are those of a few Sinkhorn sweeps. What rounding may hide is added on top, of
    the stored values as of the sums here, so that the bound never falls below the true optimum.

    Args:
        rows: (a, S, C), centred or not.
        columns: (b, S, C).
        pairs: (P, 2) int64.
        optimal: (P, S) int64, optimal matchings; None where they are not known.

    Returns:
        (P,) float64, of the samples themselves: scales and means are in it.
    """
    bounds = torch.stack(
        [
            bound_of_pair(
                rows.values[i], columns.values[j], None if optimal is None else optimal[k]
            )
            for k, (i, j) in enumerate(pairs.tolist())
        ]
    )
    norms = [
        torch.stack([torch.linalg.vector_norm(v, dtype=torch.float64) for v in maps.values])
        for maps in (rows, columns)
    ]
    return bounds_of_samples(rows, columns, pairs, bounds, *norms)


def bounds_of_samples(
    rows: Maps,
    columns: Maps,
    pairs: Tensor,
    bounds: Tensor,
    row_norms: Tensor,
    column_norms: Tensor,
) -> Tensor:
    """Turn bounds of what is stored of the samples into bounds of the samples themselves.

    A scaled sample is v + mean - e, where |e| is at most half a unit of v. As the positions of v - e
    sum to 0 but for float64, the means add S <mean, mean>, and by Cauchy and Schwarz no permutation
    gains more than |e_x| |w| + |v| |e_y| + |e_x| |e_y| over the stored values.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64.
        bounds: (P,) float64, on sum_s <v_s, w_p(s)> over all permutations p.
        row_norms: (a,) float64, |v| of each stored sample.
        column_norms: (b,) float64.

    Returns:
        (P,) float64.
    """
    i, j = pairs.unbind(1)
    of_v, of_w = row_norms[i], column_norms[j]
    error_v, error_w = _rounding(rows, of_v), _rounding(columns, of_w)
    bounds = bounds + error_v * of_w + of_v * error_w + error_v * error_w
    if rows.mean is not None and columns.mean is not None:
        S, C = rows.n_positions, rows.n_channels
        size = (of_v + S**0.5 * torch.linalg.vector_norm(rows.mean, dim=1)[i]) * (
            of_w + S**0.5 * torch.linalg.vector_norm(columns.mean, dim=1)[j]
        )
        bounds = bounds + S * (rows.mean[i] * columns.mean[j]).sum(1)
        bounds = bounds + 2.0**-52 * (4 * S + 2 * C + 16) * size
    # Upward, as a product that is hardly more than 0 is rounded once more.
    bounds = (rows.scale[i] * columns.scale[j] * bounds).nextafter(
        torch.full_like(bounds, torch.inf)
    )
    zero = (rows.squared_norm[i] == 0) | (columns.squared_norm[j] == 0)
    return bounds.masked_fill(zero, 0.0)


def bound_of_pair(v: Tensor, w: Tensor, optimal: Tensor | None) -> Tensor:
    """Bound sum_s <v_s, w_p(s)> over all permutations p, () float64, of stored values (S, C)."""
    v, w = v.double(), w.double()
    S, C = v.shape
    size = torch.linalg.vector_norm(v) * torch.linalg.vector_norm(w)
    # Once more, in float64: cheap, and the potentials of maps that are not centred would be poor.
    mean_v, mean_w = v.mean(0), w.mean(0)
    v, w = v - mean_v, w - mean_w
    left = (v.sum(0) @ mean_w).abs() + (mean_v @ w.sum(0)).abs()
    affinity = v @ w.T
    if optimal is None:
        prices = reduced([v], [w], w.new_zeros(1, S), ENTROPIES)[2][0]
    else:
        prices = duals_of(affinity[None], optimal[None])[1][0]
    u = (affinity - prices).amax(1)
    of_sums = 2.0**-52 * (4 * S + 2 * C + 16) * (u.abs().sum() + prices.abs().sum() + size)
    return u.sum() + prices.sum() + S * (mean_v @ mean_w) + left + of_sums


def _rounding(maps: Maps, norms: Tensor) -> Tensor:
    """Return how far the stored values of samples, of these norms, may be from what they stand for."""
    dtype = torch.finfo(maps.values.dtype)
    least = (maps.n_positions * maps.n_channels) ** 0.5 * dtype.smallest_normal * dtype.eps
    return least + (0.0 if maps.exact else 0.51 * dtype.eps) * norms
