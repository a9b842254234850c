"""HDF5: datasets in nested groups, read in blocks of samples; texts and attributes are bounded."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.names import natural_key
from semrsm.storage.committed_file import settle
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.gaps import Parts, parts_of
from semrsm.storage.input_files import (
    Stamp,
    refuse_more_than_memory,
    refuse_written,
    stamp_of,
)
from semrsm.storage.layer import Layer

LONGEST_ATTRIBUTE = 4096  # bytes of text
TEXT_BYTES = 64  # that a text takes besides its characters
TOGETHER = 1 << 28  # bytes of texts that are read at once, were each as long as the file


def open_hdf5(path: Path) -> Contents:
    """Open an HDF5 file."""
    settle(path)
    file = h5py.File(path, "r", driver="sec2")  # whose handle is a descriptor
    arrays: dict[str, Layer] = {}
    try:
        descriptor = file.id.get_vfd_handle()
        opened = descriptor, stamp_of(descriptor)
        note = _incomplete(file)

        def visit(name: str | bytes, item: h5py.Dataset | h5py.Group) -> None:
            # Scalars and empty dataspaces hold no samples.
            if isinstance(item, h5py.Dataset) and item.shape:
                if isinstance(name, bytes):  # it is no UTF-8
                    name = name.decode("utf-8", "surrogateescape")
                arrays[name] = _layer_of(name, item, opened, note)

        file.visititems(visit)
        place = _places(file)
        names = sorted(arrays, key=place)
    except BaseException:
        file.close()
        raise
    return Contents({name: arrays[name] for name in names}, file.close)


def _places(file: h5py.File) -> Callable[[str], tuple[Any, ...]]:
    """Return what names of arrays are sorted by: when each was made, in groups that keep track of it.

    In others, as h5py makes them unless told `track_order=True`, names stand in natural order.
    """

    @functools.cache
    def creation_order(group: str, name: str) -> int:
        holder = file[_bytes_of(group)]  # kept while its links are asked
        link = holder.id.links.get_info(_bytes_of(name))
        return link.corder if link.corder_valid else 0

    def place(name: str) -> tuple[Any, ...]:
        parts = name.split("/")
        above = ["/" + "/".join(parts[:k]) for k in range(len(parts))]
        return tuple(
            (creation_order(*at), natural_key(at[1])) for at in zip(above, parts, strict=True)
        )

    return place


def _bytes_of(name: str) -> bytes:
    """Return a name as HDF5 keeps it, whatever the encoding of file names is here."""
    return name.encode("utf-8", "surrogateescape")


def _incomplete(file: h5py.File) -> str | None:
    """Say that a file was never finished, where what records activations has marked it so."""
    if _text(file, "complete") not in ("False", "0"):
        return None
    return "it is incomplete, as its recording did not end; go on with it by the same command"


def _layer_of(
    name: str, item: h5py.Dataset, opened: tuple[int, Stamp], note: str | None = None
) -> Layer:
    files: list[tuple[int | Path, Stamp]] = [opened]

    @functools.cache
    def parts() -> Parts:
        pieces = parts_of(item)
        files.extend((part, stamp_of(part)) for part in pieces.files)
        return pieces

    return Layer(
        name=name,
        shape=item.shape,
        dtype=item.dtype,
        rows=lambda span: _read(item, span),
        layout=_text(item, "layout"),
        bfloat16=_text(item, "dtype") == "bfloat16",
        note=note,
        find_gaps=lambda: parts().gaps,
        find_sources=lambda: parts().files,
        refuse_written=lambda _: refuse_written(files),
    )


def _read(item: h5py.Dataset, span: slice) -> NDArray[Any]:
    if item.chunks:
        size = math.prod(item.chunks) * item.dtype.itemsize
        refuse_more_than_memory(f"a chunk {item.chunks} of it", size, "save it in smaller chunks")
    if not item.dtype.hasobject:
        return item[span]
    if h5py.check_string_dtype(item.dtype) is None:
        raise ValueError(f"it holds {item.dtype}, neither numbers nor texts")
    return _read_texts(item, span)


def _read_texts(item: h5py.Dataset, span: slice) -> NDArray[Any]:
    """Read texts of any length some at a time: many places in a small file may name one long text."""
    samples = range(*span.indices(len(item)))
    file_bytes = stamp_of(item.file.id.get_vfd_handle())[1]
    each = max(1, math.prod(item.shape[1:]))
    step = max(1, min(4096, max(64, TOGETHER // file_bytes)) // each)
    blocks, taken = [np.empty((0, *item.shape[1:]), object)], 0
    for start in range(0, len(samples), step):
        part = samples[start : start + step]
        block = item[part.start : part.stop : part.step]
        taken += sum(len(text) + TEXT_BYTES for text in block.ravel())
        refuse_more_than_memory("what it holds as text", 2 * taken, "save shorter texts")
        blocks.append(block)
    return np.concatenate(blocks)


def _text(item: h5py.Dataset | h5py.Group, name: str) -> str | None:
    """Return an attribute as text, None where there is none; some writers store bytes or a list of one."""
    if not h5py.h5a.exists(item.id, name.encode()):
        return None
    attribute = h5py.h5a.open(item.id, name.encode())
    single = attribute.get_space().get_simple_extent_npoints() == 1
    if not single or attribute.get_type().get_size() > LONGEST_ATTRIBUTE:
        return f"(an attribute of {attribute.get_storage_size()} bytes)"
    value = item.attrs[name]
    value = value.ravel()[0] if isinstance(value, np.ndarray) else value
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text[:LONGEST_ATTRIBUTE]


def hdf5_version() -> str:
    """Return the version of the HDF5 library that files are read with."""
    return str(h5py.version.hdf5_version)
