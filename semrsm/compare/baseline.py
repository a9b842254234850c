"""Paired differences: the same measure with another RSM in the first place, a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from semrsm.compare.pairs import Found, Result
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.intervals import Difference, IntervalMethod, difference_of
from semrsm.rsms import Rsm


def baseline_of(rsm: Rsm, baselines: Sequence[Rsm]) -> Rsm:
    """Return which RSM is the baseline of one: the only one, or that of the layer of its name.

    Raises SemrsmError if there is none.
    """
    if len(baselines) == 1:
        return baselines[0]
    for baseline in baselines:
        if baseline.layer == rsm.layer:
            return baseline
    raise SemrsmError(
        f"the baseline {baselines[0].path} has several layers and none is called '{rsm.layer}', as in"
        f" {rsm.path}; name one: {baselines[0].path}::LAYER"
    )


def difference(
    result: Result, of_baseline: Result, method: IntervalMethod
) -> tuple[Difference | None, str | None]:
    """Return how much a value exceeds that of the baseline, or why that is not known."""
    ours, theirs = result.replicates, of_baseline.replicates
    if ours is None or theirs is None:
        return None, result.reason or of_baseline.reason
    return difference_of(ours, theirs, method), None


def found_of(found: Found, i: int, j: int, measure: Measure) -> Result:
    """Return what was found of two RSMs; a symmetric measure is computed one way only."""
    return found.get((i, j, measure.name)) or found[j, i, measure.name]
