"""Measures of pairs of RSMs: each RSM prepared once where memory allows, undefined ones with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from semrsm.compare.plan import Prepare, plan_comparison
from semrsm.compare.rdms import ComparedRdm
from semrsm.compare.samples import ComparedRsm
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.inference import Inference, permutation_test, replicate_measure
from semrsm.measures.intervals import Replicates, interval_of
from semrsm.measures.matrices import Matrix
from semrsm.measures.resamples import Tick

Progress = Callable[[str, int, int], None]
Compared = ComparedRsm | ComparedRdm


@dataclass(frozen=True)
class Result:
    """What one measure says of one pair of RSMs.

    Attributes:
        value: None where it is undefined.
        reason: Why it, or what belongs to it, is undefined.
        low: Lower end of the 95 % interval; None without a bootstrap.
        high: Upper end.
        p: Two-sided p-value; None without permutations.
        replicates: What the interval was made of; None without one.
    """

    value: float | None
    reason: str | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    replicates: Replicates | None = field(default=None, repr=False, compare=False)


Pair = tuple[int, int]  # (row, column) of the table
Work = dict[Pair, list[Measure]]  # which measures are computed of which pair
Results = dict[tuple[int, int, str], Result]  # of (row, column, name of the measure)


def measure_all(
    rsms: Sequence[Compared],
    pairs: list[Pair],
    measures: list[Measure],
    inference: Inference,
    memory: int | None,
    on_progress: Progress | None,
) -> Results:
    """Compute every measure of every pair, once for (i, j) and (j, i) if the measure is symmetric.

    Args:
        rsms: All of them, of the same samples.
        pairs: (row, column) of the table, places in `rsms`.
        measures: Rows of MEASURES.
        inference: Intervals and p-values.
        memory: Bytes that may be taken; None means half of the machine's.
        on_progress: Called with (measures, values computed, of all), resampled ones included.

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
    steps = inference.n_steps(rsms[0].shape[0])
    measurements: Results = {}
    for prepare, sharing in by_prepare.items():
        work = _work(pairs, sharing)
        tick = _ticker(on_progress, sharing, steps * sum(map(len, work.values())))
        prepared = _preparer(prepare, rsms, matrices)
        if all(measure.compare_many for measure in sharing):
            results = _many(prepared, rsms, work, plan.at_once)
        else:
            results = _one_by_one(prepared, rsms, work, plan.rows[prepare])
        for (i, j), measure, result in results:
            tick(1)
            if result.value is not None and steps > 1:
                result = _sure(result, measure, matrices[i], matrices[j], inference, tick)
            measurements[i, j, measure.name] = result
    return measurements


def _ticker(on_progress: Progress | None, measures: list[Measure], of: int) -> Tick:
    """Return what counts values, and tells who waits how many of all are computed."""
    label, done = ", ".join(measure.name for measure in measures), 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if on_progress:
            on_progress(label, done, of)

    return tick


def _work(pairs: list[Pair], measures: list[Measure]) -> Work:
    """Return which measures are computed of which pair, each symmetric one in one direction."""
    work: Work = {}
    for i, j in pairs:
        mirrored = work.get((j, i), [])
        rest = [m for m in measures if not (m.symmetric and m in mirrored)]
        if rest:
            work[i, j] = rest
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


def _sure(
    result: Result, measure: Measure, K: Matrix, L: Matrix, inference: Inference, tick: Tick
) -> Result:
    """Add the interval and the p-value that were asked for, or why there is none."""
    if inference.n_permutations or measure.resample is None:
        kinds = ComparedRsm, ComparedRdm
        K, L = (m.loaded() if isinstance(m, kinds) else m for m in (K, L))
    assert result.value is not None
    reason = None
    if inference.n_resamples:
        try:
            method, resamples = inference.method, inference.resamples(K.shape[0])
            replicates = replicate_measure(measure, result.value, K, L, resamples, method, tick)
            interval = interval_of(replicates, method, measure.range)
            result = replace(result, low=interval.low, high=interval.high, replicates=replicates)
        except SemrsmError as error:
            reason = str(error)
    if inference.n_permutations:
        test = permutation_test(measure, K, L, inference.n_permutations, inference.seed, tick)
        result = replace(result, p=test.p)
    return replace(result, reason=reason)
