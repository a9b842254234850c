"""safetensors: a JSON header and the values behind it, in C order.

Source: the format's own description, https://huggingface.co/docs/safetensors. Its library maps files; of a
mapped file that is cut short, reading ends the process, so that the header is read here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import IO, Any

import numpy as np

from semrsm.names import natural_key
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.strided import strided_layer
from semrsm.storage.layer import Layer

LONGEST_HEADER = 16 << 20  # bytes; a name, a type and a shape for each of a hundred thousand arrays
LENGTH = 8  # bytes that hold the length of the header
DTYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2", "BOOL": "?", "C64": "<c8"},
    **{f"I{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}


def is_safetensors(path: Path, start: bytes) -> bool:
    """Say whether a file begins with the length of a JSON object and with that."""
    return start[LENGTH : LENGTH + 1] == b"{" and start[LENGTH - 2 : LENGTH] == b"\0\0"


def open_safetensors(path: Path) -> Contents:
    """Open a safetensors file."""
    stream = path.open("rb")
    try:
        header, offset = _header(stream)
        layers = [
            _layer_of(name, entry, stream, offset)
            for name, entry in header.items()
            if name != "__metadata__"
        ]
        # The library sorts arrays by their type and name; what they held before is not known.
        layers.sort(key=lambda layer: natural_key(layer.name))
    except BaseException:
        stream.close()
        raise
    return Contents({layer.name: layer for layer in layers}, stream.close)


def _header(stream: IO[bytes]) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(stream.read(LENGTH), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length} bytes, at most {LONGEST_HEADER} are read")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError(f"its header ends at byte {len(text)} of {length}")
    header = json.loads(text.decode())
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, LENGTH + length


def _layer_of(name: str, entry: dict[str, Any], stream: IO[bytes], offset: int) -> Layer:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has the shape {shape} and the place {begin} to {end}")
    if entry["dtype"] not in DTYPES:  # such as F8_E4M3: listed, not computed with
        values = end - begin
        return strided_layer(name, stream, offset + begin, np.dtype("V1"), (values,))
    dtype = np.dtype(DTYPES[entry["dtype"]])
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(
            f"{name} of shape {shape} and type {entry['dtype']} is said to have {end - begin} bytes"
        )
    return strided_layer(
        name, stream, offset + begin, dtype, shape, bfloat16=entry["dtype"] == "BF16"
    )
