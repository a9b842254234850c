"""What an HDF5 dataset has no values of, where a reader is given its fill value, zero, without a word.

Chunks that were never written (a program died), a dataset never allocated, virtual datasets whose
parts are missing or do not cover it, external files that end early.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
from h5py import h5d, h5s

from semrsm.storage.damage import DAMAGE
from semrsm.storage.input_files import refuse_irregular
from semrsm.storage.layer import Gap, gaps_between, sentence_of

DEEPEST = 8  # virtual datasets whose parts are virtual datasets
MOST_BLOCKS = 100_000  # of a selection that are looked at one by one
NEVER_WRITTEN = "they were never written"


@dataclass(frozen=True)
class Parts:
    """What a dataset lacks, and the other files that it is read from."""

    gaps: list[Gap]
    files: list[Path]


def parts_of(dataset: h5py.Dataset, depth: int = 0) -> Parts:
    """Return the samples that a dataset holds no values of, and where else its values lie.

    Raises SemrsmError for a part that is a pipe or a device, ValueError for parts nested without end.
    """
    if not dataset.size:
        return Parts([], [])
    if dataset.is_virtual:
        return _parts_of_virtual(dataset, depth)
    if dataset.external:
        return _parts_of_external(dataset)
    if dataset.chunks:
        return Parts(_gaps_of_chunks(dataset), [])
    empty = dataset.id.get_space_status() == h5d.SPACE_STATUS_NOT_ALLOCATED
    return Parts([Gap(range(len(dataset)), NEVER_WRITTEN)] if empty else [], [])


def _gaps_of_chunks(dataset: h5py.Dataset) -> list[Gap]:
    """Compare the number of chunks with what the shape wants; look at each only if they differ."""
    edge = dataset.chunks[0]
    grid = [-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    if dataset.id.get_num_chunks() == math.prod(grid):
        return []
    counts, per_row = _count_rows(dataset), math.prod(grid[1:])
    return gaps_between(counts, per_row, edge, len(dataset), NEVER_WRITTEN)


def _count_rows(dataset: h5py.Dataset) -> dict[int, int]:
    """Return how many chunks there are in each row of chunks."""
    counts: dict[int, int] = {}

    def count(chunk: h5d.StoreInfo) -> None:
        row = chunk.chunk_offset[0] // dataset.chunks[0]
        counts[row] = counts.get(row, 0) + 1

    dataset.id.chunk_iter(count)
    return counts


def _parts_of_external(dataset: h5py.Dataset) -> Parts:
    row_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    total, begin = row_bytes * len(dataset), 0
    gaps, files = [], []
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "")
    for name, offset, size in dataset.external:
        path = Path(_expand(prefix, dataset), os.fsdecode(name))
        refuse_irregular(path)
        end = min(begin + size, total)
        there = max(0, path.stat().st_size - offset) if path.exists() else 0
        files += [path] if path.exists() else []
        if there < end - begin:
            samples = range((begin + there) // row_bytes, -(-end // row_bytes))
            why = "ends early" if path.exists() else "is missing"
            gaps.append(Gap(samples, f"the external file {path} {why}"))
        begin = end
    if begin < total:
        samples = range(begin // row_bytes, len(dataset))
        gaps.append(Gap(samples, "the external files end before them"))
    return Parts(gaps, files)


def _parts_of_virtual(dataset: h5py.Dataset, depth: int) -> Parts:
    if depth > DEEPEST:
        raise ValueError(f"its parts are virtual datasets, more than {DEEPEST} deep")
    rank, files, broken = len(dataset.shape), [], []
    left = h5s.create_simple(dataset.shape)
    left.select_hyperslab((0,) * rank, dataset.shape)
    for space, file_name, name in _sources(dataset):
        path, fault = _look_at(dataset, file_name, name, depth)
        files += [path] if path else []
        if fault:
            broken.append((_samples(space, dataset), fault))
        elif space.get_select_type() == h5s.SEL_ALL:
            left.select_none()
        elif left.get_select_npoints():
            _leave_out(left, space)
    gaps = []
    for samples in _join(_blocks(left)):
        faults = [why for of, why in broken if of.start < samples.stop and samples.start < of.stop]
        gaps.append(
            Gap(samples, "; ".join(faults[:2]) or "no part of the virtual dataset is theirs")
        )
    return Parts(gaps, files)


def _leave_out(left: h5s.SpaceID, space: h5s.SpaceID) -> None:
    """Take the selection of a space out of another's; h5py has had combine_select since 3.16 only."""
    if space.is_regular_hyperslab():
        start, stride, count, block = space.get_regular_hyperslab()
        left.select_hyperslab(start, count, stride, block, op=h5s.SELECT_NOTB)
        return
    for first, last in space.get_select_hyper_blocklist():
        size = tuple(int(b) - int(a) + 1 for a, b in zip(first, last, strict=True))
        left.select_hyperslab(tuple(map(int, first)), size, op=h5s.SELECT_NOTB)


