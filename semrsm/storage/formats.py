"""The formats of activation files: how each is told from others and opened."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.layer import Layer


@dataclass(frozen=True)
class Format:
    """A kind of activation file: how it is told from others and how it is opened."""

    name: str
    suffixes: tuple[str, ...]
    magic: bytes
    summary: str
    open: Callable[[Path], tuple[dict[str, Layer], Callable[[], None]]]


def _open_hdf5(path: Path) -> tuple[dict[str, Layer], Callable[[], None]]:
    file = h5py.File(path, "r")
    arrays: dict[str, Layer] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        # Scalars and empty dataspaces hold no samples.
        if isinstance(item, h5py.Dataset) and item.shape:
            arrays[name] = Layer(
                name=name,
                shape=item.shape,
                dtype=item.dtype,
                rows=item.__getitem__,
                layout=_text(item.attrs.get("layout")),
                bfloat16=_text(item.attrs.get("dtype")) == "bfloat16",
            )

    with _closed_on_error(file):
        file.visititems(visit)
    return arrays, file.close


@contextlib.contextmanager
def _closed_on_error(file: h5py.File | zipfile.ZipFile) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise


def _text(attribute: object) -> str | None:
    """Return an HDF5 attribute as text; some writers store bytes."""
    if isinstance(attribute, bytes):
        return attribute.decode()
    return None if attribute is None else str(attribute)


def _mapped(
    name: str, path: Path, offset: int, shape: tuple, fortran: bool, dtype: np.dtype
) -> Layer:
    """Return a layer whose samples are mapped from disk."""
    order: Any = "F" if fortran else "C"
    if dtype.hasobject:
        return Layer(name, shape, dtype, rows=_refuse_objects)
    if 0 in shape:
        return Layer(name, shape, dtype, rows=np.zeros(shape, dtype).__getitem__)
    array = np.memmap(path, dtype, "r", offset, shape, order)
    return Layer(name, shape, dtype, rows=array.__getitem__)


def _refuse_objects(_: slice) -> NDArray[Any]:
    raise ValueError("it holds Python objects, which are never unpickled")


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"its .npy header has version {version}, 1.0 and 2.0 are read")
    return read[version](stream)


def _open_npy(path: Path) -> tuple[dict[str, Layer], Callable[[], None]]:
    with path.open("rb") as stream:
        shape, fortran, dtype = _npy_header(stream)
        offset = stream.tell()
    return {path.stem: _mapped(path.stem, path, offset, shape, fortran, dtype)}, lambda: None


def _open_npz(path: Path) -> tuple[dict[str, Layer], Callable[[], None]]:
    archive = zipfile.ZipFile(path)
    inflated = _inflated(path)
    with _closed_on_error(archive):
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        layers = [_npz_member(path, archive, member, inflated) for member in members]
    return {layer.name: layer for layer in layers}, archive.close


def _npz_member(
    path: Path,
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    inflated: Callable[[str], NDArray[Any]],
) -> Layer:
    """Return a member of an archive as a layer: mapped where it is stored, else inflated whole."""
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        shape, fortran, dtype = _npy_header(stream)
        header_bytes = stream.tell()
    if member.compress_type == zipfile.ZIP_STORED:
        offset = _data_offset(path, member) + header_bytes
        return _mapped(name, path, offset, shape, fortran, dtype)
    return Layer(
        name, shape, dtype, lambda rows: inflated(member.filename)[rows], loaded_whole=True
    )


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a zip member begin: after its local header, name and extra field."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset + 26)
        name_bytes = int.from_bytes(stream.read(2), "little")
        extra_bytes = int.from_bytes(stream.read(2), "little")
    return member.header_offset + 30 + name_bytes + extra_bytes


def _inflated(path: Path) -> Callable[[str], NDArray[Any]]:
    """Return what inflates a member of a compressed .npz; the last one is kept, for memory's sake."""

    held: dict[str, NDArray[Any]] = {}

    def array(member: str) -> NDArray[Any]:
        if member not in held:
            held.clear()  # before the next one is inflated, not after
            with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
                held[member] = np.lib.format.read_array(stream, allow_pickle=False)
        return held[member]

    return array


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(
            "hdf5",
            (".h5", ".hdf5", ".he5"),
            b"\x89HDF\r\n\x1a\n",
            "HDF5, nested groups",
            _open_hdf5,
        ),
        Format("npz", (".npz",), b"PK", "NumPy archive of several arrays", _open_npz),
        Format("npy", (".npy",), b"\x93NUMPY", "one NumPy array", _open_npy),
    )
}


def format_of(path: Path) -> str:
    """Return the name of a file's format by its first bytes; raise SemrsmError if there is none."""
    if path.is_dir():
        raise SemrsmError(f"{path} is a folder; name an activation file in it")
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except FileNotFoundError as error:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in _SUFFIXES)[:8]
        beside = f" Activation files there: {', '.join(near)}" if near else ""
        raise SemrsmError(f"{path} does not exist; check the path.{beside}") from error
    except OSError as error:
        raise SemrsmError(
            f"{path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    for known in FORMATS.values():
        if start.startswith(known.magic):
            return known.name
    wanted = ", ".join(f.name for f in FORMATS.values())
    raise SemrsmError(
        f"{path} is none of {wanted} (it begins with {start!r}); save activations as one of these"
    )


_SUFFIXES = tuple(suffix for f in FORMATS.values() for suffix in f.suffixes)
