"""Representational similarity analysis: correlations of the pairs i < j of two RSMs.

The diagonal is never read: with it, unrelated RSMs seem alike.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import (
    Floats,
    Integers,
    Matrix,
    check_same_size,
    power_of_two_above,
    upper_triangle,
)

CHUNK = 2**20  # pairs that are multiplied at once

PairValues = NDArray[np.floating[Any]]
Pairs = TypeVar("Pairs", bound=NDArray[Any])


@dataclass(frozen=True)
class Ranks:
    """The ranks of m values, ties averaged, doubled and centred so that they are whole numbers.

    Attributes:
        values: (m,) int32 or int64, 2 rank - (m + 1), rank from 1 to m; they sum to 0.
        tied_pairs: How many pairs of values are equal.
        tied_cubes: Sum of t³ - t over the groups of t equal values.
    """

    values: NDArray[np.signedinteger[Any]]
    tied_pairs: int
    tied_cubes: int


def prepare_cosine(matrix: Matrix) -> Floats:
    """Return the pairs i < j of an RSM as a unit vector, (m,). Raises SemrsmError if all are 0."""
    return unit_vector(upper_triangle(matrix, at_least=3))


def prepare_pearson(matrix: Matrix) -> Floats:
    """Return the centred pairs i < j as a unit vector, (m,). Raises SemrsmError if all are equal."""
    return centred_unit_vector(upper_triangle(matrix, at_least=3))


def prepare_ranks(matrix: Matrix) -> Ranks:
    """Rank the pairs i < j of an RSM. Raises SemrsmError if all are equal."""
    return centred_ranks(upper_triangle(matrix, at_least=3))


def unit_vector(values: PairValues) -> Floats:
    """Return `values` (m,) divided by their norm, float64."""
    largest = float(np.abs(values).max())
    if largest == 0:
        raise SemrsmError(
            "the RSM is zero off the diagonal, so this measure is undefined; choose another layer"
        )
    unit = values.astype(np.float64)
    unit /= power_of_two_above(largest)
    unit /= np.sqrt(np.vdot(unit, unit))
    return unit


def centred_unit_vector(values: PairValues) -> Floats:
    """Return `values` (m,) minus their mean, divided by the norm, float64."""
    _check_not_constant(values)
    centred = values.astype(np.float64)
    centred /= power_of_two_above(float(np.abs(values).max()))
    centred -= centred[0]  # a common offset costs no digits of the mean
    centred -= centred.mean()
    return unit_vector(centred)


def centred_ranks(values: PairValues) -> Ranks:
    """Rank `values` (m,), equal values sharing the mean of their ranks.

    >>> centred_ranks(np.array([0.5, 0.1, 0.5])).values.tolist()
    [1, -2, 1]
    """
    _check_not_constant(values)
    m = len(values)
    dtype: type[np.signedinteger[Any]] = np.int32 if m < 2**30 else np.int64
    order, ordered = _ascending(values)
    bounds = _group_bounds(ordered).astype(dtype)
    del ordered
    sizes = np.diff(bounds)
    ranks = np.empty(m, dtype)
    ranks[order] = np.repeat(bounds[:-1] + bounds[1:] - m, sizes)
    groups = zip(*map(np.ndarray.tolist, np.unique(sizes, return_counts=True)), strict=True)
    tied = [(t, times) for t, times in groups if t > 1]
    return Ranks(
        values=ranks,
        tied_pairs=sum(times * (t * (t - 1) // 2) for t, times in tied),
        tied_cubes=sum(times * (t**3 - t) for t, times in tied),
    )


def compare_vectors(x: Floats, y: Floats) -> float:
    """Return the cosine of two unit vectors of pairs. Raises SemrsmError if they differ in n."""
    _check_same_pairs(x, y)
    return float(np.clip(np.vdot(x, y), -1.0, 1.0))


def compare_spearman(x: Ranks, y: Ranks) -> float:
    """Return the correlation of two rankings. Raises SemrsmError if they differ in n."""
    cubes = len(x.values) ** 3 - len(x.values)
    norm = np.sqrt(float(cubes - x.tied_cubes)) * np.sqrt(float(cubes - y.tied_cubes))
    return float(np.clip(3 * _dot(x, y) / norm, -1.0, 1.0))


def compare_rho_a(x: Ranks, y: Ranks) -> float:
    """Return the mean Spearman correlation over all ways to break the ties.

    Raises SemrsmError if the rankings differ in n.
    """
    cubes = len(x.values) ** 3 - len(x.values)
    return float(np.clip(3 * _dot(x, y) / cubes, -1.0, 1.0))


def compare_tau_b(x: Ranks, y: Ranks) -> float:
    """Return Kendall's tau-b of two rankings, O(m log m). Raises SemrsmError if they differ in n."""
    from scipy import stats  # takes half a second to load

    _check_same_pairs(x.values, y.values)
    return float(stats.kendalltau(x.values, y.values, method="asymptotic").statistic)


