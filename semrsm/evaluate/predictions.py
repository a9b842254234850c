"""Predictions: are similar samples predicted alike? RSM entries against Jensen-Shannon divergences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semrsm.evaluate.pair_correlations import pearson, spearman
from semrsm.measures.weighted_ranks import dense_ranks

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

PAIR_BYTES = 56  # a pair takes at most: similarity, divergence and its rank are kept, ranks sorted
WORKER_BYTES = 1 << 25  # that each worker on resamples takes


def correlations(
    similarity: Floats, divergence: Floats, divergence_ranks: Integers
) -> dict[str, float]:
    """Return "pearson" and "spearman" of the pairs i < j; NaN if either side is constant.

    Args:
        similarity: (m,) float64.
        divergence: (m,) float64.
        divergence_ranks: Its `dense_ranks`: they serve many RSMs.

    >>> d = np.array([0.1, 0.5, 0.9])
    >>> found = correlations(np.array([3.0, 2.0, 1.0]), d, dense_ranks(d))
    >>> {name: round(value, 9) for name, value in found.items()}
    {'pearson': -1.0, 'spearman': -1.0}
    """
    by_rank = spearman(dense_ranks(similarity), divergence_ranks)
    return {"pearson": pearson(similarity, divergence), "spearman": by_rank}
