"""Pairs of maps so alike that their distance would be rounding: matched again in float64.

The distance is what is left of s_i + s_j - 2 m_ij, so where two maps differ by a hundredth of their
size or less, an m from float32 products has too few digits for it. These pairs are read again and
matched in float64, and their m is the one that gives the distance of the matched positions, summed
from their differences. A usual run has few such pairs or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from semrsm.engine.blocks import Block
from semrsm.engine.maps import Maps
from semrsm.engine.matchers import Matches

ALIKE = 1e-4
"""Of the sizes of two maps: a smaller squared distance has fewer than three digits in float32."""


@dataclass(frozen=True)
class Again:
    """A pair that was matched again.

    Attributes:
        place: Which of the pairs it is.
        rows: The row sample, float64.
        columns: The column sample, float64.
        permutation: (1, S) int64.
        matched: (1,) float64, the matched inner product.
    """

    place: int
    rows: Maps
    columns: Maps
    permutation: Tensor
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
    places: Tensor,
    match: Callable[[Block, Block], Matches],
) -> Iterator[Again]:
    """Read the samples of some pairs again, in float64, and match them, one pair at a time.

    Args:
        rows: The block that `pairs[:, 0]` counts in.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.
        places: (K,) int64, which of the pairs.
        match: Matches two blocks of one sample each.
    """
    last = -1
    for place in places.tolist():
        i, j = pairs[place].tolist()
        if i != last:
            x, last = rows.again(i), i
        y = columns.again(j)
        permutation = match(x, y).permutation
        assert permutation is not None
        d2 = distance(x.maps, y.maps, permutation[0])
        half = (x.maps.squared_norm - d2) / 2 + y.maps.squared_norm / 2
        yield Again(place, x.maps, y.maps, permutation, half)


def distance(x: Maps, y: Maps, permutation: Tensor) -> Tensor:
    """Return the squared distance of two matched maps, sum_s |x_s - y_p(s)|^2, () float64.

    Args:
        x: One sample, float64.
        y: Another one.
        permutation: (S,) int64.
    """
    apart = x.scale * x.values[0] - (y.scale * y.values[0])[permutation]
    if x.mean is not None and y.mean is not None:
        apart += x.scale * x.mean - y.scale * y.mean
    return apart.flatten() @ apart.flatten()
