"""From RSM files and what is known of their samples to records: retrieval, predictions, views."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.evaluate import predictions, views
from semrsm.evaluate.blocks import row_blocks, upper_pairs
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.retrieval import multi_hot, retrieve, summarise
from semrsm.rsms import Rsm, open_rsms, stored_kernels
from semrsm.storage.labels import Labels, Scores, read_labels, read_scores, read_views, rows_of

CONSTANT = "the similarities or the divergences of its pairs are all equal"


def evaluate_retrieval(
    rsms: Iterable[str | Path],
    labels: str | Path,
    *,
    gallery_labels: str | Path | None = None,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    ks: tuple[int, ...] = (1, 5, 10),
) -> Iterator[Evaluation]:
    """Say how well the nearest neighbours in RSMs share labels; `retrieval.retrieve` has the formulas.

    Every sample is a query and all others are its gallery. With `gallery_labels` the rows are queries,
    the columns the gallery. A query without any relevant sample is left out and counted.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        labels: What `read_labels` reads, for the rows; aligned by sample ids where both have them.
        gallery_labels: The same for the columns, in their order.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        ks: Which k for f1@k, precision@k and recall@k.

    Yields:
        An Evaluation for each RSM: metrics f1@k, precision@k, recall@k, map, mrr, r-precision and the
        counts queries and excluded; details have a row for each query, empty where it is left out.

    Raises:
        SemrsmError: An input is missing or does not fit, or no query has a relevant sample.

    Example:
        >>> [e] = evaluate_retrieval(["a.rsm.h5::layer4"], "labels.csv", ks=(1,))  # doctest: +SKIP
        >>> e.values["f1@1"], e.values["map"]  # doctest: +SKIP
        (0.85, 0.6142)
    """
    if not ks or min(ks) < 1:
        raise SemrsmError(f"k must be at least 1, got {', '.join(map(str, ks)) or 'none'}")
    found = read_labels(labels)
    gallery = None if gallery_labels is None else read_labels(gallery_labels)
    for rsm in open_all(rsms, layers, kernels):
        yield _retrieval(rsm, found, gallery, tuple(dict.fromkeys(ks)))


def _retrieval(rsm: Rsm, labels: Labels, gallery: Labels | None, ks: tuple[int, ...]) -> Evaluation:
    _check_gallery(rsm, gallery)
    n, m = rsm.shape
    wanted = rows_of(labels, n, rsm.samples, rsm.address)
    queries = [labels.sets[row] for row in wanted]
    if gallery is None:
        query_hot, gallery_hot = multi_hot(queries) * 2
    else:
        rows_of(gallery, m, None, f"the gallery of {rsm.address}")
        query_hot, gallery_hot = multi_hot(queries, gallery.sets)
    candidates = m - (gallery is None)
    if candidates < 1:
        raise SemrsmError(f"{rsm.address} has nothing to retrieve; give an RSM of more samples")
    within = tuple(k for k in ks if k <= candidates) or (1,)
    blocks = [
        retrieve(block, query_hot[rows], gallery_hot, within, rows if gallery is None else None)
        for rows, block in row_blocks(rsm)
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


def evaluate_predictions(
    rsms: Iterable[str | Path],
    *,
    logits: str | Path | None = None,
    probabilities: str | Path | None = None,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    n_resamples: int = 0,
    seed: int = 0,
) -> Iterator[Evaluation]:
    """Correlate RSMs with the Jensen-Shannon divergence of the predicted class probabilities.

    Over the pairs i < j; the more negative the better: similar samples are predicted alike.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        logits: An array or text table (n, classes); softmaxed. Either this or `probabilities`.
        probabilities: The same with rows that sum to 1.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        n_resamples: For 95 % intervals over samples; 0 leaves them out.
        seed: Seed of the resamples.

    Yields:
        An Evaluation for each RSM: pearson, spearman and, with resamples, their -low and -high;
        details have a row for each pair.

    Raises:
        SemrsmError: An input is missing or does not fit.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> [e] = evaluate_predictions(["a.rsm.h5::layer4"], logits="a.h5::logits")  # doctest: +SKIP
        >>> e.values  # doctest: +SKIP
        {'pearson': -0.31, 'spearman': -0.27}
    """
    if (logits is None) == (probabilities is None):
        raise SemrsmError("give either logits or probabilities, one of the two")
    scores, p = _probabilities(logits, probabilities)
    rows_before: list[int] | None = None
    for rsm in open_all(rsms, layers, kernels):
        similarity = upper_pairs(rsm)
        wanted = rows_of(scores, rsm.shape[0], rsm.samples, rsm.address)
        if wanted.tolist() != rows_before:
            rows_before = wanted.tolist()
            divergence = predictions.divergences(p[wanted])
            ranks = predictions.dense_ranks(divergence)
        yield _predictions(rsm, similarity, divergence, ranks, n_resamples, seed)


def _probabilities(
    logits: str | Path | None, probabilities: str | Path | None
) -> tuple[Scores, predictions.Floats]:
    scores = read_scores(probabilities if logits is None else logits)  # type: ignore[arg-type]
    check = predictions.checked_probabilities if logits is None else predictions.softmax
    try:
        return scores, check(scores.values)
    except SemrsmError as error:
        raise error.within(scores.address) from error


def _predictions(
    rsm: Rsm,
    similarity: predictions.Floats,
    divergence: predictions.Floats,
    ranks: predictions.Integers,
    n_resamples: int,
    seed: int,
) -> Evaluation:
    values = predictions.correlations(similarity, divergence, ranks)
    undefined = dict.fromkeys(values, CONSTANT) if math.isnan(values["pearson"]) else {}
    if n_resamples:
        intervals = (
            {}
            if undefined
            else predictions.bootstrap(
                similarity, divergence, ranks, rsm.shape[0], n_resamples, seed
            )
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
        lambda: _pair_rows(rsm.shape[0], similarity, divergence),
    )


def evaluate_views(
    rsms: Iterable[str | Path],
    view_ids: str | Path,
    *,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
) -> Iterator[Evaluation]:
    """Say how much more alike two views of one thing are than all other pairs.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        view_ids: What `read_views` reads: which thing each sample is a view of.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.

    Yields:
        An Evaluation for each RSM: median-same and median-other, the median similarity of the pairs
        i < j that show one thing and of all others; auroc, how often a pair of the first kind is the
        more similar one; top1, the share of samples whose nearest other sample is a view of the
        same thing, with the counts queries and excluded (samples without another view). Details have
        a row for each pair.

    Raises:
        SemrsmError: An input is missing or does not fit, or nothing has two views.

    Example:
        >>> [e] = evaluate_views(["a.rsm.h5::layer4"], "a.h5::views")  # doctest: +SKIP
        >>> e.values["auroc"]  # doctest: +SKIP
        0.98
    """
    found = read_views(view_ids)
    for rsm in open_all(rsms, layers, kernels):
        yield _views(rsm, found)


def _views(rsm: Rsm, found: Labels) -> Evaluation:
    pairs = upper_pairs(rsm)
    n = rsm.shape[0]
    wanted = rows_of(found, n, rsm.samples, rsm.address)
    codes = views.codes_of([next(iter(found.sets[row])) for row in wanted])
    same = views.same_view_pairs(codes)
    if not same.any():
        raise SemrsmError(
            f"{rsm.address}: no two samples are views of one thing; check {found.address}"
        )
    nearest = np.concatenate([views.nearest(block, rows) for rows, block in row_blocks(rsm)])
    top1 = views.top1(nearest, codes)
    excluded = int(np.isnan(top1).sum())
    values = views.medians(pairs[same], pairs[~same]) | {
        "auroc": views.auroc(pairs[same], pairs[~same]),
        "top1": float(np.nanmean(top1)),
    }
    undefined = {name: "all samples are views of one thing" for name in values if same.all()}
    return Evaluation(
        rsm,
        {name: _value(value) for name, value in values.items()}
        | {"queries": n - excluded, "excluded": excluded},
        {name: why for name, why in undefined.items() if math.isnan(values[name])},
        ("i", "j", "similarity", "same"),
        lambda: _pair_rows(n, pairs, same.astype(int)),
    )


def _pair_rows(n: int, *columns: Any) -> Iterator[Sequence[Any]]:
    at = 0
    for i in range(n - 1):
        parts = [column[at : at + n - 1 - i].tolist() for column in columns]
        at += n - 1 - i
        yield from zip([i] * len(parts[0]), range(i + 1, n), *parts, strict=True)


def _value(value: float) -> float | None:
    return None if math.isnan(value) else value


def open_all(
    addresses: Iterable[str | Path], layers: tuple[str, ...], kernels: tuple[str, ...]
) -> list[Rsm]:
    """Return the RSMs of several files, layer by layer and then by kernel.

    Args:
        addresses: RSM files or plain matrices, `path` or `path::layer`.
        layers: Globs of layers; none means all.
        kernels: Kernels; none means those that a file stores.

    Raises:
        SemrsmError: A file, layer or kernel is missing.
    """
    found: list[Rsm] = []
    for address in addresses:
        wanted = tuple(dict.fromkeys(kernels)) or stored_kernels(address) or (None,)
        by_kernel = [open_rsms(address, layers=layers, kernel=kernel) for kernel in wanted]
        found += [rsm for of_layer in zip(*by_kernel, strict=True) for rsm in of_layer]
    return found
