"""Intervals and paired differences of values from their resamples, whatever was resampled.

How often each interval holds the true value is measured by scripts/coverage.py: docs/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats
from semrsm.measures.resamples import Resamples, Tick
from semrsm.measures.weighted import no_tick

LEVEL = 0.95
MOST_UNDEFINED = 0.1  # beyond this share of undefined resamples an interval is refused
UNBOUNDED = (-math.inf, math.inf)

Ends = tuple[float, float]


@dataclass(frozen=True)
class Replicates:
    """A value, and what it is for resamples; two of equal draws can be subtracted.

    Attributes:
        value: Of the samples as they are.
        drawn: (B,) of bootstrap samples; empty if the interval needs none.
        left_out: (G,) with one part of the clusters left out at a time; empty if not needed.
    """

    value: float
    drawn: Floats
    left_out: Floats

    def __sub__(self, other: Replicates) -> Replicates:
        """Return the difference, resample by resample."""
        return Replicates(
            self.value - other.value, self.drawn - other.drawn, self.left_out - other.left_out
        )


@dataclass(frozen=True)
class IntervalMethod:
    """A way from replicates to an interval.

    Attributes:
        name: Key in INTERVALS.
        summary: One line on what it is.
        drawn: It needs bootstrap samples.
        left_out: It needs values with parts left out.
        ends: (replicates, range of the value) -> ends of the interval.
        p: Replicates of a difference -> two-sided p-value of the hypothesis that it is 0.
    """

    name: str
    summary: str
    drawn: bool
    left_out: bool
    ends: Callable[[Replicates, Ends], Ends]
    p: Callable[[Replicates], float]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        n_undefined: How many bootstrap samples had no value; they are left out.
    """

    low: float
    high: float
    n_undefined: int = 0


@dataclass(frozen=True)
class Difference:
    """The paired difference of two values.

    Attributes:
        value: The value less that of the baseline.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p-value of the hypothesis that there is no difference.
    """

    value: float
    low: float
    high: float
    p: float


def replicate(
    values: Mapping[str, float],
    weighted: Callable[[Floats], Mapping[str, Floats]],
    resamples: Resamples,
    method: IntervalMethod,
    tick: Tick = no_tick,
) -> dict[str, Replicates]:
    """Return values by name with the replicates that a method needs.

    Args:
        values: Of the samples as they are.
        weighted: Counts (b, n) -> values (b,) of each name, NaN where undefined.
        resamples: What is drawn.
        method: A row of INTERVALS.
        tick: Called with the number of counts done.
    """
    groups: list[dict[str, Floats]] = []
    for of_method, chunks in (
        (method.drawn, resamples.drawn),
        (method.left_out, resamples.left_out),
    ):
        parts: dict[str, list[Floats]] = {name: [np.empty(0)] for name in values}
        for counts in chunks() if of_method else ():
            for name, some in weighted(counts).items():
                parts[name].append(some)
            tick(len(counts))
        groups.append({name: np.concatenate(some) for name, some in parts.items()})
    drawn, left_out = groups
    return {name: Replicates(v, drawn[name], left_out[name]) for name, v in values.items()}


def interval_of(replicates: Replicates, method: IntervalMethod, span: Ends = UNBOUNDED) -> Interval:
    """Return the 95 % interval of a value whose smallest and largest possible ones are `span`.

    Raises SemrsmError if more than a tenth of the resamples are undefined.
    """
    undefined = int(np.isnan(replicates.drawn).sum())
    return Interval(*method.ends(_defined(replicates), span), undefined)


def difference_of(
    replicates: Replicates, baseline: Replicates, method: IntervalMethod
) -> Difference:
    """Return the difference of two values of the same samples, whose draws are equal.

    Raises SemrsmError if more than a tenth of the resamples are undefined.

    >>> a = Replicates(0.5, np.array([]), np.array([0.4, 0.5, 0.6]))
    >>> b = Replicates(0.2, np.array([]), np.array([0.1, 0.2, 0.3]))
    >>> round(difference_of(a, b, INTERVALS["jackknife"]).value, 6)
    0.3
    """
    difference = _defined(replicates - baseline)
    low, high = method.ends(difference, UNBOUNDED)
    return Difference(difference.value, low, high, method.p(difference))


