"""How sure a measure is: intervals over resampled samples, and permutation tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.intervals import (
    INTERVALS,
    Interval,
    IntervalMethod,
    Replicates,
    interval_of,
    replicate,
)
from semrsm.measures.matrices import Floats, Integers, Matrix
from semrsm.measures.measure import Measure
from semrsm.measures.resamples import Resamples, Tick, Weighted
from semrsm.measures.weighted import no_tick
from semrsm.names import look_up

USUAL_RESAMPLES = 1000  # where an interval or a baseline is asked for, but not how many
TIE = 1e-12  # permuted values this near to the observed one count as equal to it


@dataclass(frozen=True)
class Inference:
    """How sure values are to be made.

    Attributes:
        n_resamples: Bootstrap samples for 95 % intervals; 0 for no intervals.
        n_permutations: Random orders of the samples for a p-value; 0 for none.
        seed: Of both.
        interval: Key of INTERVALS.
        clusters: (n,) which samples are drawn together; None draws each by itself.
    """

    n_resamples: int = 0
    n_permutations: int = 0
    seed: int = 0
    interval: str = "corrected"
    clusters: Integers | None = None

    @property
    def method(self) -> IntervalMethod:
        """How intervals are made of resamples."""
        return look_up(INTERVALS, self.interval, "interval")

    def resamples(self, n: int) -> Resamples:
        """Return the resamples of n samples; raises SemrsmError if all are one cluster."""
        return Resamples.of(n, self.n_resamples, self.seed, self.clusters)

    def n_steps(self, n: int) -> int:
        """Return how many values are computed for one value of n samples, itself included."""
        steps = 1 + self.n_permutations
        if self.n_resamples:
            resamples = self.resamples(n)
            steps += self.method.drawn * self.n_resamples + self.method.left_out * resamples.n_parts
        return steps


@dataclass(frozen=True)
class PermutationTest:
    """A test of the hypothesis that the samples of two RSMs are unrelated.

    Attributes:
        value: The measure of the RSMs as they are.
        p: Two-sided p-value.
        n_permutations: How many permutations were drawn.
        seed: The seed they were drawn with.
    """

    value: float
    p: float
    n_permutations: int
    seed: int


def bootstrap(
    measure: Measure,
    K: Matrix,
    L: Matrix,
    n_resamples: int = 1000,
    seed: int = 0,
    clusters: Integers | None = None,
    method: str = "corrected",
) -> Interval:
    """Give a 95 % interval of a measure over samples, or over clusters of samples.

    The interval is about what n samples give on average: it does not remove a measure's own bias.
    A sample that is drawn twice makes a pair with its own copy, which is dropped; see `Resamples`.

    Args:
        measure: A row of MEASURES.
        K: (n, n), any real dtype.
        L: (n, n), the same samples in the same order.
        n_resamples: How many bootstrap samples.
        seed: Seed of the draws.
        clusters: (n,) int, equal for samples that belong together, such as views of one thing.
        method: Key of INTERVALS.

    Raises:
        SemrsmError: The measure is undefined for K and L, or for more than a tenth of the resamples, or
            has no such interval.

    References:
        H. H. Schütt et al.: Statistical inference on representational geometries. eLife 12, 2023,
        doi:10.7554/eLife.82566. B. Efron, C. Stein: The jackknife estimate of variance. Annals of
        Statistics 9, 1981, doi:10.1214/aos/1176345462.

    >>> from semrsm.measures import MEASURES
    >>> x = np.random.default_rng(0).standard_normal((20, 5))
    >>> interval = bootstrap(MEASURES["rsa-pearson"], x @ x.T, x[:, :3] @ x[:, :3].T, 200)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.41, 0.84)
    """
    resamples = Resamples.of(K.shape[0], n_resamples, seed, clusters)
    replicates = replicate_measure(measure, measure(K, L), K, L, resamples, INTERVALS[method])
    return interval_of(replicates, INTERVALS[method], measure.range)


def replicate_measure(
    measure: Measure,
    value: float,
    K: Matrix,
    L: Matrix,
    resamples: Resamples,
    method: IntervalMethod,
    tick: Tick = no_tick,
) -> Replicates:
    """Return the value of a measure of two RSMs with the replicates that a method needs.

    Raises SemrsmError as `bootstrap` does.
    """
    if measure.resample is None:
        refuse_repeats(measure.name, method)
        weighted = _without(measure, K, L)
    else:
        weighted = measure.resample(K, L, resamples.clusters)
    name = measure.name
    return replicate({name: value}, lambda c: {name: weighted(c)}, resamples, method, tick)[name]


def _without(measure: Measure, K: Matrix, L: Matrix) -> Weighted:
    """Return what gives a measure of some of the samples, for counts (b, n) of 0 or 1."""
    whole = [np.asarray(M[0 : M.shape[0]]) for M in (K, L)]

    def value(counts: Floats) -> float:
        at = np.ix_(counts > 0, counts > 0)
        try:
            return measure(*(M[at] for M in whole))
        except SemrsmError:
            return np.nan

    return lambda counts: np.array([value(c) for c in counts])


def refuse_repeats(name: str, method: IntervalMethod) -> None:
    """Raise SemrsmError where a method draws samples twice, for a value that this changes.

    >>> refuse_repeats("nbs", INTERVALS["jackknife"])
    """
    if method.drawn:
        raise SemrsmError(
            f"no {method.name} interval of {name}: samples that are drawn twice change what it is;"
            " `interval='jackknife'` leaves samples out instead, and is mostly too wide"
        )


def permutation_test(
    measure: Measure,
    K: Matrix,
    L: Matrix,
    n_permutations: int = 1000,
    seed: int = 0,
    tick: Tick = no_tick,
) -> PermutationTest:
    """Test whether two RSMs are more, or less, alike than with the samples of one in random order.

    Rows and columns of L are permuted together, after it was prepared once. The p-value is two-sided:
    twice the smaller of the two tails, at most 1. The observed value counts among the permuted ones
    (+1), so p is never below 2 / (n_permutations + 1).

    Args:
        measure: A row of MEASURES.
        K: (n, n), any real dtype.
        L: (n, n), the same samples in the same order.
        n_permutations: How many random orders.
        seed: Seed of the orders.
        tick: Called with 1 after each.

    Raises:
        SemrsmError: The measure is undefined for K and L.

    References:
        B. Phipson, G. K. Smyth: Permutation p-values should never be zero. Statistical Applications
        in Genetics and Molecular Biology 9, 2010, doi:10.2202/1544-6115.1585.

    >>> from semrsm.measures import MEASURES
    >>> x = np.random.default_rng(0).standard_normal((20, 5))
    >>> permutation_test(MEASURES["cka"], x @ x.T, x[:, :3] @ x[:, :3].T, 99).p
    0.02
    """
    observed = measure(K, L)
    a, b = measure.prepare(K), measure.prepare(L)
    draws = np.random.default_rng(seed)
    permuted = np.empty(n_permutations)
    for draw in range(n_permutations):
        permuted[draw] = measure.compare(a, measure.permute(b, draws.permutation(K.shape[0])))
        tick(1)
    above = 1 + int((permuted >= observed - TIE).sum())
    below = 1 + int((permuted <= observed + TIE).sum())
    p = min(1.0, 2 * min(above, below) / (n_permutations + 1))
    return PermutationTest(observed, p, n_permutations, seed)
