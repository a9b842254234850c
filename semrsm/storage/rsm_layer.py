"""One layer of an RSM file: what is said of it, its datasets, and reading their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.rsm_checksums import digest_of, row_checksums
from semrsm.storage.rsm_schema import (
    CRC,
    LAYER_ATTRIBUTES,
    NORMS,
    REMEDY,
    array_of,
    attributes_of,
    count,
    has,
    json_object,
    member,
    numbers,
    reading,
    text,
    width,
)

CHUNK = 256  # rows and columns of a chunk of a stored matrix: 512 KiB of float64
BLOCK_BYTES = 32 << 20  # of a stored matrix that are read at a time, but at least one row of chunks

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
class StoredMatrix:
    """A dataset of an RSM file; its rows are read, and held against their checksums, when sliced.

    Attributes:
        place: The layer's address, for errors.
        path: Where the dataset is in the group of its layer.
        dataset: The dataset: (n, m), or (n,) for norms, which are one row.
    """

    place: str
    path: str
    dataset: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.dataset.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers, as they are read."""
        return self.dataset.dtype.newbyteorder("=")

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return some rows; raise SemrsmError if they cannot be read or are not what was written."""
        with reading(self.place):
            block = np.asarray(self.dataset[rows])
            if CRC in self.dataset.attrs:
                self._check(rows, block)
            return block.astype(self.dtype, copy=False)

    def _check(self, rows: slice, block: NDArray[Any]) -> None:
        stored = self.dataset.attrs[CRC][rows if block.ndim == 2 else slice(None)]
        checksums = row_checksums(block)
        if not np.array_equal(checksums, stored):
            row = int(np.argmax(checksums != stored)) + rows.indices(self.shape[0])[0]
            of_row = f" in row {row}" if block.ndim == 2 else ""
            raise SemrsmError(f"'{self.path}' is not what was written{of_row}; {REMEDY}")


def layer_of(
    name: str, group: h5py.Group, record: Mapping[str, Any] | None
) -> tuple[LayerInfo, dict[str, h5py.Dataset]]:
    """Return what is said of a layer, and its datasets by their path: all as FORMAT.md has it.

    Args:
        name: The layer.
        group: Its group.
        record: What its record holds; None in a file without records, where attributes are read.
    """
    attributes = attributes_of(group, LAYER_ATTRIBUTES) if record is None else record["attributes"]
    mode: Any = text(attributes, "storage_mode")
    if mode not in NORMS:
        raise SemrsmError(f"the storage mode '{mode}' is none of {', '.join(NORMS)}; {REMEDY}")
    n = count(attributes, "n_samples")
    n_columns = n if mode == "symmetric" else member(group, NORMS[mode][1], h5py.Dataset).size
    shape, double = (n, n_columns), (np.float64,)
    datasets = {"matched": numbers(group, "matched", shape, double)}
    if has(group, "upper_bound"):
        datasets["upper_bound"] = numbers(group, "upper_bound", shape, double)
    for path, length in zip(NORMS[mode], shape, strict=True):
        datasets[path] = numbers(group, path, (length,), double)
    if has(group, "value_sum"):
        datasets["value_sum"] = numbers(group, "value_sum", (n,), double)
    sigmas = {}
    for kernel in member(group, "rsm", h5py.Group) if has(group, "rsm") else ():
        path = f"rsm/{kernel}"
        datasets[path] = numbers(group, path, shape, (np.float32, np.float64))
        about = attributes_of(datasets[path], ("sigma",)) if record is None else record["datasets"]
        sigmas[kernel] = width(about if record is None else about.get(path, {}), "sigma")
    if record is not None:
        _refuse_others(datasets, record["datasets"])
    info = LayerInfo(
        name=name,
        matcher=text(attributes, "matcher"),
        layout=text(attributes, "layout"),
        n_positions=count(attributes, "n_positions"),
        n_channels=count(attributes, "n_channels"),
        n_samples=n,
        n_columns=n_columns,
        storage_mode=mode,
        parameters=json_object(attributes, "parameters") if "parameters" in attributes else {},
        sigmas=sigmas,
    )
    return info, datasets


def _refuse_others(datasets: Mapping[str, h5py.Dataset], about: Mapping[str, Any]) -> None:
    """Raise SemrsmError unless these are the datasets that a record is about."""
    for path in sorted({*datasets, *about}):
        if path not in datasets:
            raise SemrsmError(f"'{path}' is missing; {REMEDY}")
        checksums = array_of(datasets[path], CRC, np.uint32)
        if path not in about or checksums_digest(checksums) != about[path][CRC]:
            raise SemrsmError(f"'{path}' is not what was written; {REMEDY}")


def checksums_digest(checksums: NDArray[np.uint32]) -> str:
    """Return the digest of the checksums of the rows of a dataset."""
    return digest_of(checksums.astype("<u4").tobytes())


def row_blocks(matrix: StoredMatrix) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, block of rows) of a stored matrix, top to bottom, some megabytes at a time.

    Blocks begin where chunks begin, so that none is read twice.
    """
    rows = BLOCK_BYTES // (matrix.shape[1] * matrix.dtype.itemsize) // CHUNK * CHUNK
    rows = max(rows, CHUNK)
    for row in range(0, matrix.shape[0], rows):
        yield row, matrix[row : row + rows]
