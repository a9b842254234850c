"""Odd numbers, texts, names and arrays that the structural edits put in place of usual ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "tab\there",
    "carriage\rreturn",
    "nothing\x7f\x08",
    "a::b",
    "..",
    "../outside",
    "%s%n{0}",
    "[bold]markup[/bold]",
    "right-to-left \u202eabc",
    "no width \u200b\ufeff",
    "-o",
    "$x_{",
    " ",
    "x" * 300,
    "ä" * 5000,
    "\U0001f600",
)
TEXTS = (
    *NAMES,
    "",
    "nan",
    "1e999",
    "-1",
    "0",
    "nhwc",
    "bfloat16",
    "null",
    "{}",
    "[" * 100_000,
    '{"a":' * 3000,
    "9" * 10_000,
    "word " * 40_000,
)
NUMBERS = (0, -1, 1, 3, 2**31, 2**62, 2**70, 10**400, 0.5, -0.0, 1e308, 5e-324)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))


def pick(rng: np.random.Generator, things: Any) -> Any:
    """Return one of several things, without NumPy's conversion of its type."""
    things = list(things)
    return things[int(rng.integers(len(things)))]


def other_values(array: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """Return an array of the same shape and type with odd values, and what is odd; numbers only."""
    array = array.copy()
    flat = array.reshape(-1)
    if array.dtype.kind not in "fiu" or not flat.size:
        return array, "nothing"
    some = rng.integers(flat.size, size=int(rng.integers(1, 4)))
    if array.dtype.kind == "f" and rng.random() < 0.5:
        value = pick(rng, NOT_FINITE)
        flat[some] = value
        return array, f"{value} in {len(some)} places"
    limits = np.finfo(array.dtype) if array.dtype.kind == "f" else np.iinfo(array.dtype)
    least = getattr(limits, "smallest_subnormal", limits.min)
    value = pick(rng, (0, limits.max, limits.min, least))
    where = pick(rng, (slice(None), some, slice(0, max(1, flat.size // 2))))
    flat[where] = value
    return array, f"finite {value} in {flat[where].size} places"


def other_shape(array: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """Return the values of an array in another shape, and which."""
    shape = array.shape or (1,)
    array = array.reshape(shape)
    made = pick(
        rng,
        (
            lambda: array[:-1],
            lambda: np.concatenate([array, array[:1]]),
            lambda: array[:1],
            lambda: array[:0],
            lambda: array[..., :0],
            lambda: array[..., None],
            lambda: array[None],
            lambda: array.reshape(-1),
            lambda: array.reshape(shape[0], -1),
            lambda: np.moveaxis(array, 0, -1),
            lambda: array[0],
            lambda: array.reshape(-1)[0],
            lambda: array.reshape((1,) * 28 + shape),
        ),
    )()
    made = np.asarray(made, array.dtype)
    return made, f"shape {made.shape} for {shape}"


TYPES = ("f2", "f4", "f8", ">f4", ">f8", "g", "c8", "i1", "i8", "u8", "?", "S4", "V2", "u2")


def other_type(array: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """Return the values of an array in another type, and which."""
    dtype = np.dtype(pick(rng, TYPES))
    with np.errstate(all="ignore"):
        try:
            made = array.astype(dtype)
        except (TypeError, ValueError):
            made = np.zeros(array.shape, dtype)
    if rng.random() < 0.1:
        made = np.zeros(array.shape, [("a", "f4"), ("b", "i2")])
    return made, f"type {made.dtype} for {array.dtype}"


ARRAY_EDITS = (other_values, other_shape, other_type)