def _defined(r: Replicates) -> Replicates:
    for values in (r.drawn, r.left_out):
        undefined = int(np.isnan(values).sum())
        if undefined > MOST_UNDEFINED * len(values):
            raise SemrsmError(
                f"no interval: the value is undefined for {undefined} of {len(values)} resamples; use more"
                " samples"
            )
    return Replicates(r.value, *(v[~np.isnan(v)] for v in (r.drawn, r.left_out)))


def jackknife_variance(r: Replicates) -> float:
    """Return the variance of a value as leaving out tells it: on average it is not too small."""
    g = len(r.left_out)
    return float(((r.left_out - r.left_out.mean()) ** 2).sum() * (g - 1) / g)


def corrected_variance(r: Replicates) -> float:
    """Return the variance of a value, 2 V_J - V_B, of the jackknife and the bootstrap.

    What pairs add to what single samples do is counted twice by the jackknife and three times by a
    bootstrap without pairs of own copies; the difference leaves it once. It is at least V_J / 2.
    """
    jackknife = jackknife_variance(r)
    return max(2 * jackknife - float(r.drawn.var()), jackknife / 2)


def _student(variance: Callable[[Replicates], float]) -> Callable[[Replicates, Ends], Ends]:
    """Return ends t standard errors from the value, on a scale on which the span has no end."""

    def ends(r: Replicates, span: Ends) -> Ends:
        from scipy import stats  # takes half a second to load

        reach = math.sqrt(variance(r)) * float(
            stats.t.ppf((1 + LEVEL) / 2, max(1, len(r.left_out) - 1))
        )
        middle, half = (span[0] + span[1]) / 2, (span[1] - span[0]) / 2
        if not math.isfinite(half):
            return r.value - reach, r.value + reach
        place = (r.value - middle) / half
        if 1 - place * place < 1e-12:
            return max(span[0], r.value - reach), min(span[1], r.value + reach)
        reach /= half * (1 - place * place)
        z = math.atanh(place)
        return middle + half * math.tanh(z - reach), middle + half * math.tanh(z + reach)

    return ends


def _student_p(variance: Callable[[Replicates], float]) -> Callable[[Replicates], float]:
    def p(r: Replicates) -> float:
        from scipy import stats

        error = math.sqrt(variance(r))
        if error == 0:
            return 1.0 if r.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(r.value) / error, max(1, len(r.left_out) - 1)))

    return p


def _percentile(r: Replicates, span: Ends) -> Ends:
    low, high = np.quantile(r.drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _bca(r: Replicates, span: Ends) -> Ends:
    """Return quantiles that allow for the bias and the skewness of the bootstrap's values."""
    from scipy import stats

    below = (r.drawn < r.value).sum() + (r.drawn == r.value).sum() / 2
    bias = stats.norm.ppf(np.clip(below, 0.5, len(r.drawn) - 0.5) / len(r.drawn))
    d = r.left_out.mean() - r.left_out
    squares = float((d**2).sum())
    skew = float((d**3).sum()) / 6 / squares**1.5 if squares else 0.0
    z = bias + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(r.drawn, stats.norm.cdf(bias + z / (1 - skew * z)))
    return float(low), float(high)


def _share_p(r: Replicates) -> float:
    """Return twice the share of the resamples on the far side of 0, the value counting among them."""
    tails = 1 + (r.drawn <= 0).sum(), 1 + (r.drawn >= 0).sum()
    return float(min(1.0, 2 * min(tails) / (len(r.drawn) + 1)))


INTERVALS: dict[str, IntervalMethod] = {
    method.name: method
    for method in (
        IntervalMethod(
            "corrected",
            "t interval, variance of bootstrap and jackknife combined so that pairs count once",
            True,
            True,
            _student(corrected_variance),
            _student_p(corrected_variance),
        ),
        IntervalMethod(
            "percentile",
            "quantiles of the bootstrap: too wide where pairs vary more than samples",
            True,
            False,
            _percentile,
            _share_p,
        ),
        IntervalMethod(
            "bca",
            "quantiles of the bootstrap, bias-corrected and accelerated (Efron)",
            True,
            True,
            _bca,
            _share_p,
        ),
        IntervalMethod(
            "jackknife",
            "t interval, variance of leaving samples out: no repeats, mostly too wide",
            False,
            True,
            _student(jackknife_variance),
            _student_p(jackknife_variance),
        ),
    )
}
