"""The RSM file: HDF5, as FORMAT.md beside this module documents it; reading it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.damage import DAMAGE, remedy_of
from semrsm.storage.input_files import refuse_irregular

FORMAT = "semrsm-rsm"
FORMAT_VERSION = "1"
BLOCK_BYTES = 32 << 20  # of a stored matrix that are read at a time

StorageMode = Literal["symmetric", "rectangular"]


@dataclass(frozen=True)
class LayerInfo:
    """What an RSM file says of one layer, beside its matrices.

    Attributes:
        name: The layer's name in the activation file.
        matcher: Name of the matcher.
        layout: How the array was read, a key of LAYOUTS.
        n_positions: S, after pooling and skipping tokens.
        n_channels: C.
        n_samples: Rows of the RSM.
        n_columns: Columns of the RSM; as many as rows in a symmetric one.
        storage_mode: "symmetric" or "rectangular".
        parameters: The matcher's parameters, solver, device, precision and what else is recorded.
        sigmas: Kernel name -> sigma of rbf, None for kernels that have none; the stored kernels.
    """

    name: str
    matcher: str
    layout: str
    n_positions: int
    n_channels: int
    n_samples: int
    n_columns: int
    storage_mode: StorageMode
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sigmas: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the RSM."""
        return self.n_samples, self.n_columns

    def facts(self, *names: str) -> dict[str, Any]:
        """Return some of this by the names that tables and JSON have for it; "layer" is the name."""
        return {name: self.name if name == "layer" else getattr(self, name) for name in names}


@dataclass(frozen=True)
class RsmFile:
    """An open RSM file; use it in a `with` statement."""

    path: Path
    file: h5py.File

    def __enter__(self) -> RsmFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def metadata(self) -> dict[str, Any]:
        """How the file was made: command line, options, versions, device, seconds, the input's content."""
        return json.loads(self.file.attrs["metadata"])

    @property
    def generated_by(self) -> str:
        """The program and version that wrote the file."""
        return str(self.file.attrs["generated_by"])

    @property
    def created(self) -> str:
        """When the file was written, ISO 8601, UTC."""
        return str(self.file.attrs["created"])

    def samples(self) -> list[str] | None:
        """Return the ids of the samples; None where the file holds none."""
        return list(self.file["samples"].asstr()[:]) if "samples" in self.file else None

    def layers(self) -> dict[str, LayerInfo]:
        """Return what the file says of each layer, in the order they were computed."""
        found: dict[str, LayerInfo] = {}

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group) and "matched" in item:
                found[name] = _layer_info(name, item)

        self.file["layers"].visititems(visit)
        order = self.metadata.get("layers", [])
        return {name: found[name] for name in [*order, *(set(found) - set(order))]}

    def layer(self, name: str | None = None) -> LayerInfo:
        """Return one layer; without a name, the only one there is.

        Raises SemrsmError if there is no such layer, or several and no name.
        """
        layers = self.layers()
        if name is None and len(layers) == 1:
            return next(iter(layers.values()))
        if name is None:
            raise SemrsmError(
                f"{self.path} holds several layers: {', '.join(layers)}; name one: {self.path}::LAYER"
            )
        if name not in layers:
            raise SemrsmError(f"{self.path}: {no_such(layers, name, 'layer')}")
        return layers[name]

    def matched(self, layer: str) -> h5py.Dataset:
        """Return the matched inner products of a layer: (n, m) float64, read when sliced."""
        return self.file[f"layers/{layer}/matched"]

    def kernel(self, layer: str, kernel: str) -> h5py.Dataset | None:
        """Return the stored RSM of a kernel, (n, m) float32, read when sliced; None if not stored."""
        return self.file.get(f"layers/{layer}/rsm/{kernel}")

    def squared_norms(self, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the squared norms of the row and the column samples, (n,) and (m,) float64."""
        group = self.file[f"layers/{layer}"]
        if "squared_norm" in group:
            return group["squared_norm"][:], group["squared_norm"][:]
        return group["row_squared_norm"][:], group["column_squared_norm"][:]


def _layer_info(name: str, group: h5py.Group) -> LayerInfo:
    stored = group.get("rsm", {})
    sigmas = {k: _optional_float(d.attrs.get("sigma")) for k, d in stored.items()}
    attributes = group.attrs
    return LayerInfo(
        name=name,
        matcher=str(attributes["matcher"]),
        layout=str(attributes["layout"]),
        n_positions=int(attributes["n_positions"]),
        n_channels=int(attributes["n_channels"]),
        n_samples=int(attributes["n_samples"]),
        n_columns=group["matched"].shape[1],
        storage_mode=attributes["storage_mode"],
        parameters=json.loads(attributes.get("parameters", "{}")),
        sigmas=sigmas,
    )


def _optional_float(value: Any) -> float | None:
    return None if value is None else float(value)


def is_rsm_file(path: Path) -> bool:
    """Say whether a file is a complete RSM file; a run that was killed leaves none.

    >>> is_rsm_file(Path("no-such-file.rsm.h5"))
    False
    """
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except DAMAGE:
        return False


def open_rsm(path: Path) -> RsmFile:
    """Open an RSM file; raise SemrsmError if it is missing, of another kind, or of a newer version."""
    if not path.exists():
        raise SemrsmError(f"{path} does not exist; check the path")
    refuse_irregular(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if "lock" in str(error):
            raise SemrsmError(f"{path} cannot be opened ({error}): {remedy_of(error)}") from error
        raise SemrsmError(
            f"{path} is no RSM file or is damaged ({error}); compute it again"
        ) from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise SemrsmError(
            f"{path} is HDF5 but no RSM file; make one with: semrsm compute {path} -o OUT.rsm.h5"
        )
    version = str(file.attrs["format_version"])
    if version != FORMAT_VERSION:
        file.close()
        raise SemrsmError(
            f"{path} has format version {version}, this semrsm reads {FORMAT_VERSION}; update semrsm"
        )
    return RsmFile(path, file)


def row_blocks(matrix: h5py.Dataset) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, block of rows) of a stored matrix, top to bottom, some megabytes at a time."""
    rows = max(1, BLOCK_BYTES // (matrix.shape[1] * matrix.dtype.itemsize))
    for row in range(0, matrix.shape[0], rows):
        yield row, matrix[row : row + rows]