def compare_tau_a(x: Ranks, y: Ranks) -> float:
    """Return Kendall's tau-a of two rankings: tau-b with its correction for ties taken back.

    Raises SemrsmError if the rankings differ in n.
    """
    pairs = len(x.values) * (len(x.values) - 1) // 2
    untied = np.sqrt(1 - x.tied_pairs / pairs) * np.sqrt(1 - y.tied_pairs / pairs)
    return compare_tau_b(x, y) * float(untied)


def permute_vector(values: Pairs, order: Integers) -> Pairs:
    """Return the pairs i < j (m,) of the samples in another order, float or integer.

    >>> permute_vector(np.array([0.1, 0.2, 0.3]), np.array([0, 2, 1])).tolist()
    [0.2, 0.1, 0.3]
    """
    n, permuted, at = len(order), np.empty_like(values), 0
    step = max(1, CHUNK // n)
    for start in range(0, n, step):
        rows = order[start : start + step, None]
        low, high = np.minimum(rows, order), np.maximum(rows, order)
        places = low * (2 * n - low - 1) // 2 + high - low - 1
        later = np.arange(n) > np.arange(start, start + len(rows))[:, None]
        part = values[places[later]]
        permuted[at : at + len(part)] = part
        at += len(part)
    return permuted


def permute_ranks(ranks: Ranks, order: Integers) -> Ranks:
    """Return the ranks of the pairs of the samples in another order."""
    return dataclasses.replace(ranks, values=permute_vector(ranks.values, order))


def _ascending(values: PairValues) -> tuple[Integers, NDArray[Any]]:
    """The order that sorts `values`, and in that order numbers that are equal where values are."""
    if values.dtype != np.float32 or len(values) > 2**32:
        # Of 16 bits the stable sort is a radix sort, several times as fast.
        order = np.argsort(values, kind="stable" if values.dtype.itemsize <= 2 else None)
        return order, values[order]
    # value and place in one 64-bit key: sorting keys is three times as fast as argsort
    bits = (values + np.float32(0.0)).view(np.uint32)  # -0.0 becomes 0.0, which equals it
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(2**31)).astype(np.uint64)
    del bits
    keys <<= np.uint64(32)
    keys |= np.arange(len(values), dtype=np.uint64)
    keys.sort()
    places = (keys & np.uint64(2**32 - 1)).view(np.int64)
    keys >>= np.uint64(32)
    return places, keys


def _group_bounds(ordered: NDArray[Any]) -> NDArray[np.int64]:
    """Where each group of equal values begins, and the end of the last."""
    changes = np.ones(len(ordered) + 1, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=changes[1:-1])
    return np.flatnonzero(changes)


def _dot(x: Ranks, y: Ranks) -> float:
    _check_same_pairs(x.values, y.values)
    chunks = (slice(at, at + CHUNK) for at in range(0, len(x.values), CHUNK))
    return sum(float(x.values[c].astype(float) @ y.values[c].astype(float)) for c in chunks)


def _check_not_constant(values: PairValues) -> None:
    if values.min() == values.max():
        raise SemrsmError(
            "the RSM is constant off the diagonal, so this measure is undefined;"
            " choose samples that differ"
        )


def _check_same_pairs(x: NDArray[Any], y: NDArray[Any]) -> None:
    check_same_size(_samples(len(x)), _samples(len(y)))


def _samples(pairs: int) -> int:
    return round((1 + np.sqrt(1 + 8 * pairs)) / 2)
