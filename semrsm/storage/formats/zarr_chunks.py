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

    def missing(self, path: Path) -> np.ndarray:
        """Return which chunks a shard lacks, by their place in it."""
        n = math.prod(self.per_shard)
        size = 16 * n + 4 * self.checksum
        with path.open("rb") as stream:
            if self.at_end:
                stream.seek(-size, os.SEEK_END)
            content = stream.read(size)
        if len(content) < size:
            raise ValueError(f"the shard {path.name} ends before its index")
        index = np.frombuffer(content, "<u8", 2 * n).reshape(*self.per_shard, 2)
        return (index == MISSING).all(-1)


class Chunks:
    """The files of an array, as they were when it was opened.

    Args:
        folder: Of the array.
        shape: Of the array.
        chunks: Shape of a chunk.
        sharding: How shards hold them; None where each is a file.
        unpacking: Names of what packs them, outermost first, of those in UNPACKED.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        sharding: Sharding | None,
        unpacking: Sequence[str],
    ) -> None:
        self.shape, self.chunks, self.sharding, self._unpacking = shape, chunks, sharding, unpacking
        per_file = sharding.per_shard if sharding else (1,) * len(shape)
        self.edges = tuple(a * b for a, b in zip(chunks, per_file, strict=True))
        self.files = dict(self._found(folder))
        self._stamps: dict[int, list[tuple[Path, Stamp]]] = {}
        for place, path in self.files.items():
            self._stamps.setdefault(place[0], []).append((path, stamp_of(path)))

    def _found(self, folder: Path) -> list[tuple[tuple[int, ...], Path]]:
        grid = [-(-n // edge) for n, edge in zip(self.shape, self.edges, strict=True)]
        found = []
        for top, _, names in os.walk(folder):
            for name in names:
                path = Path(top, name)
                match = KEY.fullmatch(path.relative_to(folder).as_posix())
                place = tuple(map(int, re.split("[./]", match[1]))) if match else ()
                if len(place) == len(grid) and all(p < g for p, g in zip(place, grid, strict=True)):
                    refuse_irregular(path)
                    found.append((place, path))
        return found

    def _rows(self, samples: slice) -> Sequence[int]:
        """Return the rows of files that some samples lie in."""
        wanted = range(*samples.indices(self.shape[0]))
        edge = self.edges[0]
        return range(wanted[0] // edge, wanted[-1] // edge + 1) if wanted else range(0)

    def refuse_written(self, samples: slice) -> None:
        """Raise WrittenError if a file of some samples is not what it was."""
        for row in self._rows(samples):
            refuse_written(self._stamps.get(row, ()))

    def refuse_bombs(self, samples: slice, n_bytes: int) -> None:
        """Raise ValueError if a file of some samples would unpack to much more than the bytes of a chunk."""
        for row in self._rows(samples):
            for path, stamp in self._stamps.get(row, ()):
                if self._unpacking and not self.sharding:
                    _refuse_bomb(path, stamp[1], self._unpacking[0], n_bytes)

    @functools.cached_property
    def gaps(self) -> list[Gap]:
        """The samples whose chunks are not all there."""
        grid = [-(-n // edge) for n, edge in zip(self.shape, self.chunks, strict=True)]
        if self.sharding is None and len(self.files) == math.prod(grid):
            return []
        found: dict[int, int] = {}
        for place, path in self.files.items():
            for row, count in self._chunks_in(place, path, grid).items():
                found[row] = found.get(row, 0) + count
        return gaps_between(found, math.prod(grid[1:]), self.chunks[0], self.shape[0], NOT_THERE)

    def _chunks_in(
        self, place: tuple[int, ...], path: Path, grid: Sequence[int]
    ) -> Mapping[int, int]:
        """Return how many chunks of the array a file holds, by their row."""
        if self.sharding is None:
            return {place[0]: 1}
        there = ~self.sharding.missing(path)
        first = [p * k for p, k in zip(place, self.sharding.per_shard, strict=True)]
        inside = tuple(slice(0, max(0, g - f)) for g, f in zip(grid, first, strict=True))
        counts = there[inside].reshape(there[inside].shape[0], -1).sum(1)
        return {first[0] + k: int(count) for k, count in enumerate(counts)}


def _refuse_bomb(path: Path, packed: int, packing: str, n_bytes: int) -> None:
    ratio, size_of = UNPACKED[packing]
    if packed * ratio <= job_memory():
        return
    size = size_of(path, n_bytes)
    if size is None or size > n_bytes:
        said = "an unknown number of" if size is None else f"{size} or more"
        raise ValueError(f"{path.name} unpacks to {said} bytes, and a chunk has {n_bytes}")


def _of_header(begin: int) -> Callable[[Path, int], int | None]:
    """Return what reads the size that is told in four bytes of a header."""

    def size_of(path: Path, n_bytes: int) -> int | None:
        with path.open("rb") as stream:
            return int.from_bytes(stream.read(begin + 4)[begin:], "little")

    return size_of


def _of_zstd(path: Path, n_bytes: int) -> int | None:
    """Return the size that a Zstandard frame tells (RFC 8878, section 3.1.1.1); None if it tells none."""
    with path.open("rb") as stream:
        head = stream.read(18)
    flags = head[4]
    single, code = flags >> 5 & 1, flags >> 6
    begin = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if code == 0 and not single:
        return None
    return int.from_bytes(head[begin : begin + (1, 2, 4, 8)[code]], "little") + 256 * (code == 1)


def _by_unpacking(decoder: Callable[[], Any]) -> Callable[[Path, int], int | None]:
    """Return what unpacks no more than a byte too many."""

    def size_of(path: Path, n_bytes: int) -> int | None:
        return len(decoder().decompress(path.read_bytes(), n_bytes + 1))

    return size_of


# How many times its size a chunk may unpack to at most, and what tells to how many bytes it does.
UNPACKED: dict[str, tuple[int, Callable[[Path, int], int | None]]] = {
    "blosc": (2**31, _of_header(4)),
    "lz4": (2**31, _of_header(0)),
    "zstd": (2**31, _of_zstd),
    "gzip": (1040, _by_unpacking(lambda: zlib.decompressobj(31))),
    "zlib": (1040, _by_unpacking(zlib.decompressobj)),
    "bz2": (2**31, _by_unpacking(bz2.BZ2Decompressor)),
    "lzma": (2**31, _by_unpacking(lzma.LZMADecompressor)),
}
