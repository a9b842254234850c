"""One RSM and what is known of its samples -> an Evaluation, within the memory granted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine import selection
from semrsm.errors import SemrsmError
from semrsm.evaluate import views
from semrsm.evaluate.blocks import (
    WORKING,
    pair_rows,
    refuse_no_pairs,
    row_blocks,
    symmetric_blocks,
    upper_pairs,
)
from semrsm.evaluate.results import Evaluation, value_or_none
from semrsm.evaluate.retrieval import multi_hot, relevant_of, retrieve, summarise
from semrsm.evaluate.sure import (
    ROWS,
    auroc_of_pairs,
    mean_over_queries,
    retrieval_without,
    with_intervals,
)
from semrsm.machine import require_memory
from semrsm.measures.inference import Inference, refuse_repeats
from semrsm.measures.intervals import replicate
from semrsm.measures.resamples import Tick
from semrsm.measures.weighted import no_tick
from semrsm.rsms import Rsm
from semrsm.storage.labels import Labels, rows_of

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

AT_K = ("f1", "precision", "recall")  # metrics of the first k
RANKING = 96  # bytes that retrieval takes for each entry of a block, at most, where all are tied
RESAMPLED_VIEWS = 72  # bytes that a pair takes while views are resampled
OF_AUROC = "of views only auroc has an interval"


def retrieval_of(
    rsm: Rsm,
    labels: Labels,
    gallery: Labels | None,
    seen: Labels | None,
    ks: tuple[int, ...],
    inference: Inference,
    memory: int,
    tick: Tick = no_tick,
) -> Evaluation:
    """Return how well the nearest neighbours by the rows of an RSM share labels.

    Args:
        rsm: The RSM.
        labels: Of its rows.
        gallery: Labels of its columns, where these are other samples.
        seen: Of which thing each sample is a view; other views of a query are no candidates. None: each
            sample is a thing of its own.
        ks: Which k.
        inference: Intervals.
        memory: Bytes that may be taken.
        tick: Called with the number of resamples done.
    """
    _check_gallery(rsm, gallery, seen)
    n, m = rsm.shape
    kept = 2 * 8 * n * (3 * len(ks) + 3)
    what = f"{rsm.address}: ranking {m} samples for one query at a time"
    require_memory(what, rsm.row_need(RANKING) + kept, memory, "take fewer samples")
    things = None if gallery is not None else _things(rsm, seen)
    n_left_out = np.zeros(n, np.intp) if things is None else np.bincount(things)[things]
    candidates = m - int(n_left_out.max())
    if candidates < 1:
        same = "; all its samples are views of one thing" if seen is not None and n > 1 else ""
        raise SemrsmError(
            f"{rsm.address} has nothing to retrieve{same}; give an RSM of more samples"
        )
    within = tuple(k for k in ks if k <= candidates) or (1,)
    query_hot, gallery_hot = _hot(rsm, labels, gallery)
    parts = [
        retrieve(
            block,
            query_hot[rows],
            gallery_hot,
            within,
            None if things is None else things[rows][:, None] == things,
        )
        for rows, block in row_blocks(rsm, memory - kept, RANKING)
    ]
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    excluded = int(np.isnan(scores["ap"]).sum())
    if excluded == n:
        raise SemrsmError(
            f"{rsm.address}: none of {n} queries shares a label with a candidate;"
            f" check {labels.address}"
        )
    counts = {"queries": n - excluded, "excluded": excluded}
    notes: tuple[str, ...] = ()
    if seen is not None:
        counts["excluded-views"] = int((n_left_out - 1).sum())
        notes = (f"other views of a query, by {seen.address}, are no candidates",)
    metrics = scores
    if all(len(s) <= 1 for known in (labels, gallery) if known for s in known.sets):
        # Of single labels precision@k is f1@k; recall@k is f1@k k / R, which R may make a new number.
        metrics = scores = _without(scores, "precision@")
        if len(np.unique(relevant_of(query_hot, gallery_hot, things))) == 1:
            metrics = _without(scores, "recall@")
    means = summarise(metrics)
    names = [_at(name, ks) for name in dict.fromkeys(name.split("@")[0] for name in means)]
    values = {name: means.get(name) for some in names for name in some}
    reasons = {
        name: f"k = {k} with {candidates} candidates"
        for k in ks
        for name in values
        if k > candidates and name.endswith(f"@{k}")
    }
    details = ("sample", "id", *scores), lambda: _query_rows(rsm, scores)
    evaluation = Evaluation(rsm, values | counts, reasons, *details, notes)
    if not inference.n_resamples:
        return evaluation
    known = {name: value for name, value in means.items() if value is not None}
    if things is None:
        weighted = mean_over_queries(metrics)
    else:
        try:
            refuse_repeats("retrieval among the queries themselves", inference.method)
        except SemrsmError as error:
            return with_intervals(evaluation, {}, inference, {}, dict.fromkeys(known, str(error)))
        require_memory(
            f"{rsm.address}: leaving samples out",
            8 * n * n + RANKING * min(n, ROWS) * n + kept,
            memory,
            "take fewer samples",
        )
        inference = _clustered(inference, things)
        weighted = retrieval_without(rsm.values(), query_hot, things, within, list(known))
    replicates = replicate(known, weighted, inference.resamples(n), inference.method, tick)
    return with_intervals(evaluation, replicates, inference, dict.fromkeys(known, (0.0, 1.0)), {})


def _clustered(inference: Inference, things: NDArray[np.intp]) -> Inference:
    """Return the same with views of one thing drawn together, unless it says what is."""
    if inference.clusters is not None:
        return inference
    return dataclasses.replace(inference, clusters=things)


def _without(scores: Mapping[str, Floats], prefix: str) -> dict[str, Floats]:
    return {name: v for name, v in scores.items() if not name.startswith(prefix)}


def _at(metric: str, ks: tuple[int, ...]) -> list[str]:
    """Return the names of a metric: one for each k if it has one."""
    return [f"{metric}@{k}" for k in ks] if metric in AT_K else [metric]


def _hot(rsm: Rsm, labels: Labels, gallery: Labels | None) -> list[Any]:
    """Return the labels of the rows and of the columns of an RSM as sparse matrices."""
    n, m = rsm.shape
    queries = [labels.sets[row] for row in rows_of(labels, n, rsm.samples, rsm.address, rsm.taken)]
    if gallery is None:
        return multi_hot(queries) * 2
    whose = f"the gallery of {rsm.address}"
    rows = rows_of(gallery, m, rsm.column_samples, whose, rsm.column_taken)
    return multi_hot(queries, [gallery.sets[row] for row in rows])


def _things(rsm: Rsm, seen: Labels | None) -> NDArray[np.intp]:
    """Return a number for each sample, equal where samples are views of one thing."""
    n = rsm.shape[0]
    if seen is None:
        return np.arange(n)
    rows = rows_of(seen, n, rsm.samples, rsm.address, rsm.taken)
    return views.codes_of([next(iter(seen.sets[row])) for row in rows])


def _check_gallery(rsm: Rsm, gallery: Labels | None, seen: Labels | None) -> None:
    """Refuse a rectangular RSM without labels of its columns, and a symmetric file's with them."""
    if gallery is None and not rsm.symmetric:
        raise SemrsmError(
            f"{rsm.address} is rectangular ({rsm.shape[0]} x {rsm.shape[1]}), queries x gallery;"
            " give the labels of its columns with `gallery_labels`"
        )
    if gallery is not None and seen is not None:
        raise SemrsmError(
            f"{rsm.address}: views are of the samples of a symmetric RSM; leave `views` out where"
            " `gallery_labels` are given"
        )
    if gallery is not None and rsm.symmetric and rsm.matcher is not None:
        raise SemrsmError(
            f"{rsm.address} is symmetric: its samples are the gallery; leave `gallery_labels` out"
        )


