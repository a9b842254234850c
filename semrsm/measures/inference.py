"""How sure a measure is: bootstrap intervals over samples, and permutation tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.measure import Measure

MOST_UNDEFINED = 0.1  # beyond this share of undefined resamples an interval is refused
TIE = 1e-12  # permuted values this near to the observed one count as equal to it


@dataclass(frozen=True)
class Interval:
    """A percentile interval of a measure over resampled samples.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: The share of resamples that lie between.
        n_resamples: How many resamples were drawn.
        n_undefined: How many of them the measure was undefined for; they are left out.
        seed: The seed they were drawn with.
    """

    low: float
    high: float
    level: float
    n_resamples: int
    n_undefined: int
    seed: int


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
    K: NDArray[Any],
    L: NDArray[Any],
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Give a percentile interval of a measure over bootstrap samples.

    n samples are drawn with replacement, rows and columns of both RSMs together. A sample that is
    drawn twice makes a pair with its own copy, whose similarity is that of a sample with itself;
    such pairs are dropped, in the way that fits the measure:

    - RSA: the pairs i < j of different samples are correlated, repeats counted.
    - CKA and its like: centring is a least-squares fit of row and column terms to the pairs of
      different samples (and, for the biased kind, the diagonal), repeats counted.
    - Neighbours: a sample's copies are never neighbours of it.
    - nbs keeps them, because without them a matrix is not positive semidefinite.

    The interval is about the sampling of samples; it does not remove a measure's own bias.

    Args:
        measure: A row of MEASURES.
        K: (n, n), any real dtype, in memory.
        L: (n, n), the same samples in the same order.
        n_resamples: How many bootstrap samples.
        level: Share of the resamples between the ends, between 0 and 1.
        seed: Seed of the resamples.

    Raises:
        SemrsmError: The measure is undefined for K and L, or for more than a tenth of the resamples.

    References:
        H. H. Schütt et al.: Statistical inference on representational geometries. eLife 12, 2023,
        doi:10.7554/eLife.82566.

    >>> from semrsm.measures import MEASURES
    >>> x = np.random.default_rng(0).standard_normal((20, 5))
    >>> interval = bootstrap(MEASURES["rsa-pearson"], x @ x.T, x[:, :3] @ x[:, :3].T, 200)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.41, 0.85)
    """
    measure(K, L)
    draws = np.random.default_rng(seed)
    values = []
    for _ in range(n_resamples):
        try:
            values.append(measure.resample(K, L, draws.integers(0, len(K), len(K))))
        except SemrsmError:
            continue
    undefined = n_resamples - len(values)
    if undefined > MOST_UNDEFINED * n_resamples:
        raise SemrsmError(
            f"{measure.name} is undefined for {undefined} of {n_resamples} resamples of {len(K)}"
            " samples; use more samples"
        )
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, n_resamples, undefined, seed)


def permutation_test(
    measure: Measure, K: NDArray[Any], L: NDArray[Any], n_permutations: int = 1000, seed: int = 0
) -> PermutationTest:
    """Test whether two RSMs are more, or less, alike than with the samples of one in random order.

    Rows and columns of L are permuted together. The p-value is two-sided: twice the smaller of
    the two tails, at most 1. The observed value counts among the permuted ones (+1), so p is never
    below 2 / (n_permutations + 1).

    Args:
        measure: A row of MEASURES.
        K: (n, n), any real dtype, in memory.
        L: (n, n), the same samples in the same order.
        n_permutations: How many random orders.
        seed: Seed of the orders.

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
    prepared = measure.prepare(K)
    draws = np.random.default_rng(seed)
    permuted = np.empty(n_permutations)
    for draw in range(n_permutations):
        order = draws.permutation(len(L))
        permuted[draw] = measure.compare(prepared, measure.prepare(L[np.ix_(order, order)]))
    above = 1 + int((permuted >= observed - TIE).sum())
    below = 1 + int((permuted <= observed + TIE).sum())
    p = min(1.0, 2 * min(above, below) / (n_permutations + 1))
    return PermutationTest(observed, p, n_permutations, seed)
