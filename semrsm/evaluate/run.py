"""From RSM files and what is known of their samples to records: retrieval, predictions, views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.evaluate import divergences
from semrsm.evaluate.evaluations import retrieval_of, views_of
from semrsm.evaluate.predictions import Predictions, check_predictions, predictions_of
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.sure import with_differences
from semrsm.evaluate.views import codes_of
from semrsm.machine import default_memory
from semrsm.measures.inference import USUAL_RESAMPLES, Inference
from semrsm.measures.resamples import Tick
from semrsm.rsms import Rsm, baseline_of, open_rsms, stored_kernels
from semrsm.same_samples import check_same_samples
from semrsm.storage.labels import (
    AddressOrArray,
    Labels,
    Scores,
    read_labels,
    read_scores,
    read_views,
    rows_of,
    views_beside,
)

Progress = Callable[[str, int, int], None]
ONLY_VALUES = Inference()


def evaluate_retrieval(
    rsms: Iterable[str | Path | Rsm],
    labels: AddressOrArray,
    *,
    gallery_labels: AddressOrArray | None = None,
    by_position: bool = False,
    view_ids: AddressOrArray | None = None,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    ks: tuple[int, ...] = (1, 5, 10),
    inference: Inference = ONLY_VALUES,
    clusters: AddressOrArray | None = None,
    baseline: str | Path | Rsm | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Evaluation]:
    """Say how well the nearest neighbours in RSMs share labels; `retrieval.retrieve` has the formulas.

    Every sample is a query and all others are its candidates; with `view_ids` all others that are not
    views of the same thing, such as the same image shifted. With `gallery_labels` the rows are queries,
    the columns the candidates. A query without any relevant candidate is left out and counted. Of equally
    similar candidates none comes first: every metric is its expected value over their orders.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        labels: What `read_labels` reads, for the rows; aligned by sample ids where both have them.
        gallery_labels: The same for the columns.
        by_position: Row i of the labels is of sample i, whatever ids they have.
        view_ids: What `read_views` reads: of which thing each sample is a view; not with gallery_labels.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        ks: Which k for f1@k, precision@k and recall@k.
        inference: Intervals; see `measures.inference.Inference`.
        clusters: What `read_views` reads: samples with one label are resampled together. None: those of
            `view_ids`.
        baseline: An RSM, or a file with layers of the same names: also the differences to it, 1000
            resamples unless `inference` says how many.
        on_progress: Called with (RSM, resamples done, of all).
        memory: Bytes that may be taken; None means half of the machine's. RSMs are read by blocks of
            rows, so large ones fit.

    Yields:
        An Evaluation for each RSM: metrics f1@k, precision@k, recall@k, map, mrr, r-precision and the
        counts queries, excluded and, with view_ids, excluded-views: how many candidates all queries lose
        to them. Where no sample has two labels precision@k is f1@k and is left out; so is recall@k where
        all queries have the same number R of relevant candidates, as it is f1@k k / R. Details have a row
        for each query, empty where it is left out.

    Raises:
        SemrsmError: An input is missing or does not fit, no query has a relevant sample, or it does not
            fit in memory.

    Example:
        >>> [e] = evaluate_retrieval(["a.rsm.h5::layer4"], "labels.csv", ks=(1,))  # doctest: +SKIP
        >>> e.values["f1@1"], e.values["map"]  # doctest: +SKIP
        (0.85, 0.6142)
    """
    if not ks or min(ks) < 1:
        raise SemrsmError(f"k must be at least 1, got {', '.join(map(str, ks)) or 'none'}")
    granted = memory or default_memory()
    label_sets = read_labels(labels, by_position=by_position)
    gallery = None
    if gallery_labels is not None:
        gallery = read_labels(gallery_labels, by_position=by_position)
    seen = None if view_ids is None else read_views(view_ids, by_position=by_position)
    inference = _enough(inference, baseline)
    together = None if clusters is None else read_views(clusters, by_position=by_position)
    at = tuple(dict.fromkeys(ks))

    def one(rsm: Rsm) -> Evaluation:
        sure = _clustered(inference, together, rsm)
        tick = _ticker(on_progress, rsm, sure)
        return retrieval_of(rsm, label_sets, gallery, seen, at, sure, granted, tick)

    yield from _all(
        one, open_all(rsms, layers, kernels), baseline, layers, kernels, inference, by_position
    )


def evaluate_predictions(
    rsms: Iterable[str | Path | Rsm],
    *,
    logits: AddressOrArray | None = None,
    probabilities: AddressOrArray | None = None,
    by_position: bool = False,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    inference: Inference = ONLY_VALUES,
    clusters: AddressOrArray | None = None,
    baseline: str | Path | Rsm | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Evaluation]:
    """Correlate RSMs with the Jensen-Shannon divergence of the predicted class probabilities.

    Over the pairs i < j; the more negative the better: similar samples are predicted alike.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        logits: An array or text table (n, classes); softmaxed. Either this or `probabilities`.
        probabilities: The same with rows that sum to 1.
        by_position: Row i is of sample i, whatever ids there are.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        inference: Intervals; see `measures.inference.Inference`.
        clusters: What `read_views` reads: samples with one label are resampled together. None: those of
            the array views beside the logits, where there is one.
        baseline: An RSM, or a file with layers of the same names: also the differences to it, 1000
            resamples unless `inference` says how many.
        on_progress: Called with (RSM, resamples done, of all).
        memory: Bytes that may be taken; None means half of the machine's. Ranking needs all pairs at
            once, PAIR_BYTES of `predictions` each.

    Yields:
        An Evaluation for each RSM: pearson, spearman and, with resamples, their -low and -high;
        details have a row for each pair.

    Raises:
        SemrsmError: An input is missing or does not fit, or its pairs do not fit in memory.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> [e] = evaluate_predictions(["a.rsm.h5::layer4"], logits="a.h5::logits")  # doctest: +SKIP
        >>> e.values  # doctest: +SKIP
        {'pearson': -0.31, 'spearman': -0.27}
    """
    if (logits is None) == (probabilities is None):
        raise SemrsmError("give either logits or probabilities, one of the two")
    granted = memory or default_memory()
    scores, p = _probabilities(logits, probabilities, by_position)
    inference = _enough(inference, baseline)
    if inference.n_resamples and clusters is None:
        clusters = views_beside(probabilities if logits is None else logits)  # type: ignore[arg-type]
    together = None if clusters is None else read_views(clusters, by_position=by_position)
    known: tuple[list[int], Predictions] | None = None

    def one(rsm: Rsm) -> Evaluation:
        nonlocal known
        check_predictions(rsm, p, inference.n_resamples, granted)
        rows = rows_of(scores, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
        if known is None or rows.tolist() != known[0]:
            known = None  # two of them at once would not fit
            known = rows.tolist(), Predictions.of(p[rows])
        sure = _clustered(inference, together, rsm)
        evaluation = predictions_of(rsm, known[1], sure, granted, _ticker(on_progress, rsm, sure))
        if together is None:
            return evaluation
        notes = (f"samples with one label in {together.address} are resampled together",)
        return dataclasses.replace(evaluation, notes=notes)

    yield from _all(
        one, open_all(rsms, layers, kernels), baseline, layers, kernels, inference, by_position
    )


def _probabilities(
    logits: AddressOrArray | None, probabilities: AddressOrArray | None, by_position: bool
) -> tuple[Scores, NDArray[np.float64]]:
    address = probabilities if logits is None else logits
    scores = read_scores(address, by_position=by_position)  # type: ignore[arg-type]
    check = divergences.checked_probabilities if logits is None else divergences.softmax
    try:
        return scores, check(scores.values)
    except SemrsmError as error:
        raise error.within(scores.address) from error


def evaluate_views(
    rsms: Iterable[str | Path | Rsm],
    view_ids: AddressOrArray,
    *,
    by_position: bool = False,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    inference: Inference = ONLY_VALUES,
    clusters: AddressOrArray | None = None,
    baseline: str | Path | Rsm | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Evaluation]:
    """Say how much more alike two views of one thing are than all other pairs.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        view_ids: What `read_views` reads: which thing each sample is a view of.
        by_position: Row i of them is of sample i, whatever ids they have.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        inference: Intervals; see `measures.inference.Inference`.
        clusters: What `read_views` reads: samples with one label are resampled together. None: those of
            `view_ids`.
        baseline: An RSM, or a file with layers of the same names: also the differences to it, 1000
            resamples unless `inference` says how many.
        on_progress: Called with (RSM, resamples done, of all).
        memory: Bytes that may be taken; None means half of the machine's. Pairs of views are held, and
            all others only where they fit; else the RSM is read several times, with equal results.

    Yields:
        An Evaluation for each RSM: median-same and median-other, the median similarity of the pairs
        i < j that show one thing and of all others; auroc, how often a pair of the first kind is the
        more similar one, ties counting half; top1, the share of samples whose nearest other sample is a
        view of the same thing, expected over ties, with the counts queries and excluded (samples without
        another view). Details have a row for each pair.

    Raises:
        SemrsmError: An input is missing or does not fit, nothing has two views, or those that have do not
            fit in memory.

    Example:
        >>> [e] = evaluate_views(["a.rsm.h5::layer4"], "a.h5::views")  # doctest: +SKIP
        >>> e.values["auroc"]  # doctest: +SKIP
        0.98
    """
    granted = memory or default_memory()
    views = read_views(view_ids, by_position=by_position)
    inference = _enough(inference, baseline)
    together = None if clusters is None else read_views(clusters, by_position=by_position)

    def one(rsm: Rsm) -> Evaluation:
        sure = _clustered(inference, together, rsm)
        return views_of(rsm, views, sure, granted, _ticker(on_progress, rsm, sure))

    yield from _all(
        one, open_all(rsms, layers, kernels), baseline, layers, kernels, inference, by_position
    )


def _enough(inference: Inference, baseline: str | Path | Rsm | None) -> Inference:
    """Return the same with the usual number of resamples where a baseline asks for some."""
    if baseline is None or inference.n_resamples:
        return inference
    return dataclasses.replace(inference, n_resamples=USUAL_RESAMPLES)


def _clustered(inference: Inference, together: Labels | None, rsm: Rsm) -> Inference:
    """Return the same for the samples of an RSM, those with one label drawn together."""
    if together is None or not inference.n_resamples:
        return inference
    rows = rows_of(together, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
    codes = codes_of([next(iter(together.sets[row])) for row in rows])
    return dataclasses.replace(inference, clusters=codes)


def _ticker(on_progress: Progress | None, rsm: Rsm, inference: Inference) -> Tick:
    """Return what counts the resamples of an RSM, and tells who waits."""
    done, of = 0, inference.n_steps(rsm.shape[0]) - 1

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if on_progress:
            on_progress(rsm.address, done, of)

    return tick


def _all(
    one: Callable[[Rsm], Evaluation],
    rsms: list[Rsm],
    baseline: str | Path | Rsm | None,
    layers: tuple[str, ...],
    kernels: tuple[str, ...],
    inference: Inference,
    by_position: bool,
) -> Iterator[Evaluation]:
    """Yield the evaluation of each RSM, with differences if there is a baseline."""
    evaluations = map(one, rsms)
    if baseline is None:
        return evaluations
    bases = open_all([baseline], layers, kernels)
    for rsm in rsms:
        pair = [rsm, baseline_of(rsm, bases)]
        check_same_samples(pair, "name another `baseline`", by_position=by_position)
    return with_differences(evaluations, one, bases, inference)


def open_all(
    addresses: Iterable[str | Path | Rsm], layers: tuple[str, ...], kernels: tuple[str, ...]
) -> list[Rsm]:
    """Return the RSMs of several files, layer by layer and then by kernel.

    Args:
        addresses: RSM files or plain matrices, `path` or `path::layer`.
        layers: Globs of layers; none means all.
        kernels: Kernels; none means those that a file stores.

    Raises:
        SemrsmError: A file, layer or kernel is missing.
    """
    all_rsms: list[Rsm] = []
    for address in addresses:
        names = tuple(dict.fromkeys(kernels)) or stored_kernels(address) or (None,)
        by_kernel = [open_rsms(address, layers=layers, kernel=kernel) for kernel in names]
        all_rsms += [rsm for of_layer in zip(*by_kernel, strict=True) for rsm in of_layer]
    return all_rsms
