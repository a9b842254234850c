"""`semrsm.evaluate_retrieval`, `_predictions` and `_views`: what RSMs are good for, as records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from semrsm.api.arguments import (
    Names,
    Progress,
    Records,
    RsmLike,
    bytes_in,
    inference_in,
    names_in,
    rsm_in,
    rsms_in,
)
from semrsm.errors import SemrsmError
from semrsm.evaluate import run
from semrsm.evaluate.results import Evaluation
from semrsm.storage.labels import AddressOrArray


def evaluate_retrieval(
    *rsm: RsmLike | list[RsmLike],
    labels: AddressOrArray,
    gallery_labels: AddressOrArray | None = None,
    views: AddressOrArray | None = None,
    exclude_views: bool = True,
    at: int | Sequence[int] = (1, 5, 10),
    by_position: bool = False,
    bootstrap: int = 0,
    interval: str | None = None,
    clusters: AddressOrArray | None = None,
    baseline: RsmLike | None = None,
    seed: int = 0,
    layer: Names = (),
    kernel: Names = (),
    memory: str | int | None = None,
    on_progress: Progress | None = None,
) -> Records:
    """Say how well the nearest neighbours of each sample share its labels.

    Args:
        *rsm: RSM files or plain matrices, `path` or `path::layer`, or matrices (n, n) in memory; larger
            means more similar.
        labels: Of the rows: an address (`path::array`, a text table), or an array (n,), or multi-hot
            (n, classes).
        gallery_labels: The same for the columns, for RSMs of queries x gallery.
        views: Which thing each sample is a view of; other views of a query are no candidates.
        exclude_views: False keeps them as candidates.
        at: k of f1@k, precision@k and recall@k.
        by_position: Row i of the labels is of sample i, whatever ids they have.
        bootstrap: Resamples of the samples for 95 % intervals, such as 1000.
        interval: A key of INTERVALS; 1000 resamples unless `bootstrap` says how many.
        clusters: Samples with one label are resampled together; None: those of `views`.
        baseline: Also the differences to this RSM, or its layers of the same names.
        seed: Of the resamples.
        layer: Names or globs; none means all.
        kernel: Kernels, finished where not stored; none means those stored.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        on_progress: Called with (RSM, resamples done, of all).

    Returns:
        A record for each RSM and metric (f1@k, map, mrr, …): rsm, layer, matcher, kernel, metric, value
        and, where it is None, reason. docs/evaluations.md has the formulas.

    Raises:
        SemrsmError: An input is missing or does not fit, no query has a relevant sample, or it does not
            fit in memory.

    Example: two pairs of samples, each nearest to its own kind.
        >>> rsm = np.array([[1.0, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.8], [0, 0, 0.8, 1]])
        >>> records = evaluate_retrieval(rsm, labels=["cat", "cat", "dog", "dog"], at=1)
        >>> records[0]["metric"], records[0]["value"]
        ('f1@1', 1.0)
    """
    return _records(
        run.evaluate_retrieval(
            rsms_in(rsm),
            labels,
            gallery_labels=gallery_labels,
            view_ids=views if exclude_views else None,
            ks=(at,) if isinstance(at, int) else tuple(at),
            by_position=by_position,
            inference=inference_in(bootstrap, 0, seed, interval),
            clusters=clusters,
            **_common(baseline, layer, kernel, memory, on_progress),
        )
    )


def evaluate_predictions(
    *rsm: RsmLike | list[RsmLike],
    logits: AddressOrArray | None = None,
    probabilities: AddressOrArray | None = None,
    by_position: bool = False,
    bootstrap: int = 0,
    interval: str | None = None,
    clusters: AddressOrArray | None = None,
    baseline: RsmLike | None = None,
    seed: int = 0,
    layer: Names = (),
    kernel: Names = (),
    memory: str | int | None = None,
    on_progress: Progress | None = None,
) -> Records:
    """Correlate the similarity of pairs with the Jensen-Shannon divergence of their predictions.

    The more negative, the better an RSM says which samples are predicted alike.

    Args:
        *rsm: As in `evaluate_retrieval`, and so are all that are not named here.
        logits: An address or an array (n, classes); softmaxed. Either this or `probabilities`.
        probabilities: The same with rows that sum to 1.
        by_position: Row i is of sample i, whatever ids there are.
        bootstrap: Resamples for 95 % intervals.
        interval: A key of INTERVALS.
        clusters: Samples with one label are resampled together; None: those of the array views beside
            the logits, where there is one.
        baseline: Also the differences to this RSM.
        seed: Of the resamples.
        layer: Names or globs.
        kernel: Kernels.
        memory: Bytes, or a size; ranking needs 56 bytes a pair, 68 with resamples.
        on_progress: Called with (RSM, resamples done, of all).

    Returns:
        A record for each RSM and metric, pearson and spearman, as in `evaluate_retrieval`.

    Raises:
        SemrsmError: An input is missing or does not fit, or its pairs do not fit in memory.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example: the two most similar samples are predicted alike.
        >>> rsm = np.array([[1.0, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])
        >>> records = evaluate_predictions(rsm, probabilities=[[1.0, 0], [0.9, 0.1], [0, 1]])
        >>> [(record["metric"], round(record["value"], 2)) for record in records]
        [('pearson', -0.99), ('spearman', -1.0)]
    """
    return _records(
        run.evaluate_predictions(
            rsms_in(rsm),
            logits=logits,
            probabilities=probabilities,
            by_position=by_position,
            inference=inference_in(bootstrap, 0, seed, interval),
            clusters=clusters,
            **_common(baseline, layer, kernel, memory, on_progress),
        )
    )


def evaluate_views(
    *rsm: RsmLike | list[RsmLike],
    views: AddressOrArray,
    by_position: bool = False,
    bootstrap: int = 0,
    interval: str | None = None,
    clusters: AddressOrArray | None = None,
    baseline: RsmLike | None = None,
    seed: int = 0,
    layer: Names = (),
    kernel: Names = (),
    memory: str | int | None = None,
    on_progress: Progress | None = None,
) -> Records:
    """Say how much more alike two views of one thing are than all other pairs.

    Args:
        *rsm: As in `evaluate_retrieval`, and so are all that are not named here.
        views: Which thing each sample is a view of: an address, or an array (n,).
        by_position: Row i of them is of sample i, whatever ids they have.
        bootstrap: Resamples for 95 % intervals.
        interval: A key of INTERVALS.
        clusters: Samples with one label are resampled together; None: those of `views`.
        baseline: Also the differences to this RSM.
        seed: Of the resamples.
        layer: Names or globs.
        kernel: Kernels.
        memory: Bytes, or a size.
        on_progress: Called with (RSM, resamples done, of all).

    Returns:
        A record for each RSM and metric, median-same, median-other, auroc, top1 and counts, as in
        `evaluate_retrieval`.

    Raises:
        SemrsmError: An input is missing or does not fit, or nothing has two views.

    Example:
        >>> rsm = np.array([[1.0, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.8], [0, 0, 0.8, 1]])
        >>> values = {r["metric"]: r["value"] for r in evaluate_views(rsm, views=[0, 0, 1, 1])}
        >>> values["auroc"], values["median-other"]
        (1.0, 0.0)
    """
    return _records(
        run.evaluate_views(
            rsms_in(rsm),
            views,
            by_position=by_position,
            inference=inference_in(bootstrap, 0, seed, interval),
            clusters=clusters,
            **_common(baseline, layer, kernel, memory, on_progress),
        )
    )


def _common(
    baseline: RsmLike | None,
    layer: Names,
    kernel: Names,
    memory: str | int | None,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """Return what all evaluations take, as the workflows call it."""
    return {
        "baseline": None if baseline is None else rsm_in(baseline, "the baseline"),
        "layers": names_in(layer, "layer"),
        "kernels": names_in(kernel, "kernel"),
        "memory": bytes_in(memory),
        "on_progress": on_progress,
    }


def _records(evaluations: Iterable[Evaluation]) -> Records:
    """Return long records, one a value; details, which may hold every pair, are not kept."""
    summaries = [evaluation.without_details() for evaluation in evaluations]
    if not summaries:
        raise SemrsmError("there is no RSM to evaluate; name other layers or files")
    notes = dict.fromkeys(note for evaluation in summaries for note in evaluation.notes)
    return Records((record for e in summaries for record in e.records()), notes)
