"""One RSM and what is known of its samples -> an Evaluation, within the memory granted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine import selection
from semrsm.errors import SemrsmError
from semrsm.evaluate import predictions, views
from semrsm.evaluate.blocks import (
    WORKING,
    pair_rows,
    refuse_no_pairs,
    row_blocks,
    symmetric_blocks,
    upper_pairs,
)
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.retrieval import multi_hot, retrieve, summarise
from semrsm.machine import require_memory
from semrsm.rsms import Rsm
from semrsm.storage.labels import Labels, rows_of

CONSTANT = "the similarities or the divergences of its pairs are all equal"


def retrieval_of(
    rsm: Rsm, labels: Labels, gallery: Labels | None, ks: tuple[int, ...], memory: int
) -> Evaluation:
    """Return how well the nearest neighbours by the rows of an RSM share labels."""
    _check_gallery(rsm, gallery)
    n, m = rsm.shape
    kept = 2 * 8 * n * (3 * len(ks) + 3)
    what = f"{rsm.address}: ranking {m} samples for one query at a time"
    require_memory(what, rsm.row_need(WORKING) + kept, memory, "take fewer samples")
    wanted = rows_of(labels, n, rsm.samples, rsm.address, rsm.taken)
    queries = [labels.sets[row] for row in wanted]
    if gallery is None:
        query_hot, gallery_hot = multi_hot(queries) * 2
    else:
        whose = f"the gallery of {rsm.address}"
        found = rows_of(gallery, m, rsm.column_samples, whose, rsm.column_taken)
        query_hot, gallery_hot = multi_hot(queries, [gallery.sets[row] for row in found])
    candidates = m - (gallery is None)
    if candidates < 1:
        raise SemrsmError(f"{rsm.address} has nothing to retrieve; give an RSM of more samples")
    within = tuple(k for k in ks if k <= candidates) or (1,)
    blocks = [
        retrieve(block, query_hot[rows], gallery_hot, within, rows if gallery is None else None)
        for rows, block in row_blocks(rsm, memory - kept)
    ]
    scores = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    excluded = int(np.isnan(scores["ap"]).sum())
    if excluded == n:
        raise SemrsmError(
            f"{rsm.address}: none of {n} queries shares a label with another sample;"
            f" check {labels.address}"
        )
    means = summarise(scores)
    too_large = {k: f"k = {k} with {candidates} candidates" for k in ks if k > candidates}
    at_k = [f"{metric}@{k}" for metric in ("f1", "precision", "recall") for k in ks]
    names = [*at_k, "map", "mrr", "r-precision"]
    return Evaluation(
        rsm,
        {name: means.get(name) for name in names} | {"queries": n - excluded, "excluded": excluded},
        {name: too_large[k] for name in at_k if (k := int(name.split("@")[1])) in too_large},
        ("sample", "id", *scores),
        lambda: _query_rows(rsm, scores),
    )


def _check_gallery(rsm: Rsm, gallery: Labels | None) -> None:
    """Refuse a rectangular RSM without labels of its columns, and a symmetric file's with them."""
    if gallery is None and not rsm.symmetric:
        raise SemrsmError(
            f"{rsm.address} is rectangular ({rsm.shape[0]} x {rsm.shape[1]}), queries x gallery;"
            " give the labels of its columns with --gallery-labels"
        )
    if gallery is not None and rsm.symmetric and rsm.matcher is not None:
        raise SemrsmError(
            f"{rsm.address} is symmetric: its samples are the gallery; leave --gallery-labels out"
        )


def _query_rows(rsm: Rsm, scores: Mapping[str, predictions.Floats]) -> Iterator[Sequence[Any]]:
    columns = list(scores.values())
    for query in range(rsm.shape[0]):
        sample = rsm.samples[query] if rsm.samples else None
        yield query, sample, *(_value(float(column[query])) for column in columns)


@dataclass(frozen=True)
class Predictions:
    """What is known of the predictions for the samples of an RSM, in its order.

    Attributes:
        p: (n, classes) float64, the probabilities.
        divergence: (n (n - 1) / 2,) float64, of the pairs i < j.
        ranks: Its `dense_ranks`.
    """

    p: predictions.Floats
    divergence: predictions.Floats
    ranks: predictions.Integers

    @classmethod
    def of(cls, p: predictions.Floats) -> Predictions:
        """Return what probabilities (n, classes) tell."""
        divergence = predictions.divergences(p)
        return cls(p, divergence, predictions.dense_ranks(divergence))


