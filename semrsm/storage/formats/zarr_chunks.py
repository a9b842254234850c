"""The chunks of a Zarr array as files: which are there, which samples they lack, how large they unpack to."""

from __future__ import annotations

import bz2
import functools
import lzma
import math
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.machine import job_memory
from semrsm.storage.input_files import Stamp, refuse_irregular, refuse_written, stamp_of
from semrsm.storage.layer import Gap, gaps_between

MISSING = 2**64 - 1  # where a shard's index has no chunk
KEY = re.compile(r"(?:c[./])?(\d{1,18}(?:[./]\d{1,18})*)", re.ASCII)
NOT_THERE = (
    "their chunks are not there, as they were never written, or hold the fill value alone and were left"
    " out (write_empty_chunks=True has Zarr write them)"
)


@dataclass(frozen=True)
class Sharding:
    """How shards hold chunks: how many along each axis, and where their index is, with a checksum or not."""

    per_shard: tuple[int, ...]
    at_end: bool
    checksum: bool

    def index(self, path: Path) -> NDArray[np.uint64]:
        """Return offset and bytes of the chunks of a shard, by their place in it, or MISSING."""
        n = math.prod(self.per_shard)
        size = 16 * n + 4 * self.checksum
        with path.open("rb") as stream:
            if self.at_end:
                stream.seek(-size, os.SEEK_END)
            content = stream.read(size)
        if len(content) < size:
            raise ValueError(f"the shard {path.name} ends before its index")
        return np.frombuffer(content, "<u8", 2 * n).reshape(*self.per_shard, 2)


