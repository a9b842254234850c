"""The types that activations are stored in, and turning NumPy arrays into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError


@dataclass(frozen=True)
class FloatType:
    """A type that activations are stored in.

    Attributes:
        name: "float16", "bfloat16" or "float32".
        dtype: What the file holds; bfloat16 lies in uint16 with an attribute `dtype`.
        beyond: The smallest number that would be stored as infinity.
        normal: Smaller numbers than this lose precision, or become zero.
        summary: What it is good for.
    """

    name: str
    dtype: np.dtype
    beyond: float
    normal: float
    summary: str

    def refuse_overflow(self, largest: float) -> None:
        """Raise SemrsmError if a finite number is too large; `largest` may be infinite or NaN.

        >>> FLOAT_TYPES["float16"].refuse_overflow(7e4)
        Traceback (most recent call last):
        semrsm.errors.SemrsmError: a value of 7e+04 is more than float16 holds (65504): bfloat16 holds it
        """
        if self.beyond <= largest < np.inf:
            wider = [t.name for t in FLOAT_TYPES.values() if largest < t.beyond]
            remedy = f"{' and '.join(wider)} hold it" if wider else "scale the activations"
            raise SemrsmError(
                f"a value of {largest:.4g} is more than {self.name} holds ({_largest(self):.5g}): {remedy}"
            )


def _largest(kind: FloatType) -> float:
    mantissa = {"float16": 10, "bfloat16": 7, "float32": 23}[kind.name]
    return kind.beyond * (2 - 2**-mantissa) / (2 - 2 ** -(mantissa + 1))


# `beyond` is the largest number plus half a unit of its last place, from where it rounds to infinity.
FLOAT_TYPES: dict[str, FloatType] = {
    t.name: t
    for t in (
        FloatType(
            "float16",
            np.dtype("<f2"),
            65520.0,
            2.0**-14,
            "2 bytes, 3 digits, up to 65504",
        ),
        FloatType(
            "bfloat16",
            np.dtype("<u2"),
            2.0**127 * (2 - 2.0**-8),
            2.0**-126,
            "2 bytes, 2 digits, as large as float32",
        ),
        FloatType(
            "float32",
            np.dtype("<f4"),
            2.0**127 * (2 - 2.0**-24),
            2.0**-126,
            "4 bytes, 7 digits",
        ),
    )
}


def to_stored(values: NDArray[Any], kind: FloatType, first: int = 0) -> NDArray[Any]:
    """Return activations as a file holds them, rounded to the nearest, ties to even.

    Args:
        values: float16, float32 or float64.
        kind: A row of FLOAT_TYPES.
        first: What number the first sample has, for errors.

    Raises:
        SemrsmError: They are no floats, or a finite one is too large, with the sample.

    >>> to_stored(np.float32([1.0, -2.5]), FLOAT_TYPES["bfloat16"])
    array([16256, 49184], dtype=uint16)
    """
    if values.dtype.kind != "f":
        raise SemrsmError(f"it has type {values.dtype}, not floats; give float activations")
    if values.size and not -kind.beyond < float(values.min()) <= float(values.max()) < kind.beyond:
        for sample, row in enumerate(values):  # NaN and infinity are stored as they are
            finite = np.abs(row)[np.isfinite(row)]
            try:
                kind.refuse_overflow(float(finite.max(initial=0.0)))
            except SemrsmError as error:
                raise error.within(f"sample {first + sample}") from error
    if kind.name == "bfloat16":
        return _to_bfloat16(values)
    return np.ascontiguousarray(values, kind.dtype)


def _to_bfloat16(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet = (bits >> 16) | 0x40  # NaN stays NaN, whatever its last bits are
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)
