"""Predictions: are similar samples predicted alike? RSM entries against Jensen-Shannon divergences."""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.evaluate.blocks import (
    WORKING,
    pair_rows,
    refuse_no_pairs,
    row_blocks,
    symmetric_blocks,
    upper_pairs,
)
from semrsm.evaluate.divergences import divergence_rows, divergences
from semrsm.evaluate.pair_correlations import PairCorrelations, pearson, spearman
from semrsm.evaluate.results import Evaluation, value_or_none
from semrsm.evaluate.sure import with_intervals
from semrsm.machine import cores, require_memory
from semrsm.measures.inference import Inference
from semrsm.measures.intervals import replicate
from semrsm.measures.resamples import Tick
from semrsm.measures.weighted import no_tick
from semrsm.measures.weighted_ranks import dense_ranks
from semrsm.rsms import Rsm

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

PAIR_BYTES = 56  # a pair takes at most: similarity, divergence and its rank are kept, ranks sorted
WORKER_BYTES = 1 << 25  # that each worker on resamples takes
CONSTANT = "the similarities or the divergences of its pairs are all equal"


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


@dataclass(frozen=True)
class Predictions:
    """What is known of the predictions for the samples of an RSM, in its order.

    Attributes:
        p: (n, classes) float64, the probabilities.
        divergence: (n (n - 1) / 2,) float64, of the pairs i < j.
    """

    p: Floats
    divergence: Floats

    @classmethod
    def of(cls, p: Floats) -> Predictions:
        """Return what probabilities (n, classes) tell."""
        return cls(p, divergences(p, cores()))

    @functools.cached_property
    def ranks(self) -> Integers:
        """The `dense_ranks` of the divergences."""
        return dense_ranks(self.divergence)


def check_predictions(rsm: Rsm, p: Floats, n_resamples: int, memory: int) -> int:
    """Refuse an RSM without pairs, or whose pairs do not fit in memory; return the bytes it takes."""
    refuse_no_pairs(rsm)
    n = rsm.shape[0]
    pairs = PAIR_BYTES * n * (n - 1) // 2
    worker = WORKER_BYTES if n_resamples else 0
    needed = pairs + worker + 2 * p.nbytes + rsm.row_need(WORKING)
    what = f"{rsm.address}: ranking the pairs of {n} samples"
    require_memory(what, needed, memory, "take fewer samples")
    return needed


def predictions_of(
    rsm: Rsm, known: Predictions, inference: Inference, memory: int, tick: Tick = no_tick
) -> Evaluation:
    """Return how an RSM correlates with the divergences of the predictions; checked before."""
    n, p, divergence = rsm.shape[0], known.p, known.divergence
    left = memory - PAIR_BYTES * len(divergence) - 2 * p.nbytes
    with ThreadPoolExecutor(1) as pool:  # sorting takes one core, and is half of what is left to do
        ranking = pool.submit(lambda: known.ranks)
        similarity = upper_pairs(symmetric_blocks(rsm, left), n)
        similarity_ranks = dense_ranks(similarity)
        ranks = ranking.result()
    values = correlations(similarity, divergence, similarity_ranks, ranks)
    del similarity_ranks
    undefined = dict.fromkeys(values, CONSTANT) if math.isnan(values["pearson"]) else {}
    evaluation = Evaluation(
        rsm,
        {name: value_or_none(value) for name, value in values.items()},
        undefined,
        ("i", "j", "similarity", "divergence"),
        lambda: pair_rows(row_blocks(rsm, left), divergence_rows(p)),
    )
    if not inference.n_resamples:
        return evaluation
    if undefined:
        return with_intervals(evaluation, {}, inference, {}, undefined)
    spare = memory - check_predictions(rsm, p, inference.n_resamples, memory)
    workers = min(cores(), 1 + spare // WORKER_BYTES)
    resamples = inference.resamples(n)
    clusters = None if inference.clusters is None else resamples.clusters
    both = PairCorrelations.of(similarity, divergence, ranks, n, clusters)
    replicates = replicate(
        values,
        lambda counts: both(counts.astype(np.int32), workers),
        resamples,
        inference.method,
        tick,
    )
    return with_intervals(evaluation, replicates, inference, dict.fromkeys(values, (-1.0, 1.0)), {})
