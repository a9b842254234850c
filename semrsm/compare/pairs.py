"""Measures of pairs of RSMs: each RSM prepared once where memory allows, undefined ones with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
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


Pair = tuple[int, int]  # (row, column) of the table
Work = dict[Pair, list[Measure]]  # which measures are computed of which pair
Found = dict[tuple[int, int, str], Result]  # of (row, column, name of the measure)


def measure_all(
    rsms: Sequence[Compared],
    pairs: list[Pair],
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
        prepared = _preparer(prepare, rsms, matrices)
        if all(measure.compare_many for measure in sharing):
            results = _many(prepared, rsms, work, plan.at_once)
        else:
            results = _one_by_one(prepared, rsms, work, plan.rows[prepare])
        done: set[Pair] = set()
        for (i, j), measure, result in results:
            if result.value is not None:
                result = _with_inference(result, measure, matrices[i], matrices[j], inference)
            found[i, j, measure.name] = result
            done.add((i, j))
            if on_progress:
                on_progress(label, len(done), len(work))
    return found


def _work(pairs: list[Pair], measures: list[Measure]) -> Work:
    """Return which measures are computed of which pair, each symmetric one in one direction."""
    work: Work = {}
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


def _preparer(
    prepare: Prepare, rsms: Sequence[Compared], matrices: Sequence[Matrix]
) -> Callable[[int], Any]:
    """Return what prepares the RSM at a place, or says why there is none."""

    def prepared(index: int) -> Any:
        try:
            return prepare(matrices[index])
        except SemrsmError as error:
            return _Undefined(_reason(error, rsms[index].name))

    return prepared


def _one_by_one(
    prepared: Callable[[int], Any], rsms: Sequence[Compared], work: Work, rows_at_once: int
) -> Iterator[tuple[Pair, Measure, Result]]:
    """Yield every result, pair by pair; RSMs are prepared once if all rows of the table can be held."""
    rows = list(dict.fromkeys(i for i, _ in work))
    for start in range(0, len(rows), rows_at_once):
        group = {i: prepared(i) for i in rows[start : start + rows_at_once]}
        for j in dict.fromkeys(j for i, j in work if i in group):
            other = group[j] if j in group else prepared(j)
            for i, own in group.items():
                for measure in work.get((i, j), ()):
                    yield (i, j), measure, _result(measure, rsms[i], rsms[j], own, other)


def _many(
    prepared: Callable[[int], Any], rsms: Sequence[Compared], work: Work, at_once: int
) -> Iterator[tuple[Pair, Measure, Result]]:
    """Yield every result, table by table of as many RSMs as may be read at once, each read once for it."""
    ready = {index: prepared(index) for index in dict.fromkeys(itertools.chain(*work))}
    for part in _parts(work, at_once):
        defined = [p for p in part if not any(isinstance(ready[i], _Undefined) for i in p)]
        places = {i: k for k, i in enumerate(dict.fromkeys(itertools.chain(*defined)))}
        local = [(places[i], places[j]) for i, j in defined]
        values: dict[Callable[..., Any], dict[Pair, float]] = {}
        for measure in dict.fromkeys(itertools.chain(*(work[pair] for pair in defined))):
            compare_many = measure.compare_many
            if compare_many is not None and compare_many not in values:
                computed = compare_many([ready[i] for i in places], local)
                values[compare_many] = dict(zip(defined, computed, strict=True))
        for i, j in part:
            for measure in work[i, j]:
                value = values.get(measure.compare_many, {}).get((i, j))  # type: ignore[arg-type]
                if value is None:
                    yield (i, j), measure, _result(measure, rsms[i], rsms[j], ready[i], ready[j])
                else:
                    yield (i, j), measure, Result(value)


def _parts(work: Work, at_once: int) -> Iterator[list[Pair]]:
    """Yield the pairs of a table in parts of at most `at_once` RSMs, two at least.

    >>> list(_parts({(0, 2): [], (0, 3): [], (1, 2): []}, 2))
    [[(0, 2)], [(0, 3)], [(1, 2)]]
    """
    if len(set(itertools.chain(*work))) <= at_once:
        yield list(work)
        return
    half = max(1, at_once // 2)
    rows, columns = (list(dict.fromkeys(pair[side] for pair in work)) for side in (0, 1))
    for top, left in itertools.product(range(0, len(rows), half), range(0, len(columns), half)):
        block = itertools.product(rows[top : top + half], columns[left : left + half])
        if part := [pair for pair in block if pair in work]:
            yield part


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
