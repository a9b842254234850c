"""Paired differences: the same measure with another RSM in the first place, a baseline."""

from __future__ import annotations

from semrsm.compare.pairs import Result, Results
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.intervals import Difference, IntervalMethod, difference_of


def difference(
    result: Result, of_baseline: Result, method: IntervalMethod
) -> tuple[Difference | None, str | None]:
    """Return how much a value exceeds that of the baseline, or why that is not known."""
    ours, theirs = result.replicates, of_baseline.replicates
    if ours is None or theirs is None:
        return None, result.reason or of_baseline.reason
    try:
        return difference_of(ours, theirs, method), None
    except SemrsmError as error:
        return None, str(error)


def result_of(results: Results, i: int, j: int, measure: Measure) -> Result:
    """Return what was found of two RSMs; a symmetric measure is computed one way only."""
    return results.get((i, j, measure.name)) or results[j, i, measure.name]
