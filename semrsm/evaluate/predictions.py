"""Predictions: are similar samples predicted alike? RSM entries against Jensen-Shannon divergences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semrsm.evaluate.pair_correlations import pearson, spearman

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

PAIR_BYTES = 56  # a pair takes at most: similarity, divergence and its rank are kept, ranks sorted
WORKER_BYTES = 1 << 25  # that each worker on resamples takes


def correlations(
    similarity: Floats, divergence: Floats, similarity_ranks: Integers, divergence_ranks: Integers
) -> dict[str, float]:
    """Return "pearson" and "spearman" of the pairs i < j; NaN if either side is constant.

    Args:
        similarity: (m,) float64.
        divergence: (m,) float64.
        similarity_ranks: (m,), `dense_ranks` of the similarities.
        divergence_ranks: The same of the divergences; they serve many RSMs.

    >>> from semrsm.measures.weighted_ranks import dense_ranks
    >>> d = np.array([0.1, 0.5, 0.9])
    >>> values = correlations(-d, d, dense_ranks(-d), dense_ranks(d))
    >>> {name: round(value, 9) for name, value in values.items()}
    {'pearson': -1.0, 'spearman': -1.0}
    """
    by_rank = spearman(similarity_ranks, divergence_ranks)
    return {"pearson": pearson(similarity, divergence), "spearman": by_rank}
