"""Colour scales: which values the colours of matrices stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
CLIPPED = 0.005  # of the entries at either end lie outside the colour scale
ENOUGH = 4_000_000  # entries to find those ends among
BOTH_SIGNS = 0.1  # the smaller sign must reach this share of the larger one for a diverging scale
EXTENDS = {(True, True): "both", (True, False): "min", (False, True): "max"}

Limits = tuple[float | None, float | None]
NO_LIMITS: Limits = (None, None)


@dataclass(frozen=True)
class Scale:
    """A colour map and the values at its two ends.

    Attributes:
        colours: Name of the colour map.
        low: Value of the first colour.
        high: Value of the last colour.
        extend: Which ends some values lie beyond: "neither", "min", "max" or "both".
    """

    colours: str
    low: float
    high: float
    extend: str


def colour_scale(
    matrices: Sequence[NDArray[np.floating]],
    zero_counts: bool = False,
    diagonal: bool = False,
    limits: Limits = NO_LIMITS,
) -> Scale:
    """Return one colour scale for some matrices.

    It spans the entries but for the outermost 0.5 % at either end. It is diverging around zero where
    zero means something and both signs matter (the smaller reaches a tenth of the larger).

    Args:
        matrices: Any shapes; entries that are not finite do not count.
        zero_counts: Zero means something, as in inner products and correlations.
        diagonal: Count the diagonal of square matrices, too; self-similarity would hide the rest.
        limits: The values of the first and of the last colour, instead; None where none is asked for.

    Raises:
        SemrsmError: The limits leave no values between them.

    Example:
        >>> colour_scale([np.array([[9.0, 0.2], [0.4, 9.0]])]).extend
        'max'
    """
    values = _values(matrices, diagonal)
    low = float(np.quantile(values, CLIPPED, method="lower"))
    high = float(np.quantile(values, 1 - CLIPPED, method="higher"))
    both = low < 0 < high and min(-low, high) >= BOTH_SIGNS * max(-low, high)
    diverging = zero_counts and both
    if diverging:
        high = max(-low, high)
        low = -high
    return _limited(matrices, low, high, diverging, limits)


def range_scale(
    matrices: Sequence[NDArray[np.floating]],
    whole: tuple[float, float],
    limits: Limits = NO_LIMITS,
) -> Scale:
    """Return the colour scale of values that can only lie in a range: all of it.

    Of a range around zero the half above it does, where hardly any value lies below (less than a tenth
    of the largest); the scale is diverging where it spans both. An end that is infinite is that of the
    values.

    Args:
        matrices: The values; those that are not finite do not count.
        whole: (smallest, largest) possible value.
        limits: As in `colour_scale`.

    Example:
        >>> scale = range_scale([np.array([[0.4, 0.8]])], (-1.0, 1.0))
        >>> (scale.low, scale.high, scale.colours)
        (0.0, 1.0, 'viridis')
    """
    values = _values(matrices, True)
    least, most = float(values.min()), float(values.max())
    low, high = (
        end if math.isfinite(end) else from_values
        for end, from_values in zip(whole, (least, most), strict=True)
    )
    diverging = low < 0 < high and -least >= BOTH_SIGNS * max(most, -least)
    if diverging:
        high = max(-low, high)
        low = -high
    elif low < 0 < high:
        low = 0.0
    return _limited(matrices, low, high, diverging, limits)


def _limited(
    matrices: Sequence[NDArray[np.floating]],
    low: float,
    high: float,
    diverging: bool,
    limits: Limits,
) -> Scale:
    """Return a scale between two values, or between the limits that were asked for."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    for limit in limits:
        if limit is not None and not math.isfinite(limit):
            raise SemrsmError(f"an end of a colour scale is a number, not {limit}; give another")
    low, high = (low if limits[0] is None else limits[0], high if limits[1] is None else limits[1])
    if low >= high:
        raise SemrsmError(
            f"a colour scale from {low:g} to {high:g} holds nothing;"
            " `vmin` must be smaller than `vmax` and than the largest value"
        )
    below = any(bool((m < low).any()) for m in matrices)
    above = any(bool((m > high).any()) for m in matrices)
    colours = DIVERGING if diverging and low == -high else SEQUENTIAL
    return Scale(colours, low, high, EXTENDS.get((below, above), "neither"))


def _values(matrices: Sequence[NDArray[np.floating]], diagonal: bool) -> NDArray[np.float64]:
    """Return finite entries of some matrices; the diagonals, too, where there are no others."""
    enough = max(1, ENOUGH // len(matrices))
    parts = [_entries(m, diagonal or m.shape[0] != m.shape[1], enough) for m in matrices]
    values = np.concatenate(parts)
    if not values.size:
        values = np.concatenate([_entries(m, True, enough) for m in matrices])
    return values if values.size else np.zeros(1)


def _entries(matrix: NDArray[np.floating], diagonal: bool, enough: int) -> NDArray[np.float64]:
    """Return finite entries of a matrix, with or without its diagonal: all, or evenly spread ones."""
    kept = np.isfinite(matrix)
    if not diagonal:
        np.fill_diagonal(kept, False)
    entries = matrix[kept]
    return entries[:: 1 + entries.size // enough].astype(np.float64)
