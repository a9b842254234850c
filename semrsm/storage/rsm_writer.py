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

from semrsm.errors import SemrsmError
from semrsm.storage.rsm_checksums import digest_of, record_of, row_checksums
from semrsm.storage.rsm_file import FORMAT, FORMAT_VERSION
from semrsm.storage.rsm_layer import CHUNK, LayerInfo, checksums_digest
from semrsm.storage.rsm_schema import (
    CRC,
    ID_DATASETS,
    LAYER_ATTRIBUTES,
    MEMBERS,
    NORMS,
    RECORD,
)
from semrsm.storage.whole_files import aside, sync_file
from semrsm.version import __version__


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
        self._datasets: dict[str, h5py.Dataset] = {}
        self._checksums: dict[str, NDArray[np.uint32]] = {}  # of the rows of each dataset
        self._attributes = info.facts(*(key for key in LAYER_ATTRIBUTES if key != "parameters"))
        group.attrs.update(self._attributes)
        self._about: dict[str, dict[str, Any]] = {}  # what is said of a dataset
        self._create("matched", info.shape, "float64")

    def write_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record the matcher's parameters and how it was run."""
        self._attributes["parameters"] = dict(parameters)
        self._group.attrs["parameters"] = json.dumps(dict(parameters))

    def write_squared_norms(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> None:
        """Store the squared norms of the maps, (n,) each; one array serves a symmetric RSM."""
        paths = NORMS[self.info.storage_mode]
        for path, norms in dict(zip(paths, (rows, columns), strict=True)).items():
            self._create(path, norms.shape, "float64")
            self._write(path, 0, norms)

    def write_value_sums(self, sums: NDArray[np.float64]) -> None:
        """Store the sum of the values of each map of a symmetric RSM, (n,)."""
        self._create("value_sum", sums.shape, "float64")
        self._write("value_sum", 0, sums)

    def write_matched(self, row: int, block: NDArray[np.float64]) -> None:
        """Store the matched inner products of the rows from `row` on."""
        self._write("matched", row, block)

    def write_upper_bound(self, row: int, block: NDArray[np.float64]) -> None:
        """Store upper bounds of the matched inner products of the rows from `row` on."""
        if "upper_bound" not in self._datasets:
            self._create("upper_bound", self.info.shape, "float64")
        self._write("upper_bound", row, block)

    def create_kernel(self, kernel: str, sigma: float | None, dtype: str = "float32") -> None:
        """Make room for the RSM of a kernel, float32 or float64."""
        about = {"kernel": kernel} if sigma is None else {"kernel": kernel, "sigma": float(sigma)}
        self._create(f"rsm/{kernel}", self.info.shape, dtype).attrs.update(about)
        self._about[f"rsm/{kernel}"] = about

    def write_kernel(self, kernel: str, row: int, block: NDArray[np.float64]) -> None:
        """Store the rows of a kernel's RSM from `row` on."""
        self._write(f"rsm/{kernel}", row, block)

    def seal(self) -> str:
        """Write the checksums of all rows, and the record, whose digest is returned."""
        for path, dataset in self._datasets.items():
            dataset.attrs[CRC] = self._checksums[path]
        datasets = {
            path: {**self._about.get(path, {}), CRC: checksums_digest(checksums)}
            for path, checksums in self._checksums.items()
        }
        return _write_record(self._group, {"attributes": self._attributes, "datasets": datasets})

    def _create(self, path: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
        chunks = tuple(min(CHUNK, side) for side in shape) if len(shape) == 2 else shape
        self._datasets[path] = self._group.create_dataset(
            path, shape, np.dtype(dtype).newbyteorder("<"), chunks=chunks, fletcher32=True
        )
        self._checksums[path] = np.zeros(shape[0] if len(shape) == 2 else 1, np.uint32)
        return self._datasets[path]

    def _write(self, path: str, row: int, block: NDArray[np.floating]) -> None:
        dataset = self._datasets[path]
        stored = block.astype(dataset.dtype, copy=False)
        dataset[row : row + len(block)] = stored
        checksums = row_checksums(stored)
        self._checksums[path][row : row + len(checksums)] = checksums
        self._stream.check()


def _write_record(item: h5py.Group | h5py.Dataset, value: Any) -> str:
    """Write what is said of a group or dataset once more, as bytes, and return the digest of that."""
    record = record_of(value)
    item.attrs[RECORD] = record
    return digest_of(record.tobytes())


class RsmWriter:
    """An RSM file that is being made, under a temporary name in the folder of the output."""

    def __init__(self, file: h5py.File, stream: Stream) -> None:
        self._file = file
        self._stream = stream
        self._layers: dict[str, LayerWriter] = {}
        self._ids: dict[str, str | None] = dict.fromkeys(
            ID_DATASETS
        )  # the digests of their records
        self.metadata: dict[str, Any] = {}

    def write_samples(self, samples: list[str], of: str = "samples") -> None:
        """Store the ids of the samples, (n,) text; of those of the columns as "column_samples"."""
        self._file[of] = np.array(samples, dtype=h5py.string_dtype())
        self._ids[of] = _write_record(self._file[of], samples)

    def layer(self, info: LayerInfo) -> LayerWriter:
        """Begin a layer; raise SemrsmError if its name is where another layer has its datasets."""
        for other in self._layers:
            outer, inner = sorted((other, info.name), key=len)
            if f"{inner}/".startswith(tuple(f"{outer}/{name}/" for name in MEMBERS)):
                raise SemrsmError(
                    f"the layers '{outer}' and '{inner}' cannot be in one RSM file; compute each alone"
                )
        group = self._file.create_group(f"layers/{info.name}")
        self._layers[info.name] = LayerWriter(group, info, self._stream)
        return self._layers[info.name]

    def seal(self) -> None:
        """Write what is said of the whole file, last: it is what makes it an RSM file."""
        layers = {name: layer.seal() for name, layer in self._layers.items()}
        self._file.flush()
        self._stream.check()
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "generated_by": f"semrsm {__version__}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._file.attrs.update(about | {"metadata": json.dumps(self.metadata)})
        digests = {**self._ids, "layers": layers}
        _write_record(self._file, about | {"metadata": self.metadata, "digests": digests})


@contextlib.contextmanager
def writing(out: Path, overwrite: bool = False) -> Iterator[RsmWriter]:
    """Make an RSM file: written aside, synced, then renamed to `out` when the block ends well.

    Raises SemrsmError as `aside` does.
    """
    with aside(out, overwrite) as partial, Stream(partial, "x+") as stream:
        # The format of HDF5 1.10: every structure of the file has a checksum.
        with h5py.File(stream, "w", libver=("v110", "v110")) as file:
            writer = RsmWriter(file, stream)
            yield writer
            writer.seal()
        stream.check()
        sync_file(stream)
