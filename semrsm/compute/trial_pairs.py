"""Which pairs the matchers are tried on: chunks of random pairs, of the size and shape of a run's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput

if TYPE_CHECKING:
    import torch

ROWS, COLUMNS = 4, 64  # samples of a chunk at most, as `engine.backends.cpu` orders pairs


@dataclass(frozen=True)
class Chunk:
    """Pairs that are matched at once: some row samples with some column samples.

    Attributes:
        rows: Numbers of the row samples.
        columns: Numbers of the column samples; none of them is a row.
        size: How many pairs count, row by row.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    size: int

    @property
    def pairs(self) -> torch.Tensor:
        """(P, 2) int64, counted among the rows and the columns."""
        import torch

        every = torch.cartesian_prod(torch.arange(len(self.rows)), torch.arange(len(self.columns)))
        return every[: self.size]


def chunks_of_pairs(n_samples: int, pairs: int, chunk: int, seed: int) -> Iterator[Chunk]:
    """Yield chunks of random pairs until there are enough.

    Args:
        n_samples: How many samples there are, at least 2.
        pairs: How many pairs in all.
        chunk: How many pairs a run matches at once.
        seed: Of the draw.

    >>> [(len(c.rows), len(c.columns), c.size) for c in chunks_of_pairs(300, 300, 256, seed=0)]
    [(4, 64, 256), (4, 11, 44)]
    >>> [(c.rows.tolist(), c.columns.tolist()) for c in chunks_of_pairs(4, 2, 1, seed=0)]
    [([2], [3]), ([1], [0])]
    """
    rng = np.random.default_rng(seed)
    done = 0
    while done < pairs:
        count = min(chunk, pairs - done)
        a = min(ROWS, n_samples // 2, max(1, int(count**0.5)))
        b = min(COLUMNS, n_samples - a, -(-count // a))
        size = min(count, a * b)
        samples = rng.choice(n_samples, a + b, replace=False)
        yield Chunk(samples[:a], samples[a:], size)
        done += size


def band_of(n_samples: int, seed: int) -> Chunk:
    """Return all pairs of up to 64 random samples with up to 64 others, about one product of a run."""
    samples = np.random.default_rng(seed).permutation(n_samples)
    a = min(COLUMNS, n_samples // 2)
    b = min(COLUMNS, n_samples - a)
    return Chunk(samples[:a], samples[a : a + b], a * b)


def read(layer: LayerInput, samples: NDArray[np.int64]) -> torch.Tensor:
    """Return some samples of a layer as position vectors, (len(samples), S, C)."""
    import torch

    return torch.cat([layer.vectors(range(i, i + 1)) for i in samples.tolist()])
