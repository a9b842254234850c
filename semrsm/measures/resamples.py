"""Resamples of samples, or of clusters of them: how often each sample counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats, Integers

CHUNK_BYTES = 2**24  # of the counts that are worked on at once
COUNTING = 12 * CHUNK_BYTES  # that resampling takes, whatever the measure

Weighted = Callable[[Floats], Floats]  # counts (b, n) -> values (b,), NaN where undefined
Tick = Callable[[int], None]  # is told how many counts are done


@dataclass(frozen=True)
class Resamples:
    """What is drawn of n samples; equal arguments give equal draws, so differences are paired.

    A pair of samples of two clusters counts c_i c_j times, a pair within a cluster as often as the
    cluster was drawn: the pairs of one copy of a cluster with another copy of it are dropped, as are
    pairs of a sample with its own copy.

    Attributes:
        clusters: (n,) int from 0 without gaps, equal for samples that are drawn together.
        n_resamples: How many bootstrap samples.
        seed: Seed of the draws.
        most_parts: The jackknife leaves out one of so many parts at a time, at most.
    """

    clusters: Integers
    n_resamples: int = 1000
    seed: int = 0
    most_parts: int = 500

    @classmethod
    def of(
        cls, n: int, n_resamples: int = 1000, seed: int = 0, clusters: Integers | None = None
    ) -> Resamples:
        """Return resamples of n samples; `clusters` (n,) says which belong together.

        Raises SemrsmError if all samples are one cluster.

        >>> Resamples.of(4, clusters=np.array([7, 9, 7, 8])).clusters.tolist()
        [0, 2, 0, 1]
        """
        codes = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
        if codes.max() == 0:
            raise SemrsmError("all samples are one cluster; give at least two clusters")
        return cls(codes, n_resamples, seed)

    @property
    def n_clusters(self) -> int:
        """How many clusters are drawn from."""
        return int(self.clusters.max()) + 1

    @property
    def n_parts(self) -> int:
        """How many parts the jackknife leaves out, one at a time."""
        return min(self.n_clusters, self.most_parts)

    def drawn(self) -> Iterator[Floats]:
        """Yield the counts (b, n) of bootstrap samples, as many clusters with replacement as there are.

        >>> [counts.tolist() for counts in Resamples.of(3, 1, seed=1).drawn()]
        [[1.0, 1.0, 1.0]]
        """
        draws, k = np.random.default_rng(self.seed), self.n_clusters
        for size in self._chunks(self.n_resamples):
            drawn = draws.integers(0, k, (size, k)) + k * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * k).reshape(size, k)
            yield counts[:, self.clusters].astype(np.float64)

    def left_out(self) -> Iterator[Floats]:
        """Yield the counts (b, n), 0 or 1, that leave out one cluster, or one of `n_parts` parts.

        >>> [counts.tolist() for counts in Resamples.of(2).left_out()]
        [[[0.0, 1.0], [1.0, 0.0]]]
        """
        parts = np.arange(self.n_clusters) % self.n_parts
        if self.n_parts < self.n_clusters:
            parts = np.random.default_rng([self.seed, 1]).permutation(parts)
        of_sample, done = parts[self.clusters], 0
        for size in self._chunks(self.n_parts):
            yield (of_sample != np.arange(done, done + size)[:, None]).astype(np.float64)
            done += size

    def _chunks(self, total: int) -> Iterator[int]:
        step = max(1, CHUNK_BYTES // (8 * len(self.clusters)))
        for start in range(0, total, step):
            yield min(step, total - start)


def pair_weights(counts: Floats, clusters: Integers, chosen: Integers) -> Floats:
    """Return how often each pair of the samples `chosen` counts, (k, k), 0 on the diagonal.

    Args:
        counts: (n,) how often each sample counts.
        clusters: (n,) which samples were drawn together.
        chosen: (k,) samples.

    >>> pair_weights(np.array([2.0, 2.0, 3.0]), np.array([0, 0, 1]), np.arange(3)).tolist()
    [[0.0, 2.0, 6.0], [2.0, 0.0, 6.0], [6.0, 6.0, 0.0]]
    """
    c, of = counts[chosen], clusters[chosen]
    weights = np.where(of[:, None] == of, c, np.outer(c, c))
    np.fill_diagonal(weights, 0.0)
    return weights
