"""The HDF5 file under a recording: it grows in commits, survives a crash, and gets its name at the end."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5s
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.committed_file import CommittedFile
from semrsm.storage.sample_arrays import SAMPLE_ARRAYS
from semrsm.storage.whole_files import check_output, put_in_place
from semrsm.version import __version__

UNFINISHED = ".unfinished"  # behind the name of a file that is being recorded
COMPLETE, ABOUT = "complete", "recording"  # attributes of the file
CHUNK_BYTES = 1 << 19  # of one chunk of a layer, at least one sample
ALIGNMENT = 1 << 12  # bytes of a page of memory
ALIGNED_FROM = 16 * ALIGNMENT  # bytes of the smallest chunk that begins at a page
SHORT_CHUNK_BYTES = 1 << 13  # of ids, labels, logits and views


@dataclass(frozen=True)
class GrowingDataset:
    """A dataset that grows along its first axis, and facts about it: asking HDF5 each time is slow.

    Attributes:
        hdf5: What h5py has of it.
        shape: Of one sample.
        dtype: Of its numbers; object for texts.
        chunk: Samples of a chunk, where whole chunks can be written directly; None where they cannot.
    """

    hdf5: h5py.Dataset
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: int | None

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> GrowingDataset:
        """Ask HDF5 once."""
        direct = dataset.compression is None and dataset.dtype.kind != "O"
        chunk = dataset.chunks[0] if direct else None
        return cls(dataset, dataset.shape[1:], dataset.dtype, chunk)

    @property
    def holds_texts(self) -> bool:
        """Whether it holds texts."""
        return self.dtype.kind == "O"

    def append(self, start: int, values: NDArray[Any]) -> None:
        """Put samples behind the first `start` ones."""
        dataset_id = self.hdf5.id
        dataset_id.set_extent((start + len(values), *self.shape))
        if self.holds_texts:
            self.hdf5[start:] = values
            return
        block, rest = np.ascontiguousarray(values, self.dtype), [0 for _ in self.shape]
        if self.chunk and start % self.chunk == 0 == len(block) % self.chunk:
            for first in range(0, len(block), self.chunk):  # half as fast the other way
                dataset_id.write_direct_chunk(
                    (start + first, *rest), block[first : first + self.chunk]
                )
            return
        # What `dataset[start:] = values` comes to, without a millisecond of selections. HDF5 takes numpy's
        # float16 for another type than that of the file, and would convert every number.
        place = dataset_id.get_space()
        place.select_hyperslab((start, *rest), block.shape)
        dataset_id.write(h5s.create_simple(block.shape), place, block, dataset_id.get_type())


class RecordingFile:
    """An HDF5 file of datasets that grow along their first axis; what is not committed never was.

    Attributes:
        path: What it is called in the end.
        unfinished: What it is called until then.
        datasets: By name, in the order in which they were made.
        n_samples: Samples that are committed.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        *,
        compression: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Make the file, or open the one that is there; `ActivationWriter` says how."""
        check_output(path, overwrite, "path")
        self.path = path
        # Beside what a link leads to, so that it can be renamed.
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.unfinished = unfinished_name(target)
        self.datasets: dict[str, GrowingDataset] = {}
        self.n_samples = 0
        self._file: h5py.File | None = None
        self._about, self._compression, self._overwrite = dict(about), compression, overwrite
        there = os.path.lexists(self.unfinished)
        if there and not resume:
            self._remove_unfinished()
            there = False
        try:
            self._stream = CommittedFile(self.unfinished, new=not there)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._go_on() if there and self._stream.seek(0, os.SEEK_END) else self._begin()
        except BaseException:
            self._leave()
            raise

    def create(self, name: str, shape: Sequence[int], dtype: Any) -> h5py.Dataset:
        """Make a dataset of samples of a shape; one that comes after the first batch would lack samples."""
        assert self._file is not None
        group: h5py.Group = self._file
        *above, own = name.split("/")
        for part in above:
            group = group[part] if part in group else group.create_group(part, track_order=True)
        row_bytes = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        chunk_bytes = SHORT_CHUNK_BYTES if name in SAMPLE_ARRAYS else CHUNK_BYTES
        dataset = group.create_dataset(
            own,
            (0, *shape),
            dtype,
            maxshape=(None, *shape),
            chunks=(max(1, chunk_bytes // row_bytes), *(max(1, side) for side in shape)),
            compression=self._compression,
            shuffle=self._compression is not None,
            # Without compression chunks are written as they come, not copied into a cache first; h5py takes
            # 0 for the default.
            rdcc_nbytes=None if self._compression else 1,
        )
        self.datasets[name] = GrowingDataset.of(dataset)
        return dataset

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Put samples behind those that are committed."""
        self.datasets[name].append(self.n_samples, values)

    def commit(self, n: int = 0) -> None:
        """Have everything count, n samples more; raises SemrsmError if the disk is full."""
        assert self._file is not None
        try:
            self._file.flush()
            self._stream.commit()
        except OSError as error:
            raise self._unwritable(error) from error
        self.n_samples += n

    def restore(self) -> None:
        """Return to the last commit."""
        self._stream.discard()
        if self._file is not None:
            self._file.close()
        self._stream.restore()
        self._open("r+")

    def finish(self) -> None:
        """Mark it as complete and give it its name; raises SemrsmError if that cannot be."""
        assert self._file is not None
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self._file.attrs.update({"finished": finished, COMPLETE: True})
        self.commit()
        try:
            self._file.close()
            self._stream.sync()
            put_in_place(self.unfinished, self.path, self._overwrite, "path")
        except OSError as error:
            raise self._unwritable(error) from error
        self._stream.close()

    def stop(self) -> str | None:
        """Close it as it is; return what can be done with it, None if it holds nothing and was removed."""
        self._leave()
        if not self.n_samples:
            self.unfinished.unlink(missing_ok=True)
            return None
        return f"{self.n_samples} samples are in {self.unfinished}, from where recording can go on"

    def _leave(self) -> None:
        self._stream.discard()
        if self._file is not None:
            self._file.close()
        if not self._stream.closed:
            with contextlib.suppress(OSError):
                self._stream.restore()
                self._stream.sync()
            self._stream.close()

    def _remove_unfinished(self) -> None:
        if not self._overwrite:
            raise SemrsmError(
                f"{self.unfinished} is there, of a recording that did not end; go on with it (resume=True),"
                " or begin anew with `overwrite=True`"
            )
        CommittedFile(self.unfinished, new=False).close()  # refuses one that is being written
        self.unfinished.unlink()

    def _open(self, mode: str) -> None:
        # The format of HDF5 1.8: readable by all, and without the mark of a writer that died.
        # Chunks begin where pages of memory do: the system copies and syncs them a quarter faster.
        self._file = h5py.File(
            self._stream,
            mode,
            libver=("v108", "v108"),
            track_order=True,
            alignment_threshold=ALIGNED_FROM,
            alignment_interval=ALIGNMENT,
        )
        self.datasets.clear()
        for name, dataset in _datasets(self._file):
            self.datasets[name] = GrowingDataset.of(dataset)

    def _begin(self) -> None:
        self._open("w")
        assert self._file is not None
        created = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"generated_by": f"semrsm {__version__}", "created": created}
        self._file.attrs.update(about | {ABOUT: json.dumps(self._about), COMPLETE: False})
        self.commit()

    def _go_on(self) -> None:
        try:
            self._open("r+")
            assert self._file is not None
            about = json.loads(str(self._file.attrs[ABOUT]))
            self.n_samples = max(
                (len(dataset.hdf5) for dataset in self.datasets.values()), default=0
            )
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise SemrsmError(
                f"{self.unfinished} is no recording to go on with ({error}); remove it, or begin anew"
                " with `overwrite=True`"
            ) from error
        settings = json.loads(json.dumps(self._about))
        differ = sorted(key for key in about | settings if about.get(key) != settings.get(key))
        if self.n_samples and differ:
            differences = ", ".join(
                f"{k} {about.get(k)}, not {settings.get(k)}" for k in differ[:3]
            )
            raise SemrsmError(
                f"{self.unfinished} was recorded otherwise: {differences}; begin anew with `overwrite=True`,"
                " or record as before"
            )
        self._file.attrs.update({ABOUT: json.dumps(self._about), COMPLETE: False})

    def _unwritable(self, error: OSError) -> SemrsmError:
        why = error.strerror or error
        return SemrsmError(
            f"{self.unfinished} cannot be written ({why}); free space or choose another file"
        )


def unfinished_name(path: Path) -> Path:
    """Return what a file is called while it is being recorded.

    >>> unfinished_name(Path("acts.h5")).name
    'acts.h5.unfinished'
    """
    return path.with_name(path.name + UNFINISHED)


def _datasets(group: h5py.Group, above: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield all datasets by name, in the order in which they were made."""
    for name, item in group.items():
        if isinstance(item, h5py.Dataset):
            yield above + name, item
        else:
            yield from _datasets(item, f"{above}{name}/")
