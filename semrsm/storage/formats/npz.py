""".npz: a zip archive of .npy members, stored as they are or deflated."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.npy import (
    Header,
    read_header,
    refuse_longer,
    refuse_objects,
    stored_layer,
)
from semrsm.storage.input_files import (
    PIECE,
    refuse_more_than_memory,
    refuse_written,
    stamp_of,
)
from semrsm.storage.layer import Layer

LARGEST_RATIO = (
    1040  # deflate packs no byte string smaller than by 1032, and a little for its frame
)


def open_npz(path: Path) -> Contents:
    """Open an archive of arrays."""
    stream = path.open(
        "rb"
    )  # one open file for all reading: a file put in its place is another one
    try:
        archive = zipfile.ZipFile(stream)
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        inflate = _inflating(archive)
        layers = [_layer_of(archive, member, inflate) for member in members]
    except BaseException:
        stream.close()
        raise
    return Contents({layer.name: layer for layer in layers}, stream.close)


def read_arrays(stream: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return all arrays of a small archive by name, their checksums checked.

    Raises what DAMAGE lists if it is no such archive, or damaged.
    """
    archive = zipfile.ZipFile(stream)
    members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    return {name_of(m): inflate_member(archive, m, header_of(archive, m)) for m in members}


def name_of(member: zipfile.ZipInfo) -> str:
    """Return the name of a member's array."""
    return member.filename.removesuffix(".npy")


def header_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    """Return the header of a member; raise ValueError if it says more than can be in the archive."""
    name = name_of(member)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is neither stored nor deflated, as NumPy saves arrays")
    if member.file_size > LARGEST_RATIO * (member.compress_size + 1):
        raise ValueError(
            f"{name} is said to have {member.file_size} bytes, packed into {member.compress_size}"
        )
    with archive.open(member) as packed:
        header = read_header(packed)
    refuse_longer(name, header, member.file_size - header.size)
    return header


def _layer_of(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    inflate: Callable[[zipfile.ZipInfo, Header], NDArray[Any]],
) -> Layer:
    """Return a member as a layer: read in parts where it is stored, else inflate_member whole."""
    header = header_of(archive, member)
    stream = archive.fp
    assert stream is not None
    if member.compress_type == zipfile.ZIP_STORED:
        offset = _data_offset(stream, member) + header.size
        return stored_layer(name_of(member), stream, header, offset)
    if header.dtype.hasobject:
        return Layer(name_of(member), header.shape, header.dtype, rows=refuse_objects, pickled=True)
    opened = [(stream.fileno(), stamp_of(stream.fileno()))]
    return Layer(
        name_of(member),
        header.shape,
        header.dtype,
        rows=lambda span: inflate(member, header)[span],
        loaded_bytes=header.n_bytes,
        refuse_written=lambda _: refuse_written(opened),
    )


def _data_offset(stream: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin: after its local header, name and extra field."""
    stream.seek(member.header_offset + 26)
    name_bytes, extra_bytes = (int.from_bytes(stream.read(2), "little") for _ in range(2))
    return member.header_offset + 30 + name_bytes + extra_bytes


def _inflating(archive: zipfile.ZipFile) -> Callable[[zipfile.ZipInfo, Header], NDArray[Any]]:
    """Return what inflates a member of an archive; the last one is kept, for memory's sake."""
    cache: dict[str, NDArray[Any]] = {}

    def inflate(member: zipfile.ZipInfo, header: Header) -> NDArray[Any]:
        if member.filename not in cache:
            cache.clear()  # before the next one is inflate_member, not after
            cache[member.filename] = inflate_member(archive, member, header)
        return cache[member.filename]

    return inflate


def inflate_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: Header
) -> NDArray[Any]:
    """Return the array of a deflated member; no more is unpacked than its header says.

    Raises SemrsmError if it takes more memory than there is, ValueError if the member ends before.
    """
    if header.dtype.hasobject:
        return refuse_objects(slice(0))
    what = f"{name_of(member)}, unpacked,"
    refuse_more_than_memory(what, header.n_bytes, "save it uncompressed or as HDF5")
    values = np.empty(header.n_bytes, np.uint8)
    with archive.open(member) as packed:
        packed.read(header.size)
        for start in range(0, len(values), PIECE):
            part = values[start : start + PIECE]
            content = packed.read(len(part))
            if len(content) < len(part):
                raise ValueError(f"it ends at byte {start + len(content)} of {len(values)}")
            part[:] = np.frombuffer(content, np.uint8)
        packed.read(1)  # at the end the checksum is checked
    order: Any = "F" if header.fortran else "C"
    return values.view(header.dtype).reshape(header.shape, order=order)
