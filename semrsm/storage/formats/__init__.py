"""The formats of activation files: how each is told from others and opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.storage.damage import DAMAGE, remedy_of
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.folder import open_folder
from semrsm.storage.formats.hdf5 import open_hdf5
from semrsm.storage.formats.npy import open_npy
from semrsm.storage.formats.npz import open_npz
from semrsm.storage.formats.safetensors import is_safetensors, open_safetensors
from semrsm.storage.formats.torch_archive import is_torch, open_torch
from semrsm.storage.formats.zarr_store import is_zarr, open_zarr
from semrsm.storage.input_files import refuse_irregular
from semrsm.storage.rsm_file import is_rsm_file

MOST_FILES = 8  # that are named where one is missing
START = 32  # bytes of a file that formats are told by


@dataclass(frozen=True)
class Format:
    """A kind of activation file: how it is told from others and how it is opened.

    Attributes:
        name: What `semrsm info` calls it.
        suffixes: What names of such files usually end with.
        recognises: (path, first bytes) -> whether a file is of this kind; the first row that says so counts.
        summary: One line for help and docs.
        open: Reads what it holds, but not the values.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    summary: str
    open: Callable[[Path], Contents]


def _begins(magic: bytes) -> Callable[[Path, bytes], bool]:
    return lambda path, start: start.startswith(magic)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(
            "hdf5",
            (".h5", ".hdf5", ".he5"),
            _begins(b"\x89HDF\r\n\x1a\n"),
            "HDF5, nested groups",
            open_hdf5,
        ),
        Format(
            "torch",
            (".pt", ".pth"),
            is_torch,
            "what torch.save wrote: tensors in dicts and lists",
            open_torch,
        ),
        Format("npz", (".npz",), _begins(b"PK"), "NumPy archive of several arrays", open_npz),
        Format("npy", (".npy",), _begins(b"\x93NUMPY"), "one NumPy array", open_npy),
        Format(
            "safetensors",
            (".safetensors",),
            is_safetensors,
            "arrays behind a header, as Hugging Face saves them",
            open_safetensors,
        ),
        Format("zarr", (".zarr",), is_zarr, "Zarr store, versions 2 and 3, in a folder", open_zarr),
        Format(
            "folder",
            (),
            lambda path, start: path.is_dir(),
            "folder of such files: one for each sample, batch or layer",
            lambda path: open_folder(path, open_contents, SUFFIXES),
        ),
    )
}


def format_of(path: Path) -> Format:
    """Return the format of a file, by its first bytes, or of a folder; raise SemrsmError if it has none."""
    refuse_irregular(path)
    try:
        start = b"" if path.is_dir() else _first_bytes(path)
    except FileNotFoundError as error:
        raise SemrsmError(f"{path} does not exist; check the path.{_beside(path)}") from error
    except OSError as error:
        raise SemrsmError(
            f"{path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    for known in FORMATS.values():
        if known.recognises(path, start):
            return known
    names = ", ".join(f.name for f in FORMATS.values())
    raise SemrsmError(
        f"{path} is none of {names} (it begins with {start[:8]!r}); save activations as one of these"
    )


def _beside(path: Path) -> str:
    """Name files of the kind that a path seems to mean, RSM files or activations, in its folder."""
    wants_rsm = ".rsm" in path.suffixes
    files = (p for p in sorted(path.parent.glob("*")) if p.suffix in SUFFIXES)
    fitting = (p.name for p in files if (p.suffix == ".h5" and is_rsm_file(p)) == wants_rsm)
    near = list(islice(fitting, MOST_FILES + 1))  # so that no more files are opened
    more = ", …" if len(near) > MOST_FILES else ""
    kind = "RSM" if wants_rsm else "Activation"
    return f" {kind} files there: {', '.join(near[:MOST_FILES])}{more}" if near else ""


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(START)


def open_contents(path: Path, known: Format | None = None) -> Contents:
    """Return what a file holds, as its reader gives it.

    Raises SemrsmError if it is missing, not readable, of no known format, or damaged.
    """
    known = known or format_of(path)
    try:
        return known.open(path)
    except DAMAGE as error:
        raise SemrsmError(
            f"{path} cannot be opened as {known.name} ({error}): {remedy_of(error)}"
        ) from error


SUFFIXES: tuple[str, ...] = tuple(suffix for f in FORMATS.values() for suffix in f.suffixes)
