"""The checksums that an RSM file has beyond those of HDF5, as FORMAT.md documents them.

HDF5 sums up its own structures and, by Fletcher-32, every chunk of numbers; it does not sum up texts
(and may read damaged ones without end), and Fletcher-32 takes 0x0000 for 0xFFFF. So every row has a
CRC-32, and what is said in texts stands once more in records, which are bytes with a SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def row_checksums(block: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the CRC-32 of the bytes of each row of (k, m) numbers, (k,) uint32; (m,) is one row.

    >>> row_checksums(np.zeros((2, 1), np.float32)).tolist()
    [558161692, 558161692]
    """
    rows = np.ascontiguousarray(np.atleast_2d(block))
    return np.fromiter((zlib.crc32(row) for row in rows), np.uint32, len(rows))


def record_of(value: Any) -> NDArray[np.uint8]:
    """Return a plain value as a record, (k,) uint8: SHA-256 in hexadecimal, line feed, JSON.

    >>> bytes(record_of(["a", "b"]))[:16], value_of(record_of(["a", "b"]))
    (b'3554d2b8a1e34099', ['a', 'b'])
    """
    content = json.dumps(value).encode()
    return np.frombuffer(digest_of(content).encode() + b"\n" + content, np.uint8)


def value_of(record: NDArray[np.uint8]) -> Any:
    """Return the value that a record holds; raise ValueError if it is not what was written."""
    digest, _, content = record.tobytes().partition(b"\n")
    if digest_of(content).encode() != digest:
        raise ValueError("its record is not what was written")
    return json.loads(content)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
