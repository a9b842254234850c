"""Writing an RSM file: aside, synced, then renamed, so that no reader ever sees half a file."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.storage.rsm_file import FORMAT, FORMAT_VERSION, LayerInfo
from semrsm.storage.whole_files import aside, sync_file
from semrsm.version import __version__

CHUNK = 256  # rows and columns of a chunk of a stored matrix: 512 KiB of float64


class Stream(io.FileIO):
    """A file that keeps a failed write to itself until `check` is called.

    HDF5 crashes the process when it learns of a failed write, at the latest at exit. What comes here
    after a failure is dropped; the file is worthless then and removed.
    """

    failure: BaseException | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or take note of why not."""
        try:
            view = memoryview(data).cast("B")
            while self.failure is None and view:
                view = view[super().write(view) :]
        except BaseException as error:
            self.failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or take note of why not."""
        try:
            if self.failure is None:
                super().truncate(size)
        except BaseException as error:
            self.failure = error
        return size or 0

    def check(self) -> None:
        """Raise what a write failed with."""
        if self.failure is not None:
            raise self.failure


class LayerWriter:
    """Writes one layer into an RSM file that is being made, by strips of rows from top to bottom.

    Strips that begin and end at multiples of CHUNK fill whole chunks, so that none is read again.
    """

    def __init__(self, group: h5py.Group, info: LayerInfo, stream: Stream) -> None:
        self.info = info
        self._group = group
        self._stream = stream
        for key in ("matcher", "layout", "n_positions", "n_channels", "n_samples", "storage_mode"):
            group.attrs[key] = getattr(info, key)
        self._matched = _create_matrix(group, "matched", info.shape, np.float64)

    def write_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record the matcher's parameters and how it was run."""
        self._group.attrs["parameters"] = json.dumps(dict(parameters))

    def write_squared_norms(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> None:
        """Store the squared norms of the maps, (n,) each; one array serves a symmetric RSM."""
        if self.info.storage_mode == "symmetric":
            self._group["squared_norm"] = rows
        else:
            self._group["row_squared_norm"] = rows
            self._group["column_squared_norm"] = columns

    def write_matched(self, row: int, block: NDArray[np.float64]) -> None:
        """Store the matched inner products of the rows from `row` on."""
        self._write(self._matched, row, block)

    def write_upper_bound(self, row: int, block: NDArray[np.float64]) -> None:
        """Store upper bounds of the matched inner products of the rows from `row` on."""
        if "upper_bound" not in self._group:
            _create_matrix(self._group, "upper_bound", self.info.shape, np.float64)
        self._write(self._group["upper_bound"], row, block)

    def create_kernel(self, kernel: str, sigma: float | None, dtype: str = "float32") -> None:
        """Make room for the RSM of a kernel, float32 or float64."""
        group = self._group.require_group("rsm")
        dataset = _create_matrix(group, kernel, self.info.shape, np.dtype(dtype))
        dataset.attrs["kernel"] = kernel
        if sigma is not None:
            dataset.attrs["sigma"] = sigma

    def write_kernel(self, kernel: str, row: int, block: NDArray[np.float64]) -> None:
        """Store the rows of a kernel's RSM from `row` on."""
        matrix = self._group["rsm"][kernel]
        self._write(matrix, row, block.astype(matrix.dtype))

    def _write(self, matrix: h5py.Dataset, row: int, block: NDArray[np.floating]) -> None:
        matrix[row : row + len(block)] = block
        self._stream.check()


def _create_matrix(
    group: h5py.Group, name: str, shape: tuple[int, int], dtype: type | np.dtype
) -> h5py.Dataset:
    chunks = tuple(min(CHUNK, side) for side in shape)
    return group.create_dataset(name, shape, dtype, chunks=chunks)


class RsmWriter:
    """An RSM file that is being made, under a temporary name in the folder of the output."""

    def __init__(self, file: h5py.File, stream: Stream) -> None:
        self._file = file
        self._stream = stream
        self.metadata: dict[str, Any] = {}

    def write_samples(self, samples: list[str]) -> None:
        """Store the ids of the samples, (n,) text."""
        self._file["samples"] = np.array(samples, dtype=h5py.string_dtype())

    def layer(self, info: LayerInfo) -> LayerWriter:
        """Begin a layer."""
        return LayerWriter(self._file.create_group(f"layers/{info.name}"), info, self._stream)

    def seal(self) -> None:
        """Write what is said of the whole file; the marks that make it an RSM file come last."""
        self._file.attrs["generated_by"] = f"semrsm {__version__}"
        self._file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._file.attrs["metadata"] = json.dumps(self.metadata)
        self._file.flush()
        self._stream.check()
        self._file.attrs["format_version"] = FORMAT_VERSION
        self._file.attrs["format"] = FORMAT


@contextlib.contextmanager
def writing(out: Path, overwrite: bool = False) -> Iterator[RsmWriter]:
    """Make an RSM file: written aside, synced, then renamed to `out` when the block ends well.

    Raises SemrsmError as `aside` does.
    """
    with aside(out, overwrite) as partial, Stream(partial, "x+") as stream:
        with h5py.File(stream, "w") as file:
            writer = RsmWriter(file, stream)
            yield writer
            writer.seal()
        stream.check()
        sync_file(stream)
