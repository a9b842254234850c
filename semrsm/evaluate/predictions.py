"""Predictions: are similar samples predicted alike? RSM entries against Jensen-Shannon divergences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.evaluate.pair_correlations import PairCorrelations, dense_ranks, pearson, spearman

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

LEVEL = 0.95
PAIR_BYTES = 56  # a pair takes at most: similarity, divergence and its rank are kept, ranks sorted
RESAMPLED_PAIR_BYTES = 68  # the same with `bootstrap`
WORKER_PAIR_BYTES = 12  # that each further worker of `bootstrap` takes
MOST_UNDEFINED = 0.1  # beyond this share of undefined resamples there is no interval


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval.

    Attributes:
        low: Lower end; NaN if the correlation is undefined for more than a tenth of the resamples.
        high: Upper end.
    """

    low: float
    high: float


def correlations(
    similarity: Floats, divergence: Floats, divergence_ranks: Integers
) -> dict[str, float]:
    """Return "pearson" and "spearman" of the pairs i < j; NaN if either side is constant.

    Args:
        similarity: (m,) float64.
        divergence: (m,) float64.
        divergence_ranks: Its `dense_ranks`: they serve many RSMs.

    >>> d = np.array([0.1, 0.5, 0.9])
    >>> correlations(np.array([3.0, 2.0, 1.0]), d, dense_ranks(d))
    {'pearson': -1.0, 'spearman': -1.0}
    """
    by_rank = spearman(dense_ranks(similarity), divergence_ranks)
    return {"pearson": pearson(similarity, divergence), "spearman": by_rank}


def bootstrap(
    similarity: Floats,
    divergence: Floats,
    divergence_ranks: Integers,
    n: int,
    n_resamples: int = 1000,
    seed: int = 0,
    workers: int = 1,
) -> dict[str, Interval]:
    """Return percentile intervals of the correlations over resampled samples.

    n samples are drawn with replacement; a pair of two samples counts as often as they were drawn
    together, pairs of a sample with its own copy are dropped. Ranks are taken anew in each resample.

    Args:
        similarity: (n (n - 1) / 2,) float64, the pairs i < j as `divergences` orders them.
        divergence: The same pairs.
        divergence_ranks: Its `dense_ranks`.
        n: How many samples.
        n_resamples: How many resamples.
        seed: Seed of the resamples.
        workers: How many threads; the result does not depend on it.

    Source: B. Efron, R. J. Tibshirani: An introduction to the bootstrap, 1993, chapter 13,
    doi:10.1201/9780429246593; over samples: H. H. Schütt et al., 2023, doi:10.7554/eLife.82566.

    >>> x = np.random.default_rng(0).standard_normal(45)
    >>> interval = bootstrap(x, -x, dense_ranks(-x), 10, 20)["spearman"]
    >>> round(interval.low, 6), round(interval.high, 6)
    (-1.0, -1.0)
    """
    draws = np.random.default_rng(seed)
    counts = np.array(
        [np.bincount(draws.integers(0, n, n), minlength=n) for _ in range(n_resamples)], np.int32
    )
    values = PairCorrelations.of(similarity, divergence, divergence_ranks, n)(counts, workers)
    return {name: _interval(found) for name, found in values.items()}


def _interval(values: Floats) -> Interval:
    defined = values[~np.isnan(values)]
    if len(values) - len(defined) > MOST_UNDEFINED * len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
