"""From RSM files and what is known of their samples to records: retrieval, predictions, views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.evaluate import predictions
from semrsm.evaluate.evaluations import (
    Predictions,
    check_predictions,
    predictions_of,
    retrieval_of,
    views_of,
)
from semrsm.evaluate.results import Evaluation
from semrsm.machine import default_memory
from semrsm.rsms import Rsm, open_rsms, stored_kernels
from semrsm.storage.labels import Scores, read_labels, read_scores, read_views, rows_of


def evaluate_retrieval(
    rsms: Iterable[str | Path],
    labels: str | Path,
    *,
    gallery_labels: str | Path | None = None,
    by_position: bool = False,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    ks: tuple[int, ...] = (1, 5, 10),
    memory: int | None = None,
) -> Iterator[Evaluation]:
    """Say how well the nearest neighbours in RSMs share labels; `retrieval.retrieve` has the formulas.

    Every sample is a query and all others are its gallery. With `gallery_labels` the rows are queries,
    the columns the gallery. A query without any relevant sample is left out and counted.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        labels: What `read_labels` reads, for the rows; aligned by sample ids where both have them.
        gallery_labels: The same for the columns.
        by_position: Row i of the labels is of sample i, whatever ids they have.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        ks: Which k for f1@k, precision@k and recall@k.
        memory: Bytes that may be taken; None means half of the machine's. RSMs are read by blocks of
            rows, so large ones fit.

    Yields:
        An Evaluation for each RSM: metrics f1@k, precision@k, recall@k, map, mrr, r-precision and the
        counts queries and excluded; details have a row for each query, empty where it is left out.

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
    found = read_labels(labels, by_position=by_position)
    gallery = None
    if gallery_labels is not None:
        gallery = read_labels(gallery_labels, by_position=by_position)
    for rsm in open_all(rsms, layers, kernels):
        yield retrieval_of(rsm, found, gallery, tuple(dict.fromkeys(ks)), granted)


def evaluate_predictions(
    rsms: Iterable[str | Path],
    *,
    logits: str | Path | None = None,
    probabilities: str | Path | None = None,
    by_position: bool = False,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    n_resamples: int = 0,
    seed: int = 0,
    memory: int | None = None,
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
        n_resamples: For 95 % intervals over samples; 0 leaves them out.
        seed: Seed of the resamples.
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
    rows_before: list[int] | None = None
    known: Predictions | None = None
    for rsm in open_all(rsms, layers, kernels):
        check_predictions(rsm, p, n_resamples, granted)
        wanted = rows_of(scores, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
        if known is None or wanted.tolist() != rows_before:
            known = None  # two of them at once would not fit
            rows_before, known = wanted.tolist(), Predictions.of(p[wanted])
        yield predictions_of(rsm, known, n_resamples, seed, granted)


def _probabilities(
    logits: str | Path | None, probabilities: str | Path | None, by_position: bool
) -> tuple[Scores, predictions.Floats]:
    address = probabilities if logits is None else logits
    scores = read_scores(address, by_position=by_position)  # type: ignore[arg-type]
    check = predictions.checked_probabilities if logits is None else predictions.softmax
    try:
        return scores, check(scores.values)
    except SemrsmError as error:
        raise error.within(scores.address) from error


def evaluate_views(
    rsms: Iterable[str | Path],
    view_ids: str | Path,
    *,
    by_position: bool = False,
    layers: tuple[str, ...] = (),
    kernels: tuple[str, ...] = (),
    memory: int | None = None,
) -> Iterator[Evaluation]:
    """Say how much more alike two views of one thing are than all other pairs.

    Args:
        rsms: RSM files or plain matrices, `path` or `path::layer`; larger = more similar.
        view_ids: What `read_views` reads: which thing each sample is a view of.
        by_position: Row i of them is of sample i, whatever ids they have.
        layers: Globs of layers; none means all.
        kernels: Kernels, finished where not stored; none means those stored.
        memory: Bytes that may be taken; None means half of the machine's. Pairs of views are held, and
            all others only where they fit; else the RSM is read several times, with equal results.

    Yields:
        An Evaluation for each RSM: median-same and median-other, the median similarity of the pairs
        i < j that show one thing and of all others; auroc, how often a pair of the first kind is the
        more similar one; top1, the share of samples whose nearest other sample is a view of the
        same thing, with the counts queries and excluded (samples without another view). Details have
        a row for each pair.

    Raises:
        SemrsmError: An input is missing or does not fit, nothing has two views, or those that have do not
            fit in memory.

    Example:
        >>> [e] = evaluate_views(["a.rsm.h5::layer4"], "a.h5::views")  # doctest: +SKIP
        >>> e.values["auroc"]  # doctest: +SKIP
        0.98
    """
    granted = memory or default_memory()
    found = read_views(view_ids, by_position=by_position)
    for rsm in open_all(rsms, layers, kernels):
        yield views_of(rsm, found, granted)


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