def check_predictions(rsm: Rsm, p: predictions.Floats, n_resamples: int, memory: int) -> None:
    """Refuse an RSM without pairs, or whose pairs do not fit in memory; nothing is read for it."""
    refuse_no_pairs(rsm)
    n = rsm.shape[0]
    each = predictions.RESAMPLED_PAIR_BYTES if n_resamples else predictions.PAIR_BYTES
    needed = each * n * (n - 1) // 2 + 2 * p.nbytes + rsm.row_need(WORKING)
    what = f"{rsm.address}: ranking the pairs of {n} samples"
    require_memory(what, needed, memory, "take fewer samples")


def predictions_of(
    rsm: Rsm, known: Predictions, n_resamples: int, seed: int, memory: int
) -> Evaluation:
    """Return how an RSM correlates with the divergences of the predictions; checked before."""
    n, p, divergence, ranks = rsm.shape[0], known.p, known.divergence, known.ranks
    left = memory - predictions.PAIR_BYTES * len(divergence) - 2 * p.nbytes
    similarity = upper_pairs(symmetric_blocks(rsm, left), n)
    values = predictions.correlations(similarity, divergence, ranks)
    undefined = dict.fromkeys(values, CONSTANT) if math.isnan(values["pearson"]) else {}
    if n_resamples:
        intervals = (
            {}
            if undefined
            else predictions.bootstrap(similarity, divergence, ranks, n, n_resamples, seed)
        )
        for name in tuple(values):
            interval = intervals.get(name, predictions.Interval(math.nan, math.nan))
            for end in ("low", "high"):
                values[f"{name}-{end}"] = getattr(interval, end)
                if math.isnan(interval.low):
                    undefined[f"{name}-{end}"] = undefined.get(name, "undefined in many resamples")
    return Evaluation(
        rsm,
        {name: _value(value) for name, value in values.items()},
        undefined,
        ("i", "j", "similarity", "divergence"),
        lambda: pair_rows(row_blocks(rsm, left), predictions.divergence_rows(p)),
    )


def views_of(rsm: Rsm, found: Labels, memory: int) -> Evaluation:
    """Return how much more alike views of one thing are, by an RSM, than other pairs."""
    refuse_no_pairs(rsm)
    n = rsm.shape[0]
    wanted = rows_of(found, n, rsm.samples, rsm.address, rsm.taken)
    codes = views.codes_of([next(iter(found.sets[row])) for row in wanted])
    counts = np.bincount(codes)
    n_same = int((counts * (counts - 1) // 2).sum())
    if not n_same:
        raise SemrsmError(
            f"{rsm.address}: no two samples are views of one thing; check {found.address}"
        )
    values, nearest = _compare_views(rsm, codes, n_same, memory)
    top1 = views.top1(nearest, codes)
    excluded = int(np.isnan(top1).sum())
    values |= {"top1": float(np.nanmean(top1))}
    undefined = (
        dict.fromkeys(values, "all samples are views of one thing")
        if n_same == n * (n - 1) // 2
        else {}
    )
    return Evaluation(
        rsm,
        {name: _value(value) for name, value in values.items()}
        | {"queries": n - excluded, "excluded": excluded},
        {name: why for name, why in undefined.items() if math.isnan(values[name])},
        ("i", "j", "similarity", "same"),
        lambda: pair_rows(
            row_blocks(rsm, memory),
            ((codes[i] == codes[i + 1 :]).astype(int) for i in range(n)),
        ),
    )


def _compare_views(
    rsm: Rsm, codes: predictions.Integers, n_same: int, memory: int
) -> tuple[dict[str, float], predictions.Integers]:
    """Return medians and AUROC, and the nearest of each sample: in one pass if all pairs fit."""
    n = rsm.shape[0]
    held = views.PAIR_BYTES * n_same
    whole = views.PAIR_BYTES * n * (n - 1) // 2
    by_blocks = rsm.row_need(WORKING)
    least = by_blocks + min(whole, held + selection.NEEDS)
    what = f"{rsm.address}: ranking the {n_same} pairs of views"
    require_memory(what, least, memory, "take fewer samples")
    fits = whole + by_blocks <= memory
    left = memory - (whole if fits else held)
    same, others, nearest = [], [], []
    for rows, block in symmetric_blocks(rsm, left):
        own, other = views.split_pairs(rows, block, codes)
        same.append(own)
        others += [other] if fits else []
        nearest.append(views.nearest(block, rows))
    alike = np.concatenate(same, dtype=np.float64)

    def other_pairs() -> Iterator[NDArray[np.floating]]:
        if fits:
            yield from others
            return
        for rows, block in row_blocks(rsm, left - selection.NEEDS):
            yield views.split_pairs(rows, block, codes)[1]

    [median] = selection.quantiles(other_pairs, (0.5,))
    values = {
        "median-same": float(np.median(alike)),
        "median-other": median,
        "auroc": views.auroc_of_blocks(alike, other_pairs()),
    }
    return values, np.concatenate(nearest)


def _value(value: float) -> float | None:
    return None if math.isnan(value) else value
