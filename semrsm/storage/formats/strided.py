"""Arrays whose values lie in an open file at any strides: read in blocks of samples, never mapped."""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.storage.input_files import (
    read_at,
    refuse_more_than_memory,
    refuse_written,
    stamp_of,
)
from semrsm.storage.layer import Layer

LESS_THAN_SPAN = 4  # times the bytes of a block may be read to have it


def strided_layer(
    name: str,
    stream: IO[bytes],
    offset: int,
    dtype: np.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    bfloat16: bool = False,
) -> Layer:
    """Return an array that lies in an open file.

    Args:
        name: Its name.
        stream: The file.
        offset: Byte of its first value.
        dtype: Type of a value.
        shape: Its shape.
        strides: Values from one index of an axis to the next, at least 0; None in C order.
        bfloat16: Its values are bfloat16.

    Raises ValueError if the file ends before.
    """
    descriptor = stream.fileno()
    opened = [(descriptor, stamp_of(descriptor))]
    steps = _c_strides(shape) if strides is None else strides
    last = offset + _span(shape, steps) * dtype.itemsize
    if 0 not in shape and last > opened[0][1][1]:
        raise ValueError(f"{name} of shape {shape} ends at byte {last} of {opened[0][1][1]}")
    whole = _span(shape, steps) * dtype.itemsize
    row = _span((1, *shape[1:]), steps) * dtype.itemsize
    scattered = bool(shape) and row > LESS_THAN_SPAN * dtype.itemsize * math.prod(shape[1:])
    return Layer(
        name,
        shape,
        dtype,
        rows=lambda span: _read(descriptor, offset, dtype, shape, steps, span),
        bfloat16=bfloat16,
        loaded_bytes=whole if scattered else 0,
        refuse_written=lambda _: refuse_written(opened),
    )


def _c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many values there are from the first to the last of an array."""
    if 0 in shape:
        return 0
    return 1 + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))


def _read(
    descriptor: int,
    offset: int,
    dtype: np.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    span: slice,
) -> NDArray[Any]:
    if any(step == 0 < length - 1 for length, step in zip(shape, strides, strict=True)):
        raise ValueError("it repeats values (an expanded tensor); save its .clone()")
    samples = range(*span.indices(shape[0]))
    block = np.empty((len(samples), *shape[1:]), dtype)
    together = len(samples) if samples.step == 1 else 1
    for start in range(0, len(samples), max(1, together)):
        part = block[start : start + together]
        values = np.empty(_span(part.shape, strides), dtype)
        refuse_more_than_memory("what its samples lie in", values.nbytes, "save it in C order")
        read_at(descriptor, offset + samples[start] * strides[0] * dtype.itemsize, values)
        places = tuple(step * dtype.itemsize for step in strides)
        part[...] = np.lib.stride_tricks.as_strided(values, part.shape, places, writeable=False)
    return block