def _query_rows(rsm: Rsm, scores: Mapping[str, Floats]) -> Iterator[Sequence[Any]]:
    columns = list(scores.values())
    for query in range(rsm.shape[0]):
        sample = rsm.samples[query] if rsm.samples else None
        yield query, sample, *(value_or_none(float(column[query])) for column in columns)


def views_of(
    rsm: Rsm, things: Labels, inference: Inference, memory: int, tick: Tick = no_tick
) -> Evaluation:
    """Return how much more alike views of one thing are, by an RSM, than other pairs."""
    refuse_no_pairs(rsm)
    n = rsm.shape[0]
    codes = _things(rsm, things)
    counts = np.bincount(codes)
    n_same = int((counts * (counts - 1) // 2).sum())
    if not n_same:
        raise SemrsmError(
            f"{rsm.address}: no two samples are views of one thing; check {things.address}"
        )
    values, top1 = _compare_views(rsm, codes, n_same, memory)
    excluded = int(np.isnan(top1).sum())
    values |= {"top1": float(np.nanmean(top1))}
    undefined = (
        dict.fromkeys(values, "all samples are views of one thing")
        if n_same == n * (n - 1) // 2
        else {}
    )
    evaluation = Evaluation(
        rsm,
        {name: value_or_none(value) for name, value in values.items()}
        | {"queries": n - excluded, "excluded": excluded},
        {name: why for name, why in undefined.items() if math.isnan(values[name])},
        ("i", "j", "similarity", "same"),
        lambda: pair_rows(
            row_blocks(rsm, memory),
            ((codes[i] == codes[i + 1 :]).astype(int) for i in range(n)),
        ),
    )
    if not inference.n_resamples:
        return evaluation
    known = {"auroc": values["auroc"]}
    evaluation = dataclasses.replace(evaluation, notes=(OF_AUROC,))
    if undefined:
        return with_intervals(evaluation, {}, inference, {}, {"auroc": undefined["auroc"]})
    what = f"{rsm.address}: resampling the pairs of {n} samples"
    needed = RESAMPLED_VIEWS * n * (n - 1) // 2 + rsm.row_need(WORKING)
    require_memory(what, needed, memory, "take fewer samples")
    pairs = upper_pairs(row_blocks(rsm, memory - RESAMPLED_VIEWS * n * (n - 1) // 2), n)
    resamples = _clustered(inference, codes).resamples(n)
    weighted = auroc_of_pairs(pairs, codes, resamples.clusters)
    replicates = replicate(known, weighted, resamples, inference.method, tick)
    return with_intervals(evaluation, replicates, inference, {"auroc": (0.0, 1.0)}, {})


def _compare_views(
    rsm: Rsm, codes: Integers, n_same: int, memory: int
) -> tuple[dict[str, float], Floats]:
    """Return medians and AUROC, and the top1 of each sample: in one pass if all pairs fit."""
    n = rsm.shape[0]
    same_bytes = views.PAIR_BYTES * n_same
    whole = views.PAIR_BYTES * n * (n - 1) // 2
    by_blocks = rsm.row_need(WORKING)
    least = by_blocks + min(whole, same_bytes + selection.NEEDS)
    what = f"{rsm.address}: ranking the {n_same} pairs of views"
    require_memory(what, least, memory, "take fewer samples")
    fits = whole + by_blocks <= memory
    left = memory - (whole if fits else same_bytes)
    same, others, top1 = [], [], []
    for rows, block in symmetric_blocks(rsm, left):
        own, other = views.split_pairs(rows, block, codes)
        same.append(own)
        others += [other] if fits else []
        top1.append(views.top1(block, rows, codes))
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
    return values, np.concatenate(top1)
