"""The matcher `sinkhorn`: entropic transport, balanced in the log domain, rounded to a permutation."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.matchers.greedy import greedy_permutations
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import affinities, better_of_both_ways
from semrsm.engine.settings import Settings

FIRST = 0.25  # of the range: an entropy that any problem is balanced with in one sweep
FALL = 0.85
LAST_SWEEPS = 10
SMALLEST_POWER = -60.0


def match_by_sinkhorn(rows: Maps, columns: Maps, pairs: Tensor, settings: Settings) -> Matches:
    """Balance the plan exp((A - u - v) / epsilon) of each pair, then round it to a permutation.

    Sweeps make the rows, then the columns of the plan sum to one. The entropy falls from a quarter
    of the range of A to `settings.epsilon` of it, then stays for ten sweeps; as many sweeps for
    every pair, so that no pair depends on those beside it. Rounding is greedy on the plan: the rows
    in order of their largest entry each take the free column of their largest entry. All of it is
    done once more with rows and columns exchanged, and the better permutation counts.

    Args:
        rows: (a, S, C), centred, as the range is that of the centred affinities.
        columns: (b, S, C), centred.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `epsilon` is the last entropy, as a share of the range.

    Source: Cuturi, NeurIPS 2013, arXiv:1306.0895; falling entropy: Schmitzer, SIAM J. Sci. Comput.
    2019, doi:10.1137/16M1106018.
    """

    def rounded(affinity: Tensor) -> Tensor:
        return greedy_permutations(log_plan(affinity, settings.epsilon), settings.solver)

    return Matches(*better_of_both_ways(affinities(rows, columns, pairs), rounded))


def entropies(epsilon: float) -> list[float]:
    """Return the entropy of each sweep, as a share of the range.

    >>> [round(share, 3) for share in entropies(0.1)[:4]]
    [0.25, 0.212, 0.181, 0.154]
    """
    falling, share = [], FIRST
    while share > epsilon:
        falling.append(share)
        share *= FALL
    return falling + [epsilon] * LAST_SWEEPS


def log_plan(affinity: Tensor, epsilon: float) -> Tensor:
    """Return A - u - v, the logarithm of the balanced plan times its entropy: (P, S, S)."""
    # Shifted, so that even equal affinities, whose range is 0, divide to finite numbers.
    affinity = affinity - affinity.amax((1, 2), keepdim=True)
    spread = -affinity.amin((1, 2)).clamp_max(-torch.finfo(affinity.dtype).tiny / epsilon)[:, None]
    v = torch.zeros_like(affinity[:, 0])
    for share in entropies(epsilon):
        u = _soft_maximum(affinity - v[:, None, :], share * spread, 2)
        v = _soft_maximum(affinity - u[:, :, None], share * spread, 1)
    return affinity - u[:, :, None] - v[:, None, :]


def _soft_maximum(scores: Tensor, entropy: Tensor, dim: int) -> Tensor:
    """Return entropy log sum exp(scores / entropy) along `dim`; `scores` is overwritten."""
    scores = scores.div_(entropy[:, :, None])
    largest = scores.amax(dim, keepdim=True)
    # What is nothing beside the largest is cut off, or its exponentials become slow denormals.
    powers = scores.sub_(largest).clamp_(min=SMALLEST_POWER).exp_()
    return entropy * powers.sum(dim).log_().add_(largest.squeeze(dim))


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: affinities both ways, shifted, reduced, and the plan, in order."""
    return n_positions * (n_positions * 5 * size + 2 * n_channels * size + 64)
