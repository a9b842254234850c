"""How sure the values of an evaluation are: intervals, and differences to a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.evaluate.pair_correlations import weights_of
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.retrieval import retrieve, summarise
from semrsm.measures.inference import Inference
from semrsm.measures.intervals import Ends, Replicates, difference_of, interval_of
from semrsm.rsms import Rsm, baseline_of

Floats = NDArray[np.float64]
Weighted = Callable[[Floats], Mapping[str, Floats]]  # counts (b, n) -> values (b,) by name

ROWS = 256  # that are ranked at once


def with_intervals(
    evaluation: Evaluation,
    replicates: Mapping[str, Replicates],
    inference: Inference,
    spans: Mapping[str, Ends],
    reasons: Mapping[str, str],
) -> Evaluation:
    """Return an evaluation with the ends of the intervals behind each value: NAME-low and NAME-high.

    Args:
        evaluation: With the values.
        replicates: Of some of them.
        inference: What was asked for.
        spans: For those the smallest and the largest possible value.
        reasons: Why others have no interval.
    """
    values: dict[str, float | None] = {}
    all_reasons = dict(evaluation.reasons)
    for name, value in evaluation.values.items():
        values[name] = value
        ends: tuple[float | None, float | None] = None, None
        if name in replicates:
            try:
                interval = interval_of(replicates[name], inference.method, spans[name])
                ends = interval.low, interval.high
            except SemrsmError as error:
                all_reasons |= {f"{name}-low": str(error), f"{name}-high": str(error)}
        elif name in reasons:
            all_reasons |= {f"{name}-low": reasons[name], f"{name}-high": reasons[name]}
        else:
            continue
        values |= {f"{name}-low": ends[0], f"{name}-high": ends[1]}
    values["seed"] = inference.seed
    return dataclasses.replace(
        evaluation, values=values, reasons=all_reasons, replicates=replicates
    )


def with_differences(
    evaluations: Iterator[Evaluation],
    of: Callable[[Rsm], Evaluation],
    baselines: Sequence[Rsm],
    inference: Inference,
) -> Iterator[Evaluation]:
    """Yield evaluations with their differences to those of baselines, from the same resamples.

    NAME-difference is the value less that of the baseline, NAME-difference-low and -high are the ends of
    its 95 % interval, NAME-difference-p the two-sided p-value of the hypothesis that there is none.

    Args:
        evaluations: With replicates.
        of: Evaluates a baseline.
        baselines: RSMs: one, or one for each layer and kernel.
        inference: What was asked for.

    Raises:
        SemrsmError: There is no baseline for one of them, or it is of other samples.
    """
    known: dict[tuple[str, str | None], Evaluation] = {}
    for evaluation in evaluations:
        rsm = evaluation.rsm
        alike = [b for b in baselines if b.kernel in (rsm.kernel, None)] or list(baselines)
        baseline = baseline_of(rsm, alike)
        _refuse_other_samples(rsm, baseline)
        key = baseline.address, baseline.kernel
        if key not in known:
            known[key] = of(baseline).without_details()
        yield _less(evaluation, known[key], inference)


def _refuse_other_samples(rsm: Rsm, baseline: Rsm) -> None:
    named = rsm.samples is not None and baseline.samples is not None
    if rsm.shape[0] != baseline.shape[0] or (named and rsm.samples != baseline.samples):
        raise SemrsmError(
            f"{rsm.address} and the baseline {baseline.address} hold different samples, or in another"
            " order; compute both from the same samples"
        )


def _less(evaluation: Evaluation, baseline: Evaluation, inference: Inference) -> Evaluation:
    values: dict[str, float | None] = dict(evaluation.values)
    reasons = dict(evaluation.reasons)
    for name in [n for n in evaluation.values if f"{n}-low" in evaluation.values]:
        value, ends = (
            f"{name}-difference",
            [f"{name}-difference-{end}" for end in ("low", "high", "p")],
        )
        try:
            values |= {value: _difference(evaluation, baseline, name)} | dict.fromkeys(ends)
            if name not in evaluation.replicates:
                raise SemrsmError(evaluation.reasons[f"{name}-low"])
            d = difference_of(
                evaluation.replicates[name], baseline.replicates[name], inference.method
            )
            values |= dict(zip(ends, (d.low, d.high, d.p), strict=True))
        except SemrsmError as error:
            missing = [n for n in (value, *ends) if values.get(n) is None]
            values |= dict.fromkeys(missing)
            reasons |= dict.fromkeys(missing, str(error))
    values["seed"] = values.pop("seed")  # last
    return dataclasses.replace(
        evaluation, values=values, reasons=reasons, baseline=baseline.rsm.address
    )


def _difference(evaluation: Evaluation, baseline: Evaluation, name: str) -> float:
    own, other = (e.values.get(name) for e in (evaluation, baseline))
    if own is None or other is None:
        raise SemrsmError(
            f"there is no {name} of it, or none of the baseline {baseline.rsm.address}"
        )
    return own - other


def mean_over_queries(scores: Mapping[str, Floats]) -> Weighted:
    """Return what gives the mean of each metric over queries of a gallery of its own.

    >>> mean_over_queries({"ap": np.array([1.0, 0.5, np.nan])})(np.array([[1.0, 3.0, 5.0]]))
    {'map': array([0.625])}
    """
    names = {name: next(iter(summarise({name: np.zeros(1)}))) for name in scores}

    def values(counts: Floats) -> dict[str, Floats]:
        means = {}
        for name, of_query in scores.items():
            known = ~np.isnan(of_query)
            with np.errstate(invalid="ignore"):
                means[names[name]] = (counts @ np.where(known, of_query, 0.0)) / (counts @ known)
        return means

    return values


def retrieval_without(
    similarity: NDArray[np.floating],
    hot: Any,
    things: NDArray[np.intp],
    ks: Sequence[int],
    names: Sequence[str],
) -> Weighted:
    """Return what gives the metrics of retrieval among some of the samples, for counts of 0 or 1.

    Args:
        similarity: (n, n).
        hot: (n, classes) sparse, the labels.
        things: (n,) of which thing each sample is a view.
        ks: Which k.
        names: The metrics that are given.
    """

    def value(counts: Floats) -> dict[str, float]:
        at = np.flatnonzero(counts)
        fewest = len(at) - int(np.bincount(things[at]).max())
        within = tuple(k for k in ks if k <= fewest) or (1,)
        parts = [
            retrieve(
                similarity[np.ix_(rows, at)],
                hot[rows],
                hot[at],
                within,
                things[rows][:, None] == things[at],
            )
            for rows in np.split(at, range(ROWS, len(at), ROWS))
        ]
        scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        means = {} if np.isnan(scores["ap"]).all() else summarise(scores)
        return {name: means.get(name, np.nan) for name in names}

    def values(counts: Floats) -> dict[str, Floats]:
        rows = [value(row) for row in counts]
        return {name: np.array([row[name] for row in rows]) for name in names}

    return values


def auroc_of_pairs(
    pairs: NDArray[np.floating], codes: NDArray[np.integer], clusters: NDArray[np.integer]
) -> Weighted:
    """Return what gives the AUROC of views, for counts (b, n).

    Args:
        pairs: (n (n - 1) / 2,) the similarities of the pairs (0, 1), (0, 2), ...
        codes: (n,) of which thing each sample is a view.
        clusters: (n,) which samples are drawn together.
    """
    n = len(codes)
    small = np.uint16 if n <= 1 << 16 else np.uint32
    i = np.repeat(np.arange(n, dtype=small), np.arange(n - 1, -1, -1))
    j = np.concatenate([np.arange(k + 1, n, dtype=small) for k in range(n)])
    same = codes[i] == codes[j]
    same_i, same_j, alike = i[same], j[same], pairs[same]
    others = pairs[~same]
    order = np.argsort(others)
    other_i, other_j = i[~same][order], j[~same][order]
    ends = [np.searchsorted(others[order], alike, side) for side in ("left", "right")]

    def value(counts: Floats) -> float:
        below = np.cumsum(weights_of(counts, other_i, other_j, clusters))
        below = np.concatenate([[0.0], below])
        weights = weights_of(counts, same_i, same_j, clusters)
        total = below[-1] * weights.sum()
        return float(weights @ (below[ends[0]] + below[ends[1]]) / 2 / total) if total else np.nan

    return lambda counts: {"auroc": np.array([value(row) for row in counts])}