def _sources(dataset: h5py.Dataset) -> Iterator[tuple[h5s.SpaceID, str, str]]:
    """Yield the parts of a virtual dataset: which values, of which file, of which dataset there."""
    for source in dataset.virtual_sources():
        space = source.vspace
        if space.get_select_type() == h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
            for step, part in enumerate(_cut(space.get_regular_hyperslab(), dataset.shape)):
                # "%b" counts the blocks of a part without end.
                yield part, source.file_name.replace("%b", str(step)), source.dset_name
        else:
            yield space, source.file_name, source.dset_name


def _cut(slab: tuple, shape: tuple[int, ...]) -> Iterator[h5s.SpaceID]:
    """Yield a regular selection; one without end block by block, as far as the dataset reaches now."""
    start, stride, count, block = slab
    endless = [a for a in range(len(shape)) if h5s.UNLIMITED in (count[a], block[a])]
    axis = endless[0] if endless else 0
    length = shape[axis] - start[axis]
    steps = -(-length // stride[axis]) if count[axis] == h5s.UNLIMITED else 1
    for step in range(steps):
        first, counts, size = list(start), list(count), list(block)
        if endless:
            first[axis] += step * stride[axis]
            counts[axis], size[axis] = 1, min(size[axis], shape[axis] - first[axis])
        part = h5s.create_simple(shape)
        part.select_hyperslab(tuple(first), tuple(counts), stride, tuple(size))
        yield part


def _look_at(
    dataset: h5py.Dataset, file_name: str, name: str, depth: int
) -> tuple[Path | None, str | None]:
    """Return the file of a part, if it is there, and what is wrong with the part, if anything is."""
    if file_name == ".":
        return None, _fault(dataset.file, name, depth)
    for path in _candidates(dataset, file_name):
        refuse_irregular(path)
        try:
            file = h5py.File(path, "r")
        except DAMAGE:
            continue
        with file:
            return path, _fault(file, name, depth)
    return None, f"{file_name} is missing or no HDF5 file"


def _fault(file: h5py.File, name: str, depth: int) -> str | None:
    part = file.get(name)
    if not isinstance(part, h5py.Dataset):
        return f"{file.filename} has no dataset {name}"
    gaps = parts_of(part, depth + 1).gaps
    return f"{file.filename}::{name}: {sentence_of(gaps)}" if gaps else None


def _candidates(dataset: h5py.Dataset, name: str) -> Iterator[Path]:
    """Yield where HDF5 looks for a part of a virtual dataset, in its order."""
    if os.path.isabs(name):
        yield Path(name)
        name = os.path.basename(name)
    own = Path(dataset.file.filename)
    for prefix in os.environ.get("HDF5_VDS_PREFIX", "").split(":"):
        if prefix:
            yield Path(_expand(prefix, dataset), name)
    yield from (own.parent / name, Path(name), own.resolve().parent / name)


def _expand(prefix: str, dataset: h5py.Dataset) -> str:
    return prefix.replace("${ORIGIN}", str(Path(dataset.file.filename).parent))


def _samples(space: h5s.SpaceID, dataset: h5py.Dataset) -> range:
    """Return the samples from the first to the last of a selection."""
    if space.get_select_type() == h5s.SEL_ALL:
        return range(len(dataset))
    low, high = space.get_select_bounds()
    return range(low[0], high[0] + 1)


def _blocks(space: h5s.SpaceID) -> Iterable[tuple[int, int]]:
    """Return the first and the last sample of every block of a selection."""
    if not space.get_select_npoints():
        return []
    if space.get_select_hyper_nblocks() > MOST_BLOCKS:
        low, high = space.get_select_bounds()
        return [(low[0], high[0])]
    return [(int(low[0]), int(high[0])) for low, high in space.get_select_hyper_blocklist()]


def _join(blocks: Iterable[tuple[int, int]]) -> list[range]:
    """Join blocks that overlap or touch, by their samples."""
    merged: list[range] = []
    for first, last in sorted(blocks):
        if merged and first <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, last + 1))
        else:
            merged.append(range(first, last + 1))
    return merged
