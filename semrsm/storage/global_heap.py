"""HDF5's global heap, where texts lie: it has no checksum, and libhdf5 reads some damaged ones without end.

The layout is that of the HDF5 file format specification, III.E, with lengths of 8 bytes: a collection
is "GCOL", a version and three bytes, its size; then objects, each with index (2 bytes), references (2),
4 bytes, size (8) and content, filled up to a multiple of 8; the object of index 0 is the space left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from semrsm.errors import SemrsmError

SIGNATURE = b"GCOL"
BLOCK_BYTES = 32 << 20
HEADER = 16  # bytes before the first object, and before the content of each


def refuse_endless(path: Path) -> None:
    """Raise SemrsmError if reading the texts of a file might not end; all of the file is read."""
    with path.open("rb") as stream:
        for place in _collections(stream):
            if not _ends(stream, place):
                raise SemrsmError(
                    f"the texts at byte {place} are damaged; numbers do not depend on them, but compute"
                    " it again"
                )


def _collections(stream: BinaryIO) -> Iterator[int]:
    """Yield where a collection might begin."""
    start, tail = 0, b""
    while block := stream.read(BLOCK_BYTES):
        content, first = tail + block, start - len(tail)
        place = content.find(SIGNATURE)
        while place >= 0:
            yield first + place
            place = content.find(SIGNATURE, place + 1)
        start, tail = start + len(block), content[1 - len(SIGNATURE) :]
        stream.seek(start)  # whoever was given a place has read there


def _ends(stream: BinaryIO, place: int) -> bool:
    """Say whether the objects of a collection follow each other up to its end."""
    stream.seek(place + 8)
    size = int.from_bytes(stream.read(8), "little")
    stream.seek(0, 2)
    if size > stream.tell() - place:
        return True  # libhdf5 refuses that itself; or these are numbers that look like a collection
    at = HEADER
    while at + HEADER <= size:
        stream.seek(place + at)
        index, _, _, length = struct.unpack("<HHIQ", stream.read(HEADER))
        step = length if index == 0 else HEADER + -(-length // 8) * 8
        if not HEADER <= step <= size - at:
            return False
        at += step
    return True
