"""Predictions: are similar samples predicted alike? RSM entries against Jensen-Shannon divergences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

SUM_TOLERANCE = 1e-3  # of probabilities: a thousand of float16 add up no better
ROUNDING = 1e-13  # divergences this near to 0 or 1 are taken for it: the entropies round
CHUNK = 1 << 17  # numbers that are worked on at a time: they stay in the cache
LEVEL = 0.95
PAIR_BYTES = 72  # a pair takes at most: similarity, divergence and its rank are kept, ranks sorted
RESAMPLED_PAIR_BYTES = 88  # the same with `bootstrap`
MOST_UNDEFINED = 0.1  # beyond this share of undefined resamples there is no interval


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities exp(z_c) / sum exp(z), (n, classes) float64.

    Raises SemrsmError naming the first sample whose logits are not finite.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    _refuse_rows(~np.isfinite(logits).all(axis=1), "has logits that are not finite")
    z = np.asarray(logits, dtype=np.float64)
    # Halves, because the difference of two huge logits may overflow.
    powers = np.exp(np.maximum(z / 2 - z.max(axis=1, keepdims=True) / 2, -1e300) * 2)
    return powers / powers.sum(axis=1, keepdims=True)


def checked_probabilities(values: NDArray[np.floating]) -> Floats:
    """Return probabilities as float64 that sum to 1 exactly, once they are seen to do so to 1e-3.

    Raises SemrsmError naming the first sample with a value that is not finite or below 0, or with
    a sum other than 1.

    >>> checked_probabilities(np.array([[0.5, 0.5001]])).round(3).tolist()
    [[0.5, 0.5]]
    """
    p = np.asarray(values, dtype=np.float64)
    _refuse_rows(~np.isfinite(p).all(axis=1), "has probabilities that are not finite")
    _refuse_rows((p < 0).any(axis=1), "has probabilities below 0")
    sums = p.sum(axis=1)
    _refuse_rows(
        np.abs(sums - 1) > SUM_TOLERANCE, "has probabilities that do not sum to 1", sums, "--logits"
    )
    return p / sums[:, None]


def _refuse_rows(wrong: Any, what: str, values: Floats | None = None, instead: str = "") -> None:
    if wrong.any():
        sample = int(np.argmax(wrong))
        came = "" if values is None else f" but to {values[sample]:.6g}"
        hint = f"; give logits with {instead}" if instead else "; save it again"
        raise SemrsmError(f"sample {sample} {what}{came}{hint}")


def divergences(p: Floats) -> Floats:
    """Return the Jensen-Shannon divergence, log base 2, of the pairs i < j.

    JSD(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2 with H(p) = -sum p log2 p, within [0, 1].
    Equal predictions have exactly 0, predictions without a common class exactly 1.

    Args:
        p: (n, classes) float64, probabilities; each row sums to 1.

    Returns:
        (n (n - 1) / 2,) float64: (0, 1), (0, 2), ... (1, 2), ...

    Source: J. Lin: Divergence measures based on the Shannon entropy, 1991, doi:10.1109/18.61115.

    >>> divergences(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 1.0, 0.3113, 1.0, 0.3113, 0.3113]
    """
    n = len(p)
    found, at = np.empty(n * (n - 1) // 2), 0
    for row in divergence_rows(p):
        found[at : at + len(row)] = row
        at += len(row)
    return found


def divergence_rows(p: Floats) -> Iterator[Floats]:
    """Yield for each sample its divergences from those that follow; together these are `divergences`.

    >>> [row.tolist() for row in divergence_rows(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))]
    [[0.0, 1.0], [1.0], []]
    """
    n, classes = p.shape
    own = _sum_x_log_x(p)
    step = max(1, CHUNK // classes)
    for i in range(n):
        found = np.empty(n - 1 - i)
        for j in range(i + 1, n, step):
            others = slice(j, min(j + step, n))
            # The sum s = p + q has twice the weight of the mean: H(s / 2) = 1 - sum s log2 s / 2.
            joint = _sum_x_log_x(p[i] + p[others])
            found[others.start - i - 1 : others.stop - i - 1] = (
                1.0 - (joint - own[i] - own[others]) / 2
            )
        found[found < ROUNDING] = 0.0
        found[found > 1.0 - ROUNDING] = 1.0
        yield found


def _sum_x_log_x(x: Floats) -> Floats:
    """Return sum x log2 x over the last axis; 0 log 0 is 0."""
    logs = np.log2(np.maximum(x, np.finfo(np.float64).tiny))
    return np.einsum("ij,ij->i", x, logs)


def dense_ranks(values: Floats) -> NDArray[np.int32]:
    """Return the rank of each value among the distinct values, from 0.

    >>> dense_ranks(np.array([0.5, 0.1, 0.5, 2.0])).tolist()
    [1, 0, 1, 2]
    """
    order = np.argsort(values)
    ordered = values[order]
    steps = np.zeros(len(values), dtype=np.int32)
    np.not_equal(ordered[1:], ordered[:-1], out=steps[1:], casting="unsafe")
    ranks = np.empty(len(values), dtype=np.int32)
    ranks[order] = np.cumsum(steps, dtype=np.int32)
    return ranks


def mid_ranks(ranks: Integers, weights: Floats | None = None) -> Floats:
    """Return the rank of each value from 1, ties at their mean, where value i counts weights[i] times.

    Args:
        ranks: (m,) integers that order the values, such as `dense_ranks` gives.
        weights: (m,) float64 counts; None counts each value once.

    >>> mid_ranks(np.array([1, 0, 1, 2])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    counts = np.bincount(ranks, weights)
    return (np.cumsum(counts) - (counts - 1) / 2)[ranks]


def pearson(x: Floats, y: Floats, weights: Floats | None = None) -> float:
    """Return Pearson's correlation, where pair i counts weights[i] times; NaN if x or y is constant.

    >>> pearson(np.array([0.0, 1.0, 2.0]), np.array([5.0, 3.0, 1.0]))
    -1.0
    """
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    dx, dy = _centred(x, weights), _centred(y, weights)
    wx = dx if weights is None else dx * weights
    wy = dy if weights is None else dy * weights
    return float(np.clip((wx @ dy) / np.sqrt(wx @ dx) / np.sqrt(wy @ dy), -1.0, 1.0))


def _centred(x: Floats, weights: Floats | None) -> Floats:
    """Return x less its mean, as a multiple of its largest magnitude, so that no square overflows."""
    scaled = x / max(abs(x.min()), abs(x.max()))
    centred = scaled - np.average(scaled, weights=weights)
    return centred / np.abs(centred).max()


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval.

    Attributes:
        low: Lower end; NaN if the correlation is undefined for more than a tenth of the resamples.
        high: Upper end.
    """

    low: float
    high: float


def correlations(
    similarity: Floats, divergence: Floats, divergence_ranks: Integers
) -> dict[str, float]:
    """Return "pearson" and "spearman" of the pairs i < j; NaN if either side is constant.

    Args:
        similarity: (m,) float64.
        divergence: (m,) float64.
        divergence_ranks: Its `dense_ranks`: they serve many RSMs.

    >>> d = np.array([0.1, 0.5, 0.9])
    >>> correlations(np.array([3.0, 2.0, 1.0]), d, dense_ranks(d))
    {'pearson': -1.0, 'spearman': -1.0}
    """
    ranks = mid_ranks(dense_ranks(similarity)), mid_ranks(divergence_ranks)
    return {"pearson": pearson(similarity, divergence), "spearman": pearson(*ranks)}


def bootstrap(
    similarity: Floats,
    divergence: Floats,
    divergence_ranks: Integers,
    n: int,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile intervals of the correlations over resampled samples.

    n samples are drawn with replacement; a pair of two samples counts as often as they were drawn
    together, pairs of a sample with its own copy are dropped. Ranks are taken anew in each resample.

    Args:
        similarity: (n (n - 1) / 2,) float64, the pairs i < j as `divergences` orders them.
        divergence: The same pairs.
        divergence_ranks: Its `dense_ranks`.
        n: How many samples.
        n_resamples: How many resamples.
        seed: Seed of the resamples.

    Source: B. Efron, R. J. Tibshirani: An introduction to the bootstrap, 1993, chapter 13,
    doi:10.1201/9780429246593; over samples: H. H. Schütt et al., 2023, doi:10.7554/eLife.82566.

    >>> x = np.random.default_rng(0).standard_normal(45)
    >>> interval = bootstrap(x, -x, dense_ranks(-x), 10, 20)["spearman"]
    >>> round(interval.low, 6), round(interval.high, 6)
    (-1.0, -1.0)
    """
    draws = np.random.default_rng(seed)
    similarity_ranks = dense_ranks(similarity)
    values: dict[str, list[float]] = {"pearson": [], "spearman": []}
    for _ in range(n_resamples):
        counts = np.bincount(draws.integers(0, n, n), minlength=n)
        weights = _pair_weights(counts)
        kept = np.flatnonzero(weights)
        w = weights[kept]
        values["pearson"].append(pearson(similarity[kept], divergence[kept], w))
        ranks = [mid_ranks(r[kept], w) for r in (similarity_ranks, divergence_ranks)]
        values["spearman"].append(pearson(ranks[0], ranks[1], w))
    return {name: _interval(np.array(found)) for name, found in values.items()}


def _pair_weights(counts: Integers) -> Floats:
    """Return how often each pair i < j was drawn: the product of its samples' counts."""
    rows = [counts[i] * counts[i + 1 :] for i in range(len(counts))]
    return np.concatenate(rows).astype(np.float64)


def _interval(values: Floats) -> Interval:
    defined = values[~np.isnan(values)]
    if len(values) - len(defined) > MOST_UNDEFINED * len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
