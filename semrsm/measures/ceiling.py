"""Noise ceilings: how well any RSM could do, given how much RSMs of one kind differ from each other.

The upper bound compares every RSM with the mean of all, itself among them, which fits them best; the
lower one with the mean of the others. A model between the two explains what can be explained.

H. Nili et al.: A toolbox for representational similarity analysis. PLoS Comput Biol 10, 2014,
doi:10.1371/journal.pcbi.1003553.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.cka import Centred, compare_centred_many
from semrsm.measures.matrices import Floats
from semrsm.measures.rsa import Ranks, centred_ranks

Compare = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Ceiling:
    """The noise ceiling of a measure over several RSMs.

    Attributes:
        lower: Mean of the measure of each RSM and the mean of the others.
        upper: Mean of the measure of each RSM and the mean of all.
    """

    lower: float
    upper: float


def of_cosines(cosines: Floats) -> Ceiling:
    """Return the ceiling of a measure that is a cosine, from the cosines of all pairs of RSMs.

    The mean is that of the RSMs as unit vectors, centred where the measure centres them; so its cosine
    with each of them follows from their cosines with each other, and no mean need be made.

    Args:
        cosines: (r, r) float64, symmetric, 1 on the diagonal.

    Raises:
        SemrsmError: The mean of all RSMs, or of all but one, is zero.

    >>> round(of_cosines(np.array([[1.0, 0.5], [0.5, 1.0]])).upper, 4)
    0.866
    """
    upper = _cosines_with_mean(cosines, np.ones_like(cosines))
    others = _cosines_with_mean(cosines, 1.0 - np.eye(len(cosines)))
    return Ceiling(float(others.mean()), float(upper.mean()))


def _cosines_with_mean(cosines: Floats, members: Floats) -> Floats:
    """Return the cosine of each RSM i with the mean of those j where members_ij is 1, (r,)."""
    squares = np.einsum("ij,jk,ik->i", members, cosines, members)
    if not (squares > 1e-12 * len(cosines)).all():
        raise SemrsmError("the RSMs cancel in their mean, so there is no noise ceiling")
    return (members * cosines).sum(axis=1) / np.sqrt(squares)


def of_centred(prepared: Sequence[Centred], compare: Compare) -> Ceiling:
    """Return the ceiling of a measure of centred matrices, each read once."""
    pairs = list(combinations(range(len(prepared)), 2))
    return of_cosines(_table(len(prepared), pairs, compare_centred_many(prepared, pairs)))


def of_vectors(prepared: Sequence[Floats], compare: Compare) -> Ceiling:
    """Return the ceiling of a measure of unit vectors."""
    pairs = list(combinations(range(len(prepared)), 2))
    return of_cosines(
        _table(len(prepared), pairs, [compare(prepared[i], prepared[j]) for i, j in pairs])
    )


def _table(n: int, pairs: Sequence[tuple[int, int]], values: Sequence[float]) -> Floats:
    table = np.eye(n)
    for (i, j), value in zip(pairs, values, strict=True):
        table[i, j] = table[j, i] = value
    return table


def of_ranks(prepared: Sequence[Ranks], compare: Compare) -> Ceiling:
    """Return the ceiling of a measure of ranks: the mean is the ranking of the mean ranks.

    For Spearman's correlations that is the best there is; for Kendall's tau it is nearly so.

    Raises:
        SemrsmError: The mean ranks of all RSMs, or of all but one, are equal.
    """
    total = np.zeros(len(prepared[0].values), np.int64)
    for ranks in prepared:
        total += ranks.values
    every = centred_ranks(total.astype(np.float64))
    upper = float(np.mean([compare(every, ranks) for ranks in prepared]))
    del every
    lower = [
        compare(centred_ranks((total - own.values).astype(np.float64)), own) for own in prepared
    ]
    return Ceiling(float(np.mean(lower)), upper)
