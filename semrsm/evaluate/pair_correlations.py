"""Correlations over the pairs i < j of samples, and the same over many resamples of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.measures.places import Places, places_of
from semrsm.measures.weighted_ranks import dense_ranks, parts

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

BATCH = 128  # resamples whose weighted sums are taken in one matrix product
BLOCK = 1 << 20  # entries of the matrices in it
CANCELLED = 1e-6  # a variance smaller than this share of the mean square is summed anew, centred


def pearson(x: Floats, y: Floats, weights: Floats | None = None) -> float:
    """Return Pearson's correlation, where pair i counts weights[i] times; NaN if x or y is constant.

    >>> pearson(np.array([0.0, 1.0, 2.0]), np.array([5.0, 3.0, 1.0]))
    -1.0
    """
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    scales = [max(abs(v.min()), abs(v.max())) for v in (x, y)]  # so that no square overflows
    total, sums = 0.0, np.zeros(2)
    for part in parts(len(x)):
        w = np.ones(part.stop - part.start) if weights is None else weights[part]
        total += w.sum()
        sums += [w @ (v[part] / scale) for v, scale in zip((x, y), scales, strict=True)]
    means = sums / total
    products = np.zeros((2, 2))
    for part in parts(len(x)):
        centred = np.stack([x[part] / scales[0], y[part] / scales[1]]) - means[:, None]
        products += (centred if weights is None else centred * weights[part]) @ centred.T
    return _ratio(products[0, 1], products[0, 0], products[1, 1])


def _mean(x: Floats, scale: float) -> float:
    return float(sum((x[part] / scale).sum() for part in parts(len(x))) / len(x))


def _ratio(xy: float, xx: float, yy: float) -> float:
    return float(np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0))  # exactly 1 where all three are equal


def spearman(x_ranks: Integers, y_ranks: Integers) -> float:
    """Return Spearman's correlation of values by their `dense_ranks`; ties share their mean rank.

    >>> spearman(np.array([0, 1, 1]), np.array([2, 1, 0])).__round__(4)
    -0.866
    """
    tables = [_twice_mid_ranks(np.cumsum(np.bincount(ranks))) for ranks in (x_ranks, y_ranks)]
    if min(map(len, tables)) < 2:
        return float("nan")
    m = len(x_ranks)
    products = np.zeros((2, 2))
    for part in parts(m):
        centred = np.stack([tables[0][x_ranks[part]], tables[1][y_ranks[part]]]) / (m + 1) - 1.0
        products += centred @ centred.T
    return _ratio(products[0, 1], products[0, 0], products[1, 1])


def _twice_mid_ranks(ends: Integers) -> Integers:
    """Return twice the mean rank, from 1, of each run of equal values, from how many are up to its end.

    >>> _twice_mid_ranks(np.array([1, 3])).tolist()
    [2, 5]
    """
    twice = ends + 1
    twice[1:] += ends[:-1]
    return twice


def weights_of(
    counts: NDArray[Any], i: Integers, j: Integers, clusters: Integers | None
) -> NDArray[Any]:
    """Return how often the pairs of samples i and j count; see `measures.resamples.Resamples`.

    >>> weights_of(np.array([2, 2, 3]), np.array([0, 0]), np.array([1, 2]), np.array([0, 0, 1])).tolist()
    [2, 6]
    """
    first = counts.take(i)
    weights = first * counts.take(j)
    if clusters is None:
        return weights
    return np.where(clusters.take(i) == clusters.take(j), first, weights)


@dataclass(frozen=True)
class PairCorrelations:
    """Pearson's and Spearman's correlation of two values of each pair i < j, over resamples.

    How often a pair counts is told by `measures.resamples.Resamples`; ranks are taken anew, in
    BINS bins.
    """

    x: Floats
    y: Floats
    n: int
    places: Callable[[Floats], Places]
    clusters: Integers | None  # (n,) which samples are drawn together

    @classmethod
    def of(
        cls, x: Floats, y: Floats, y_ranks: Integers, n: int, clusters: Integers | None = None
    ) -> PairCorrelations:
        """Prepare resamples, which takes 24 bytes a pair, and then 8.

        Args:
            x: (n (n - 1) / 2,) float64, the pairs (0, 1), (0, 2), ... (1, 2), ...
            y: The same.
            y_ranks: Its `dense_ranks`.
            n: How many samples.
            clusters: (n,) which samples are drawn together; None: each by itself.
        """
        of = np.arange(n) if clusters is None else clusters
        places = places_of(dense_ranks(x), y_ranks, of)
        return cls(x, y, n, places, clusters)

    def __call__(self, counts: Integers, workers: int = 1) -> dict[str, Floats]:
        """Return "pearson" and "spearman" of resamples, (R,) each; NaN where a value is constant.

        Args:
            counts: (R, n) integers, how often each sample was drawn.
            workers: Threads.

        >>> x = np.array([0.1, 0.5, 0.9])
        >>> both = PairCorrelations.of(x, -x, dense_ranks(-x), 3)
        >>> {name: v.round(6).tolist() for name, v in both(np.array([[1, 1, 1], [1, 2, 0]])).items()}
        {'pearson': [-1.0, nan], 'spearman': [-1.0, nan]}
        """
        with ThreadPoolExecutor(workers) as pool:
            places = pool.map(self.places, counts.astype(np.float64))
            by_rank = np.array([place.spearman for place in places])
        values = [self._pearson(counts[k : k + BATCH]) for k in range(0, len(counts), BATCH)]
        # A value is constant in a resample if its ranks are: these are exact.
        by_value = np.where(np.isnan(by_rank), np.nan, np.concatenate(values))
        return {"pearson": by_value, "spearman": by_rank}

    def _pearson(self, counts: Integers) -> Floats:
        """Return Pearson's correlations from weighted sums: sum_ij c_i c_j v_ij is a matrix product."""
        c = counts.astype(np.float64)
        sums = np.zeros((5, len(c)))
        for first, x, y in self._blocks():
            some = c[:, first : first + len(x)]
            for k, values in enumerate((x, y, x * x, y * y, x * y)):
                if self.clusters is not None:
                    rows = self.clusters[first : first + len(x), None]
                    together = rows == self.clusters[first:]
                    sums[k] += some @ np.where(together, values, 0.0).sum(axis=1)
                    values = np.where(together, 0.0, values)
                sums[k] += np.einsum("ij,ij->i", some @ values, c[:, first:])
        total = self._totals(counts).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            x, y, xx, yy, xy = sums / total
            vx, vy = xx - x * x, yy - y * y
            correlations = np.clip((xy - x * y) / np.sqrt(vx) / np.sqrt(vy), -1.0, 1.0)
            for draw in np.flatnonzero(~((vx > CANCELLED * xx) & (vy > CANCELLED * yy))):
                correlations[draw] = self._centred(c[draw])
        return correlations

    def _blocks(self) -> Iterator[tuple[int, Floats, Floats]]:
        """Yield (first row a, x, y) of blocks of rows i >= a, columns j >= a, 0 where j <= i; centred."""
        n, start = self.n, 0
        scales = [max(abs(float(v.min())), abs(float(v.max()))) or 1.0 for v in (self.x, self.y)]
        means = [_mean(v, s) for v, s in zip((self.x, self.y), scales, strict=True)]
        height = max(1, BLOCK // n)
        for a in range(0, n - 1, height):
            rows = min(height, n - a)
            blocks = np.zeros((2, rows, n - a))
            for i in range(rows):
                stop = start + n - 1 - a - i
                for block, v, s, mean in zip(blocks, (self.x, self.y), scales, means, strict=True):
                    block[i, i + 1 :] = v[start:stop] / s - mean
                start = stop
            yield a, *blocks

    def _totals(self, counts: Integers) -> NDArray[np.int64]:
        """Return how many pairs i < j count in resamples (R, n)."""
        c = counts.astype(np.int64)
        size = 1 if self.clusters is None else np.bincount(self.clusters)[self.clusters]
        of_sample = c * (c.sum(axis=1, keepdims=True) - c * size + size - 1)
        total: NDArray[np.int64] = of_sample.sum(axis=1) // 2
        return total

    def _centred(self, counts: Floats) -> float:
        """Return one correlation where the weighted sums lose too many digits."""
        weights = np.concatenate(
            [
                weights_of(counts, np.array([i]), np.arange(i + 1, self.n), self.clusters)
                for i in range(self.n)
            ]
        )
        kept = np.flatnonzero(weights)
        return pearson(self.x[kept], self.y[kept], weights[kept])
