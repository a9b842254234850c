"""Correlations over the pairs i < j of samples, and the same over many resamples of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

CHUNK = 1 << 14  # pairs that are worked on at a time: they stay in the cache
BATCH = 128  # resamples whose weighted sums are taken in one matrix product
BLOCK = 1 << 20  # entries of the matrices in it
CANCELLED = 1e-6  # a variance smaller than this share of the mean square is summed anew, centred


def dense_ranks(values: Floats) -> Integers:
    """Return the rank of each value among the distinct values, from 0.

    >>> dense_ranks(np.array([0.5, 0.1, 0.5, 2.0])).tolist()
    [1, 0, 1, 2]
    """
    order = np.argsort(values)
    ranks = np.empty(len(values), _integers(len(values)))
    for part, of_part in _ranks_in_order(values, order):
        ranks[order[part]] = of_part
    return ranks


def _ranks_in_order(values: Floats, order: Integers) -> Iterator[tuple[slice, Integers]]:
    """Yield (part, dense ranks of the values there) of sorted values, from the smallest."""
    last, rank = np.nan, -1
    for part in _parts(len(order)):
        ordered = values[order[part]]
        ranks = rank + np.cumsum(np.diff(ordered, prepend=last) != 0)
        last, rank = ordered[-1], int(ranks[-1])
        yield part, ranks


def _integers(largest: int) -> type[np.signedinteger[Any]]:
    return np.int32 if largest < 2**31 else np.int64


def _parts(m: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, m)) for start in range(0, m, CHUNK))


def pearson(x: Floats, y: Floats, weights: Floats | None = None) -> float:
    """Return Pearson's correlation, where pair i counts weights[i] times; NaN if x or y is constant.

    >>> pearson(np.array([0.0, 1.0, 2.0]), np.array([5.0, 3.0, 1.0]))
    -1.0
    """
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    scales = [max(abs(v.min()), abs(v.max())) for v in (x, y)]  # so that no square overflows
    total, sums = 0.0, np.zeros(2)
    for part in _parts(len(x)):
        w = np.ones(part.stop - part.start) if weights is None else weights[part]
        total += w.sum()
        sums += [w @ (v[part] / scale) for v, scale in zip((x, y), scales, strict=True)]
    means = sums / total
    products = np.zeros((2, 2))
    for part in _parts(len(x)):
        centred = np.stack([x[part] / scales[0], y[part] / scales[1]]) - means[:, None]
        products += (centred if weights is None else centred * weights[part]) @ centred.T
    return _ratio(products[0, 1], products[0, 0], products[1, 1])


def _mean(x: Floats, scale: float) -> float:
    return float(sum((x[part] / scale).sum() for part in _parts(len(x))) / len(x))


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
    for part in _parts(m):
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
class _Order:
    """The pairs i < j in the order of a value.

    Attributes:
        i: (m,) unsigned integers.
        j: The same.
        ends: (runs,) where runs of equal values end; None where no two are equal.
        clusters: (n,) which samples are drawn together; None: each by itself.
    """

    i: Integers
    j: Integers
    ends: Integers | None
    clusters: Integers | None

    @classmethod
    def of(
        cls,
        values: Floats | Integers,
        order: NDArray[np.intp],
        n: int,
        clusters: Integers | None = None,
    ) -> _Order:
        """Return the pairs, m = n (n - 1) / 2, from values and what sorts them."""
        small: type[np.unsignedinteger[Any]] = np.uint16 if n <= 1 << 16 else np.uint32
        row_of = np.repeat(np.arange(n, dtype=small), np.arange(n - 1, -1, -1))
        starts = np.cumsum([0, *range(n - 1, 0, -1)])
        i, j = np.empty(len(order), small), np.empty(len(order), small)
        ends: list[Integers] = []
        for part in _parts(len(order)):
            rows = row_of[order[part]]
            i[part], j[part] = rows, order[part] - starts[rows] + rows + 1
            following = values[order[part.start + 1 : part.stop + 1]]
            here = values[order[part]]
            last = np.flatnonzero(here[: len(following)] != following)
            ends.append((last + part.start + 1).astype(_integers(len(order))))
        joined = np.concatenate([*ends, np.array([len(order)], _integers(len(order)))])
        return cls(i, j, None if len(joined) == len(order) else joined, clusters)

    def weights(self, counts: Integers, part: slice) -> Integers:
        """Return how often pairs are drawn: see `measures.resamples.Resamples`."""
        return weights_of(counts, self.i[part], self.j[part], self.clusters)

    def twice_mid_ranks(self, counts: Integers, table: Integers) -> Integers:
        """Return twice the mean rank of each run where pairs are repeated as often as they are drawn.

        The table, of as many integers as there are pairs, is worked in.
        """
        before = 0
        for part in _parts(len(self.i)):
            weights = self.weights(counts, part)
            np.cumsum(weights, out=table[part])
            table[part] += before
            before = int(table[part.stop - 1])
            if self.ends is None:  # twice what is up to the end of each run, less the run, and 1
                table[part] *= 2
                table[part] -= weights - 1
        return table if self.ends is None else _twice_mid_ranks(table[self.ends - 1])


@dataclass(frozen=True)
class PairCorrelations:
    """Pearson's and Spearman's correlation of two values of each pair i < j, over resamples.

    How often a pair counts is told by `measures.resamples.Resamples`; ranks are taken anew.
    """

    x: Floats
    y: Floats
    n: int
    by_x: _Order
    by_y: _Order
    x_ranks: Integers  # in the order of x
    y_ranks: Integers  # in the order of x
    clusters: Integers | None  # (n,) which samples are drawn together

    @classmethod
    def of(
        cls, x: Floats, y: Floats, y_ranks: Integers, n: int, clusters: Integers | None = None
    ) -> PairCorrelations:
        """Prepare resamples.

        Args:
            x: (n (n - 1) / 2,) float64, the pairs (0, 1), (0, 2), ... (1, 2), ...
            y: The same.
            y_ranks: Its `dense_ranks`.
            n: How many samples.
            clusters: (n,) which samples are drawn together; None: each by itself.
        """
        order = np.argsort(y_ranks)
        by_y = _Order.of(y_ranks, order, n, clusters)
        del order
        order = np.argsort(x)
        x_ranks = np.empty(len(x), _integers(len(x)))
        for part, ranks in _ranks_in_order(x, order):
            x_ranks[part] = ranks
        by_x = _Order.of(x, order, n, clusters)
        return cls(x, y, n, by_x, by_y, x_ranks, y_ranks[order], clusters)

    def __call__(self, counts: Integers, workers: int = 1) -> dict[str, Floats]:
        """Return "pearson" and "spearman" of resamples, (R,) each; NaN where a value is constant.

        Args:
            counts: (R, n) integers, how often each sample was drawn.
            workers: Threads; each takes 12 bytes a pair.

        >>> x = np.array([0.1, 0.5, 0.9])
        >>> both = PairCorrelations.of(x, -x, dense_ranks(-x), 3)
        >>> {name: v.round(6).tolist() for name, v in both(np.array([[1, 1, 1], [1, 2, 0]])).items()}
        {'pearson': [-1.0, nan], 'spearman': [-1.0, nan]}
        """
        wide = _integers(int(counts.sum(axis=1).max()) ** 2)
        # Tables of ranks are used again: memory that is new is filled with zeros first.
        tables: SimpleQueue[NDArray[Any]] = SimpleQueue()
        for _ in range(workers):
            tables.put(np.empty((2, len(self.x)), wide))

        def of_draw(of_samples: Integers) -> float:
            table = tables.get()
            try:
                return self._spearman(of_samples, *table)
            finally:
                tables.put(table)

        with ThreadPoolExecutor(workers) as pool:
            by_rank = np.array(list(pool.map(of_draw, counts.astype(wide))))
        values = [self._pearson(counts[k : k + BATCH]) for k in range(0, len(counts), BATCH)]
        # A value is constant in a resample if its ranks are: these are exact.
        by_value = np.where(np.isnan(by_rank), np.nan, np.concatenate(values))
        return {"pearson": by_value, "spearman": by_rank}

    def _spearman(self, counts: Integers, x_table: Integers, y_table: Integers) -> float:
        total = int(self._totals(counts[None])[0])
        if not total:
            return float("nan")
        x_table = self.by_x.twice_mid_ranks(counts, x_table)
        y_table = self.by_y.twice_mid_ranks(counts, y_table)
        products = np.zeros((2, 2))
        for part in _parts(len(self.x)):
            weights = self.by_x.weights(counts, part)
            kept = np.flatnonzero(weights != 0)  # of bools it is several times as fast
            centred = np.empty((2, len(kept)))  # the mean of twice the ranks is 1 + total
            np.divide(x_table.take(self.x_ranks[part][kept]), total + 1, out=centred[0])
            np.divide(y_table.take(self.y_ranks[part][kept]), total + 1, out=centred[1])
            centred -= 1.0
            products += (centred * weights.take(kept)) @ centred.T
        if not products[0, 0] or not products[1, 1]:
            return float("nan")
        return _ratio(products[0, 1], products[0, 0], products[1, 1])

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
            found = np.clip((xy - x * y) / np.sqrt(vx) / np.sqrt(vy), -1.0, 1.0)
            for draw in np.flatnonzero(~((vx > CANCELLED * xx) & (vy > CANCELLED * yy))):
                found[draw] = self._centred(c[draw])
        return found

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
