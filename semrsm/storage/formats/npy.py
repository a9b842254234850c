""".npy: one NumPy array, read in blocks of samples; its header is bounded before it is read."""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.storage.damage import DAMAGE
from semrsm.storage.formats.contents import Contents
from semrsm.storage.input_files import read_at, refuse_written, stamp_of
from semrsm.storage.layer import Layer

LONGEST_HEADER = 10_000  # bytes; NumPy reads no longer one, but takes the memory first
LENGTHS = {(1, 0): 2, (2, 0): 4}  # version of the header -> bytes of its length
LONGEST_QUOTE = 100  # bytes of a header that a sentence shows
SPAN = 1 << 20  # bytes of short columns that are read at once


@dataclass(frozen=True)
class Header:
    """What the header of an array says.

    Attributes:
        shape: Its shape.
        fortran: Its first axis is the one that runs fastest.
        dtype: Its type.
        size: Bytes of the header; the values begin behind it.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    size: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> Header:
    """Read the header at the front of a stream; raise ValueError if it is none, or too long a one."""
    version = np.lib.format.read_magic(stream)
    if version not in LENGTHS:
        raise ValueError(f"its .npy header has version {version}, 1.0 and 2.0 are read")
    length_bytes = stream.read(LENGTHS[version])
    length = int.from_bytes(length_bytes, "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its .npy header has {length} bytes, at most {LONGEST_HEADER} are read")
    content = stream.read(length)
    text = io.BytesIO(length.to_bytes(4, "little") + content)
    try:
        with warnings.catch_warnings():  # of headers that Python 2 wrote
            warnings.simplefilter("ignore")
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(text)
    except DAMAGE as error:
        raise ValueError(f"its .npy header says {content[:LONGEST_QUOTE]!r}") from error
    if any(isinstance(axis, bool) or axis < 0 for axis in shape):
        raise ValueError(f"its .npy header says the shape {shape}")
    return Header(shape, fortran, dtype, 8 + len(length_bytes) + length)


def open_npy(path: Path) -> Contents:
    """Open a .npy file: its array has the file's name."""
    stream = path.open("rb")
    try:
        header = read_header(stream)
        layer = stored_layer(path.stem, stream, header, header.size)
    except BaseException:
        stream.close()
        raise
    return Contents({layer.name: layer}, stream.close, unnamed=True)


def stored_layer(name: str, stream: IO[bytes], header: Header, offset: int) -> Layer:
    """Return an array that lies in an open file as it is, its values from `offset` on.

    Raises ValueError if its header says more values than there are bytes.
    """
    descriptor = stream.fileno()
    opened = [(descriptor, stamp_of(descriptor))]
    if header.dtype.hasobject:
        return Layer(name, header.shape, header.dtype, rows=refuse_objects, pickled=True)
    refuse_longer(name, header, os.fstat(descriptor).st_size - offset)
    read = _read_columns if header.fortran and len(header.shape) > 1 else _read_rows
    return Layer(
        name,
        header.shape,
        header.dtype,
        rows=lambda span: read(descriptor, header, offset, span),
        refuse_written=lambda _: refuse_written(opened),
    )


def refuse_longer(name: str, header: Header, available: int) -> None:
    """Raise ValueError if a header says more values than there are bytes for."""
    if header.n_bytes > available and not header.dtype.hasobject:
        raise ValueError(
            f"{name} of shape {header.shape} and type {header.dtype} has {header.n_bytes} bytes, and"
            f" {max(0, available)} are there"
        )


def refuse_objects(_: slice) -> NDArray[Any]:
    """Raise ValueError: what is asked for are Python objects."""
    raise ValueError("it holds Python objects, which are never unpickled")


def _read_rows(descriptor: int, header: Header, offset: int, span: slice) -> NDArray[Any]:
    """Read samples that lie one behind the other."""
    samples = range(*span.indices(header.shape[0]))
    block = np.empty((len(samples), *header.shape[1:]), header.dtype)
    row_bytes = block[:1].nbytes
    if samples.step == 1:
        read_at(descriptor, offset + samples.start * row_bytes, block)
    else:
        for row, sample in enumerate(samples):
            read_at(descriptor, offset + sample * row_bytes, block[row : row + 1])
    return block


def _read_columns(descriptor: int, header: Header, offset: int, span: slice) -> NDArray[Any]:
    """Read samples of an array in Fortran order: every column holds one value of each sample."""
    n, *rest = header.shape
    samples = range(*span.indices(n))
    block = np.empty((math.prod(rest), len(samples)), header.dtype)
    column_bytes = n * header.dtype.itemsize
    together = SPAN // max(1, column_bytes)
    first, last = (samples[0], samples[-1] + 1) if samples else (0, 0)
    # Short columns are read whole, many at once; of long ones only the part that is wanted.
    count, start, stop = (together, 0, n) if together > 1 else (1, first, last)
    for column in range(0, len(block), count):
        part = np.empty((min(count, len(block) - column), stop - start), header.dtype)
        read_at(descriptor, offset + column * column_bytes + start * header.dtype.itemsize, part)
        block[column : column + count] = part[:, first - start : last - start : samples.step]
    return block.T.reshape((len(samples), *rest), order="F")
