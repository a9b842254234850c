"""The matchers `maxsim` and `pool`: bounds of the optimum from above and below, no permutation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import affinities, few_samples
from semrsm.engine.settings import Settings


def bound_by_maxima(rows: Maps, columns: Maps, pairs: Tensor, settings: Settings) -> Matches:
    """Let every position take its best partner, whoever else has it: at least the optimum.

    The mean of sum_s max_t <x_s, y_t> and sum_t max_s <x_s, y_t>, so that swapping the samples
    changes nothing.

    Args:
        rows: (a, S, C), not centred.
        columns: (b, S, C), not centred.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: Not used.

    Source: the MaxSim of ColBERT (Khattab & Zaharia, SIGIR 2020, arXiv:2004.12832), taken both ways.
    """
    affinity = affinities(rows, columns, pairs)
    of_rows = affinity.amax(2).sum(1, dtype=torch.float64)
    of_columns = affinity.amax(1).sum(1, dtype=torch.float64)
    return Matches((of_rows + of_columns) / 2)


def pool_positions(maps: Maps, settings: Settings) -> Tensor:
    """Return sqrt(S) times the mean vector of each sample: (b, C) float64."""
    means = torch.cat([some.mean(1, dtype=torch.float64) for some in few_samples(maps)])
    return means * math.sqrt(maps.n_positions)


def bound_by_means(rows: Tensor, columns: Tensor, pairs: Tensor, settings: Settings) -> Matches:
    """Return S <mean x, mean y>: the mean over all permutations, so at most the optimum.

    Args:
        rows: (a, C) float64, of `pool_positions`.
        columns: (b, C) float64.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: Not used.

    Source: mean pooling; the sum of all affinities is S times its value.
    """
    i, j = pairs.unbind(1)
    return Matches((rows @ columns.T)[i, j])