class Chunks:
    """The files of an array, as they were when it was opened.

    Args:
        folder: Of the array.
        shape: Of the array.
        chunks: Shape of a chunk.
        sharding: How shards hold them; None where each is a file.
        packing: What packs them, a key of PACKINGS, or None.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        sharding: Sharding | None,
        packing: str | None,
    ) -> None:
        self.shape, self.chunks, self.sharding, self._packing = shape, chunks, sharding, packing
        self._unpackable: set[Path] = set()
        per_file = sharding.per_shard if sharding else (1,) * len(shape)
        self.edges = tuple(a * b for a, b in zip(chunks, per_file, strict=True))
        self.files = dict(self._files_of(folder))
        self._stamps: dict[int, list[tuple[Path, Stamp]]] = {}
        for place, path in self.files.items():
            self._stamps.setdefault(place[0], []).append((path, stamp_of(path)))

    def _files_of(self, folder: Path) -> list[tuple[tuple[int, ...], Path]]:
        grid = [-(-n // edge) for n, edge in zip(self.shape, self.edges, strict=True)]
        files = []
        for top, _, names in os.walk(folder):
            for name in names:
                path = Path(top, name)
                match = KEY.fullmatch(path.relative_to(folder).as_posix())
                place = tuple(map(int, re.split("[./]", match[1]))) if match else ()
                if len(place) == len(grid) and all(p < g for p, g in zip(place, grid, strict=True)):
                    refuse_irregular(path)
                    files.append((place, path))
        return files

    def _rows(self, samples: slice) -> Sequence[int]:
        """Return the rows of files that some samples lie in."""
        numbers = range(*samples.indices(self.shape[0]))
        edge = self.edges[0]
        return range(numbers[0] // edge, numbers[-1] // edge + 1) if numbers else range(0)

    def refuse_written(self, samples: slice) -> None:
        """Raise WrittenError if a file of some samples is not what it was."""
        for row in self._rows(samples):
            refuse_written(self._stamps.get(row, ()))

    def refuse_bombs(self, samples: slice, n_bytes: int) -> None:
        """Raise ValueError if a chunk of some samples would unpack to more than so many bytes."""
        for row in self._rows(samples):
            for path, stamp in self._stamps.get(row, ()):
                if self._packing is not None and path not in self._unpackable:
                    for offset, packed in self._places(path, stamp[1]):
                        _refuse_bomb(path, offset, packed, PACKINGS[self._packing], n_bytes)
                    self._unpackable.add(path)

    def _places(self, path: Path, size: int) -> list[tuple[int, int]]:
        """Return where the chunks of a file lie: offset and bytes."""
        if self.sharding is None:
            return [(0, size)]
        index = self.sharding.index(path).reshape(-1, 2)
        return [
            (int(a), int(n)) for a, n in index if MISSING not in (a, n) and int(a) + int(n) <= size
        ]

    @functools.cached_property
    def gaps(self) -> list[Gap]:
        """The samples whose chunks are not all there."""
        grid = [-(-n // edge) for n, edge in zip(self.shape, self.chunks, strict=True)]
        if self.sharding is None and len(self.files) == math.prod(grid):
            return []
        counts: dict[int, int] = {}
        for place, path in self.files.items():
            for row, count in self._chunks_in(place, path, grid).items():
                counts[row] = counts.get(row, 0) + count
        return gaps_between(counts, math.prod(grid[1:]), self.chunks[0], self.shape[0], NOT_THERE)

    def _chunks_in(
        self, place: tuple[int, ...], path: Path, grid: Sequence[int]
    ) -> Mapping[int, int]:
        """Return how many chunks of the array a file holds, by their row."""
        if self.sharding is None:
            return {place[0]: 1}
        there = (self.sharding.index(path) != MISSING).any(-1)
        first = [p * k for p, k in zip(place, self.sharding.per_shard, strict=True)]
        inside = tuple(slice(0, max(0, g - f)) for g, f in zip(grid, first, strict=True))
        counts = there[inside].reshape(there[inside].shape[0], -1).sum(1)
        return {first[0] + k: int(count) for k, count in enumerate(counts)}


@dataclass(frozen=True)
class Packing:
    """How large a packed chunk may become.

    Attributes:
        ratio: So many times its size at most.
        head: Bytes at its front that tell to how many it unpacks; None where it must be unpacked for that.
        size_of: (these bytes, or all of it, limit) -> to how many it unpacks, as far as the limit and
            beyond.
    """

    ratio: int
    head: int | None
    size_of: Callable[[bytes, int], int]


def _refuse_bomb(path: Path, offset: int, packed: int, packing: Packing, n_bytes: int) -> None:
    if packed * packing.ratio <= job_memory():
        return
    with path.open("rb") as stream:
        stream.seek(offset)
        content = stream.read(packed if packing.head is None else min(packed, packing.head))
    size = packing.size_of(content, n_bytes)
    if size > n_bytes:
        raise ValueError(
            f"{path.name} unpacks to {size} bytes or more, and a chunk takes {n_bytes} at most"
        )


def _of_zstd(content: bytes, _: int) -> int:
    """Return the size that a Zstandard frame tells, or else what its blocks unpack to at most.

    Source: RFC 8878, sections 3.1.1.1 (header) and 3.1.1.2 (blocks).
    """
    flags = content[4]
    single, code = flags >> 5 & 1, flags >> 6
    begin = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if code or single:
        field = content[begin : begin + (1, 2, 4, 8)[code]]
        return int.from_bytes(field, "little") + 256 * (code == 1)
    size, last = 0, False
    while not last:
        block = int.from_bytes(content[begin : begin + 3], "little")
        last, kind, length = bool(block & 1) or begin >= len(content), block >> 1 & 3, block >> 3
        size += ZSTD_BLOCK if kind == 2 else length
        begin += 3 + (1 if kind == 1 else length)  # a byte that is repeated, or what is packed
    return size


def _size_at(begin: int) -> Callable[[bytes, int], int]:
    """Return what reads the size that four bytes of a header tell."""
    return lambda head, _: int.from_bytes(head[begin : begin + 4], "little")


def _unpacked_by(decoder: Callable[[], Any]) -> Callable[[bytes, int], int]:
    """Return what unpacks no more than a byte beyond a limit."""
    return lambda content, limit: len(decoder().decompress(content, limit + 1))


ZSTD_BLOCK = 1 << 17  # bytes that a packed block unpacks to at most
ANY = 1 << 31  # a ratio that is never reached
PACKINGS: dict[str, Packing] = {
    "blosc": Packing(ANY, 16, _size_at(4)),
    "lz4": Packing(ANY, 4, _size_at(0)),
    "zstd": Packing(ANY, None, _of_zstd),
    "gzip": Packing(1040, None, _unpacked_by(lambda: zlib.decompressobj(31))),
    "zlib": Packing(1040, None, _unpacked_by(zlib.decompressobj)),
    "bz2": Packing(ANY, None, _unpacked_by(bz2.BZ2Decompressor)),
    "lzma": Packing(ANY, None, _unpacked_by(lzma.LZMADecompressor)),
}
