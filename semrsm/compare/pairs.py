"""Measures of pairs of RSMs: each RSM prepared once where memory allows, undefined ones with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from semrsm.compare.plan import Prepare, plan_comparison
from semrsm.compare.rdms import ComparedRdm
from semrsm.compare.samples import ComparedRsm
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.inference import bootstrap, permutation_test
from semrsm.measures.matrices import Matrix

Progress = Callable[[str, int, int], None]
Compared = ComparedRsm | ComparedRdm


@dataclass(frozen=True)
class Inference:
    """How sure the values are to be made.

    Attributes:
        n_resamples: Bootstrap samples for a 95 % percentile interval; 0 for none.
        n_permutations: Random orders of the samples for a p-value; 0 for none.
        seed: Of both.
    """

    n_resamples: int = 0
    n_permutations: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """What one measure says of one pair of RSMs.

    Attributes:
        value: None where it is undefined.
        reason: Why it, or what belongs to it, is undefined.
        low: Lower end of the 95 % interval; None without a bootstrap.
        high: Upper end.
        p: Two-sided p-value; None without permutations.
    """

    value: float | None
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


Found = dict[tuple[int, int, str], Result]  # of (row, column, name of the measure)


def measure_all(
    rsms: Sequence[Compared],
    pairs: list[tuple[int, int]],
    measures: list[Measure],
    inference: Inference,
    memory: int | None,
    on_progress: Progress | None,
) -> Found:
    """Compute every measure of every pair, once for (i, j) and (j, i) if the measure is symmetric.

    Args:
        rsms: All of them, of the same samples.
        pairs: (row, column) of the table, places in `rsms`.
        measures: Rows of MEASURES.
        inference: Intervals and p-values.
        memory: Bytes that may be taken; None means half of the machine's.
        on_progress: Called with (measures, pairs done, of all).

    Raises:
        SemrsmError: Not even one pair fits in memory. What is undefined is none, but has a reason.
    """
    by_prepare: dict[Prepare, list[Measure]] = {}
    for measure in measures:
        by_prepare.setdefault(measure.prepare, []).append(measure)
    plan = plan_comparison(
        rsms,
        by_prepare,
        resample=inference.n_resamples > 0,
        permute=inference.n_permutations > 0,
        memory=memory,
    )
    matrices: list[Matrix] = [rsm.loaded() for rsm in rsms] if plan.loaded else [*rsms]
    found: Found = {}
    for prepare, sharing in by_prepare.items():
        work = _work(pairs, sharing)
        label = ", ".join(measure.name for measure in sharing)
        steps = _prepared_pairs(prepare, rsms, matrices, work, plan.rows[prepare])
        for done, ((i, j), a, b) in enumerate(steps, start=1):
            for measure in work[i, j]:
                result = _result(measure, rsms[i], rsms[j], a, b)
                if result.value is not None:
                    result = _with_inference(result, measure, matrices[i], matrices[j], inference)
                found[i, j, measure.name] = result
            if on_progress:
                on_progress(label, done, len(work))
    return found


def _work(
    pairs: list[tuple[int, int]], measures: list[Measure]
) -> dict[tuple[int, int], list[Measure]]:
    """Return which measures are computed of which pair, each symmetric one in one direction."""
    work: dict[tuple[int, int], list[Measure]] = {}
    for i, j in pairs:
        mirrored = work.get((j, i), [])
        wanted = [m for m in measures if not (m.symmetric and m in mirrored)]
        if wanted:
            work[i, j] = wanted
    return work


@dataclass(frozen=True)
class _Undefined:
    """Why an RSM could not be prepared."""

    reason: str


def _prepared_pairs(
    prepare: Prepare,
    rsms: Sequence[Compared],
    matrices: list[Matrix],
    pairs: Iterable[tuple[int, int]],
    rows_at_once: int,
) -> Iterator[tuple[tuple[int, int], Any, Any]]:
    """Yield every pair with both RSMs prepared; once each if all rows of the table can be held."""

    def prepared(index: int) -> Any:
        try:
            return prepare(matrices[index])
        except SemrsmError as error:
            return _Undefined(_reason(error, rsms[index].name))

    pairs = dict.fromkeys(pairs)
    rows = list(dict.fromkeys(i for i, _ in pairs))
    for start in range(0, len(rows), rows_at_once):
        group = {i: prepared(i) for i in rows[start : start + rows_at_once]}
        for j in dict.fromkeys(j for i, j in pairs if i in group):
            other = group[j] if j in group else prepared(j)
            for i, own in group.items():
                if (i, j) in pairs:
                    yield (i, j), own, other


def _result(measure: Measure, rsm: Compared, other: Compared, a: Any, b: Any) -> Result:
    for prepared in (a, b):
        if isinstance(prepared, _Undefined):
            return Result(None, prepared.reason)
    try:
        return Result(measure.compare(a, b))
    except SemrsmError as error:
        return Result(None, _reason(error, f"{rsm.name} and {other.name}"))


def _reason(error: SemrsmError, name: str) -> str:
    """Return a sentence about an RSM, or two, with its name.

    >>> _reason(SemrsmError("the RSM is constant"), "layer3 of b.rsm.h5")
    'layer3 of b.rsm.h5 is constant'
    """
    text = str(error)
    return f"{name}{text[7:]}" if text.startswith("the RSM is ") else f"{name}: {text}"


def _with_inference(
    result: Result, measure: Measure, a: Matrix, b: Matrix, inference: Inference
) -> Result:
    """Add the interval and the p-value that were asked for, or why there is none."""
    if not inference.n_resamples and not inference.n_permutations:
        return result
    K, L = (
        m.loaded() if isinstance(m, (ComparedRsm, ComparedRdm)) else np.asarray(m[:])
        for m in (a, b)
    )
    try:
        if inference.n_resamples:
            interval = bootstrap(measure, K, L, inference.n_resamples, seed=inference.seed)
            result = replace(result, low=interval.low, high=interval.high)
        if inference.n_permutations:
            test = permutation_test(measure, K, L, inference.n_permutations, inference.seed)
            result = replace(result, p=test.p)
    except SemrsmError as error:
        return replace(result, reason=str(error))
    return result
