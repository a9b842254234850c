"""The RSM file: HDF5, as FORMAT.md beside this module documents it; reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import natural_key, no_such
from semrsm.sample_numbers import Taken
from semrsm.storage.damage import DAMAGE, remedy_of
from semrsm.storage.input_files import Stamp, refuse_irregular, stamp_of
from semrsm.storage.rsm_layer import LayerInfo, StoredMatrix, layer_of
from semrsm.storage.rsm_schema import (
    FILE_ATTRIBUTES,
    ID_DATASETS,
    NORMS,
    RECORD,
    REMEDY,
    attributes_of,
    has,
    json_object,
    member,
    read_record,
    reading,
    refuse_gaps,
    text,
)

FORMAT = "semrsm-rsm"
FORMAT_VERSION = "1"
SOURCE_KEYS = ("path", "bytes", "modified_ns", "fingerprint")

Source = tuple[str, ...]


@dataclass(frozen=True)
class RsmFile:
    """An open RSM file; use it in a `with` statement.

    Every method raises SemrsmError where the file is damaged or not as FORMAT.md has it.

    Attributes:
        path: Where it is.
        file: The open file.
        generated_by: The program and version that wrote it.
        created: When it was written, ISO 8601, UTC.
        metadata: How it was made: command line, options, versions, device, seconds, the input's content.
        digests: Those of its records: of "samples", None without, and of "layers", by name; None in a
            file from before there were records.
        stamp: Tells the file from one that is written in its place.
    """

    path: Path
    file: h5py.File
    generated_by: str
    created: str
    metadata: dict[str, Any]
    digests: Mapping[str, Any] | None
    stamp: Stamp
    _opened: dict[str, tuple[LayerInfo, dict[str, h5py.Dataset]]] = field(default_factory=dict)

    def __enter__(self) -> RsmFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def samples(self, of: str = "samples") -> list[str] | None:
        """Return the ids of the samples; None where the file holds none.

        Those of the columns of rectangular RSMs are called "column_samples".
        """
        with reading(f"{self.path}::{of}"):
            if self.digests is None and not has(self.file, of):
                return None
            if self.digests is not None and self.digests.get(of) is None:
                return None
            dataset = member(self.file, of, h5py.Dataset)
            if self.digests is not None:
                return read_record(dataset, self.digests[of])
            _refuse_record(dataset)
            refuse_gaps(dataset, of)
            return list(dataset.asstr()[:])

    def taken(self, n: int, of_columns: bool = False) -> Taken | None:
        """Return which samples of their file the n rows, or columns, are; None if not recorded."""
        about = self.metadata.get("column_taken" if of_columns else "taken")
        if of_columns and about is None:
            return None
        if isinstance(about, dict):
            numbers, of = about.get("samples"), about.get("of")
            known = isinstance(numbers, str) and isinstance(of, int)
            return Taken.of_text(str(numbers), of, n) if known else None
        options = self.metadata.get("options")  # of files from before there was a record of it
        if not isinstance(options, dict) or "samples" not in options:
            return None
        choice = options["samples"]
        return Taken.of_text(str(choice), None, n) if choice else Taken(range(n), n)

    @property
    def source(self) -> Source | None:
        """What tells the activation file from others: path, bytes, last change and fingerprint."""
        about = self.metadata.get("activations")
        values = [about.get(key) for key in SOURCE_KEYS] if isinstance(about, dict) else [None]
        return None if None in values else tuple(map(str, values))

    def layer_names(self) -> list[str]:
        """Return the names of the layers, in the order they were computed."""
        with reading(self.path):
            order = list(self.metadata.get("layers", []))
            known = self.digests["layers"] if self.digests is not None else self._visit()
            return list(dict.fromkeys([*order, *known]))

    def _visit(self) -> list[str]:
        """Return the groups of a file without records that are layers."""
        names: list[str] = []

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group) and has(item, "matched"):
                names.append(name)

        member(self.file, "layers", h5py.Group).visititems(visit)
        return sorted(names, key=natural_key)

    def layers(self) -> dict[str, LayerInfo]:
        """Return what the file says of each layer, in the order they were computed."""
        return {name: self._open(name)[0] for name in self.layer_names()}

    def layer(self, name: str | None = None) -> LayerInfo:
        """Return one layer; without a name, the only one there is.

        Raises SemrsmError if there is no such layer, or several and no name.
        """
        names = self.layer_names()
        if name is None and len(names) != 1:
            content = f"several layers: {', '.join(names)}; name one: {self.path}::LAYER"
            raise SemrsmError(f"{self.path} holds {content if names else f'no layer; {REMEDY}'}")
        name = names[0] if name is None else name
        if name not in names:
            raise SemrsmError(f"{self.path}: {no_such(names, name, 'layer')}")
        return self._open(name)[0]

    def matrices(self, layer: str) -> dict[str, StoredMatrix]:
        """Return everything that a layer stores, norms too, by its path in the layer's group."""
        datasets = self._open(layer)[1]
        return {p: StoredMatrix(f"{self.path}::{layer}", p, d) for p, d in datasets.items()}

    def matched(self, layer: str) -> StoredMatrix:
        """Return the matched inner products of a layer: (n, m) float64, read when sliced."""
        return self.matrices(layer)["matched"]

    def kernel(self, layer: str, kernel: str) -> StoredMatrix | None:
        """Return the stored RSM of a kernel, (n, m) float32, read when sliced; None if not stored."""
        return self.matrices(layer).get(f"rsm/{kernel}")

    def squared_norms(self, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the squared norms of the row and the column samples, (n,) and (m,) float64."""
        matrices = self.matrices(layer)
        rows, columns = NORMS[self._open(layer)[0].storage_mode]
        return matrices[rows][:], matrices[columns][:]

    def value_sums(self, layer: str) -> NDArray[np.float64] | None:
        """Return the sum of the values of each sample, (n,) float64; None in files of before."""
        stored = self.matrices(layer).get("value_sum")
        return None if stored is None else stored[:]

    def _open(self, layer: str) -> tuple[LayerInfo, dict[str, h5py.Dataset]]:
        """Return what is said of a layer and its datasets, checked once."""
        if layer not in self._opened:
            with reading(f"{self.path}::{layer}"):
                group = member(self.file, f"layers/{layer}", h5py.Group)
                record = None
                if self.digests is not None:
                    record = read_record(group, self.digests["layers"].get(layer, ""))
                else:
                    _refuse_record(group)
                info, datasets = layer_of(layer, group, record)
                if record is None:
                    _refuse_other_samples(self.file, info)
                self._opened[layer] = info, datasets
        return self._opened[layer]


def _refuse_record(item: h5py.Group | h5py.Dataset) -> None:
    """Refuse a part with a record in a file without: it was written later than such files were."""
    if RECORD in item.attrs:
        raise SemrsmError(f"it has a record and the file has lost its own; {REMEDY}")


def _refuse_other_samples(file: h5py.File, info: LayerInfo) -> None:
    for name, n in zip(ID_DATASETS, info.shape, strict=True):
        if has(file, name):
            shape = member(file, name, h5py.Dataset).shape
            if shape != (n,):
                raise SemrsmError(
                    f"it has {n} samples and its ids have the shape {shape}; {REMEDY}"
                )


def is_rsm_file(path: Path) -> bool:
    """Say whether a file is an RSM file, whole or damaged; a run that was killed leaves none.

    >>> is_rsm_file(Path("no-such-file.rsm.h5"))
    False
    """
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with h5py.File(path, "r") as file:
            return _is_marked(file)
    except DAMAGE:
        return False


def _is_marked(file: h5py.File) -> bool:
    """Say whether a file is marked as an RSM file: by its format, or by all else that it says of itself.

    One that has lost a mark is not to be taken for plain matrices, whose numbers nobody checks. In a file
    with records no text is read.
    """
    try:
        names = set(file.attrs)
        if {"generated_by", "created", "metadata"} <= names and has(file, "layers"):
            return True
        return "format" in names and attributes_of(file, ("format",))["format"] == FORMAT
    except (*DAMAGE, SemrsmError):
        return has(file, "layers")


def open_rsm(path: Path, stamp: Stamp | None = None) -> RsmFile:
    """Open an RSM file, or the same one again.

    Args:
        path: The file.
        stamp: That of the file when it was opened before.

    Raises:
        SemrsmError: It is missing, damaged, of another kind or a newer version, or no more the same.
    """
    if not path.exists():
        raise SemrsmError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise SemrsmError(f"{path} is a folder; name an RSM file in it")
    refuse_irregular(path)
    try:
        file = h5py.File(path, "r")
    except DAMAGE as error:
        if "lock" in str(error):
            raise SemrsmError(f"{path} cannot be opened ({error}): {remedy_of(error)}") from error
        raise SemrsmError(
            f"{path} is no RSM file or is damaged ({error}); compute it again"
        ) from error
    try:
        with reading(path):
            return _checked(path, file, stamp)
    except BaseException:
        file.close()
        raise


def _checked(path: Path, file: h5py.File, before: Stamp | None) -> RsmFile:
    stamp = stamp_of(file.id.get_vfd_handle())
    if before not in (None, stamp):
        raise SemrsmError("it was replaced while it was read; give the command again")
    if not _is_marked(file):
        raise SemrsmError(
            f"it is HDF5 but no RSM file; make one with: semrsm compute {path} `out='OUT.rsm.h5'`"
        )
    if RECORD in file.attrs:
        attributes = read_record(file)
        digests = attributes["digests"]
    else:
        attributes, digests = attributes_of(file, FILE_ATTRIBUTES), None
    if text(attributes, "format") != FORMAT:
        raise SemrsmError(f"the format '{attributes['format']}' is not '{FORMAT}'; {REMEDY}")
    version = text(attributes, "format_version")
    if version != FORMAT_VERSION:
        raise SemrsmError(
            f"it has format version {version} and this semrsm reads {FORMAT_VERSION}; update semrsm"
        )
    metadata = json_object(attributes, "metadata")
    layers = metadata.get("layers", [])
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise SemrsmError(f"the layers in the attribute 'metadata' are no names; {REMEDY}")
    generated_by, created = text(attributes, "generated_by"), text(attributes, "created")
    return RsmFile(path, file, generated_by, created, metadata, digests, stamp)
