"""Pairs of maps so alike that their distance would be rounding: matched again in float64.

The distance is what is left of s_i + s_j - 2 m_ij, so where two maps differ by a hundredth of their
size or less, an m from float32 products has too few digits for it. These pairs are read again and
matched in float64, and their m is the one that gives the distance of the matched positions, summed
from their differences. A usual run has few such pairs or none; the frames of a video are many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.blocks import Block
from semrsm.engine.maps import Maps
from semrsm.engine.matchers import Matches

ALIKE = 1e-4
"""Of the sizes of two maps: a smaller squared distance has fewer than three digits in float32."""


@dataclass(frozen=True)
class Again:
    """K pairs that were matched again.

    Attributes:
        places: (K,) int64, which of the pairs they are.
        rows: The row samples among them, float64.
        columns: The column samples.
        pairs: (K, 2) int64, counted in these.
        matches: What was found for the stored values.
        matched: (K,) float64, the matched inner products.
    """

    places: Tensor
    rows: Block
    columns: Block
    pairs: Tensor
    matches: Matches
    matched: Tensor


def alike(rows: Maps, columns: Maps, pairs: Tensor, matched: Tensor) -> Tensor:
    """Say which pairs are alike: (P,) bool.

    What all positions of a map share is no part of its size here: centred, it costs no digits.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64.
        matched: (P,) float64, matched inner products.
    """
    i, j = pairs.unbind(1)
    d2 = rows.squared_norm[i] + columns.squared_norm[j] - 2 * matched
    return d2 < ALIKE * (rows.spread[i] + columns.spread[j])


def match_again(
    rows: Block,
    columns: Block,
    pairs: Tensor,
    match: Callable[[Block, Block, Tensor], Matches],
    batches: Iterable[Tensor],
) -> Iterator[Again]:
    """Read the samples of some pairs again, in float64, and match them, batch by batch.

    Args:
        rows: The block that `pairs[:, 0]` counts in.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.
        match: Matches pairs of two blocks.
        batches: (K,) int64 each, which of the pairs.
    """
    for places in batches:
        i, i_of = pairs[places, 0].unique(return_inverse=True)
        j, j_of = pairs[places, 1].unique(return_inverse=True)
        x, y = rows.again(i.tolist()), columns.again(j.tolist())
        local_pairs = torch.stack([i_of, j_of], dim=1)
        matches = match(x, y, local_pairs)
        assert matches.permutation is not None
        d2 = torch.stack(
            [
                distance(x.maps, y.maps, pair, p)
                for pair, p in zip(local_pairs.tolist(), matches.permutation, strict=True)
            ]
        )
        half = (x.maps.squared_norm[i_of] - d2) / 2 + y.maps.squared_norm[j_of] / 2
        yield Again(places, x, y, local_pairs, matches, half)


def batches_of(
    pairs: Tensor, places: Tensor, sample_bytes: int, pair_bytes: int, memory: int
) -> Iterator[Tensor]:
    """Yield some places, (K,) int64 each, so that the pairs there and their samples fit in memory.

    They go through the side of which more samples are there, so that these are in one batch each. A
    pair that does not fit is a batch of its own.

    Args:
        pairs: (P, 2) int64.
        places: (Q,) int64, which of the pairs.
        sample_bytes: What a sample takes.
        pair_bytes: What a pair takes.
        memory: In bytes.

    >>> pairs = torch.tensor([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]])
    >>> [b.tolist() for b in batches_of(pairs, torch.arange(5), 10, 1, 34)]
    [[0, 3], [1, 4], [2]]
    """
    i, j = pairs[places].unbind(1)
    many = i if len(i.unique()) > len(j.unique()) else j
    places = places[many.argsort(stable=True)]
    batch: list[int] = []
    samples: set[tuple[int, int]] = set()
    for place, (i, j) in zip(places.tolist(), pairs[places].tolist(), strict=True):
        these = {(0, i), (1, j)}
        count = len(samples) + len(these - samples)
        if batch and count * sample_bytes + (len(batch) + 1) * pair_bytes > memory:
            yield torch.tensor(batch)
            batch, samples = [], set()
        batch.append(place)
        samples |= these
    if batch:
        yield torch.tensor(batch)


def distance(rows: Maps, columns: Maps, pair: Sequence[int], permutation: Tensor) -> Tensor:
    """Return the squared distance of two matched maps, sum_s |x_s - y_p(s)|^2, () float64.

    Args:
        rows: Float64.
        columns: Float64.
        pair: A sample of each.
        permutation: (S,) int64.
    """
    i, j = pair
    apart = rows.scale[i] * rows.values[i] - (columns.scale[j] * columns.values[j])[permutation]
    if rows.mean is not None and columns.mean is not None:
        apart += rows.scale[i] * rows.mean[i] - columns.scale[j] * columns.mean[j]
    return apart.flatten() @ apart.flatten()
