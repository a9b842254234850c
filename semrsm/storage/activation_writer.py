"""Writing activation files: batch by batch, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.storage.float_types import FLOAT_TYPES, FloatType, to_stored
from semrsm.storage.layer_names import check_layer_name
from semrsm.storage.recording_file import RecordingFile
from semrsm.storage.sample_arrays import SAMPLE_ARRAYS, as_sample_array

COMPRESSIONS = ("gzip", "lzf")
LAYOUTS = {2: "nd", 3: "ntd", 4: "nchw", 5: "ncdhw"}  # where none is given


class ActivationWriter:
    """Writes activations to an HDF5 file, batch by batch; use it in a `with` statement.

    The file is `PATH.unfinished` until the block ends well and gets its name then. A process that dies
    leaves it with all whole batches, marked as incomplete; `resume` goes on with it.

    Args:
        path: The file to write.
        dtype: "float16", "bfloat16" or "float32": what the layers are stored in.
        compression: "gzip" or "lzf"; None stores the numbers as they are.
        resume: Go on with the unfinished file, where there is one.
        overwrite: Replace a file of that name, and begin an unfinished one anew.
        about: How the activations are made, in what JSON holds. It is stored, and `resume` refuses a
            file that was made otherwise.

    Attributes:
        n_samples: Samples that are in the file.

    Raises:
        SemrsmError: The file is there, cannot be written, or is being written by another process; or
            there is no such dtype or compression.

    Example:
        >>> with semrsm.ActivationWriter("acts.h5") as writer:  # doctest: +SKIP
        ...     for images, names in batches:
        ...         writer.add({"layer4": run(images)}, samples=names)  # (b, c, h, w) float32
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str = "float16",
        compression: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind: FloatType = look_up(FLOAT_TYPES, dtype, "dtype")
        if compression is not None:
            look_up(dict.fromkeys(COMPRESSIONS), compression, "compression")
        self._file = RecordingFile(
            Path(path),
            dict(about or {}),
            compression=compression,
            resume=resume,
            overwrite=overwrite,
        )
        self._batch: dict[str, int] = {}  # layer -> samples written since the last commit
        self._ids: set[int] = set()  # hashes of the ids, which take less memory
        try:
            self._look_at_what_is_there()
        except BaseException:
            self._file.stop()
            raise

    def __enter__(self) -> ActivationWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
        except BaseException as failed:
            error = failed
            raise
        finally:
            if error is not None and (note := self.stop()):
                error.add_note(note)

    @property
    def n_samples(self) -> int:
        """Samples that are in the file."""
        return self._file.n_samples

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the file, in the order in which they came."""
        return tuple(name for name in self._file.datasets if name not in SAMPLE_ARRAYS)

    @property
    def sample_arrays(self) -> tuple[str, ...]:
        """Which of `samples`, `labels`, `logits` and `views` the file holds."""
        return tuple(name for name in self._file.datasets if name in SAMPLE_ARRAYS)

    def add(
        self,
        layers: Mapping[str, ArrayLike],
        *,
        samples: Iterable[object] | None = None,
        labels: ArrayLike | None = None,
        logits: ArrayLike | None = None,
        views: ArrayLike | None = None,
        layout: str | Mapping[str, str] | None = None,
    ) -> None:
        """Write a batch of b samples, and have it count.

        Args:
            layers: Name -> (b, ...) floats: (b, c, h, w), (b, t, d) or (b, d). The same names in every batch.
            samples: An id for each sample, all different.
            labels: (b,) whole numbers or texts, or (b, classes) of 0 and 1.
            logits: (b, classes) floats.
            views: (b,) whole numbers or texts: of what thing each sample is a view.
            layout: How the axes of the layers are read, such as "nhwc"; a mapping names it for some layers.

        Raises:
            SemrsmError: Names, numbers or shapes differ from those of the batches before, a value is too
                large for the dtype, or the disk is full. Nothing of the batch is in the file then.
        """
        try:
            for name, values in layers.items():
                named = layout.get(name) if isinstance(layout, Mapping) else layout
                try:
                    stored = to_stored(np.asarray(values), self.kind, self.n_samples)
                except SemrsmError as error:
                    raise error.within(f"layer '{name}'") from error
                self.write(name, stored, named)
            self.commit(samples=samples, labels=labels, logits=logits, views=views)
        except BaseException:
            self.rollback()
            raise

    def write(self, name: str, values: NDArray[Any], layout: str | None = None) -> None:
        """Write the samples of one layer, (b, ...) as `kind.dtype` stores them; `commit` ends the batch.

        Raises SemrsmError if the shape is not that of the batches before, or the name cannot be stored.
        """
        if values.ndim not in LAYOUTS:
            raise SemrsmError(
                f"layer '{name}' has the shape {values.shape}; give (n, channels, height, width),"
                " (n, tokens, channels) or (n, channels)"
            )
        if name in self._batch:
            raise SemrsmError(f"layer '{name}' was given twice in one batch; give it once")
        if name not in self._file.datasets:
            self._create_layer(name, values, layout or LAYOUTS[values.ndim])
        self._append(name, values)
        self._batch[name] = len(values)

    def commit(self, **arrays: Any) -> None:
        """End the batch: `samples`, `labels`, `logits` and `views` as `add` takes them.

        Raises SemrsmError if a layer is missing, numbers of samples differ, or the disk is full. The
        batch is forgotten then.
        """
        try:
            self._end_batch({name: values for name, values in arrays.items() if values is not None})
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Forget what was written since the last commit."""
        if self._batch:
            self._batch.clear()
            self._file.restore()

    def finish(self) -> None:
        """Mark the file as complete and give it its name.

        Raises SemrsmError if it holds no samples or half a batch, or cannot be written.
        """
        if self._batch:
            raise SemrsmError(
                f"{self._file.path}: a batch was written and not committed; commit it"
            )
        if not self.n_samples:
            raise SemrsmError(f"{self._file.path}: nothing was recorded; give one batch at least")
        self._file.finish()

    def stop(self) -> str | None:
        """Close the file as it is, unfinished; return what can be done with it, None if it holds nothing."""
        self._batch.clear()
        return self._file.stop()

    def _look_at_what_is_there(self) -> None:
        """Compare the type of the layers of a file that is gone on with, and read its ids."""
        for name in self.layers:
            dataset = self._file.datasets[name].hdf5
            kind = dataset.attrs.get("dtype", dataset.dtype.name)
            if kind != self.kind.name:
                raise SemrsmError(
                    f"{self._file.unfinished} holds {kind}, not {self.kind.name}; go on with"
                    f" `dtype='{kind}'`, or begin anew with `overwrite=True`"
                )
        if "samples" in self._file.datasets:
            self._ids = {hash(text) for text in self._file.datasets["samples"].hdf5.asstr()[:]}

    def _create_layer(self, name: str, values: NDArray[Any], layout: str) -> None:
        self._refuse_new(name)
        if len(layout) != values.ndim:
            raise SemrsmError(
                f"layer '{name}' has the shape {values.shape}, which is not '{layout}'; leave out its layout"
            )
        dataset = self._file.create(name, values.shape[1:], self.kind.dtype)
        dataset.attrs["layout"] = layout
        if self.kind.name == "bfloat16":
            dataset.attrs["dtype"] = "bfloat16"

    def _refuse_new(self, name: str) -> None:
        if self.n_samples:
            raise SemrsmError(
                f"layer '{name}' comes in this batch and was in none before; give the same layers always"
            )
        check_layer_name(name)
        if name in SAMPLE_ARRAYS:
            raise SemrsmError(
                f"a layer cannot be called '{name}', as {name} may be stored beside it; rename it"
            )
        for other in self._file.datasets:
            inner, outer = sorted((name, other), key=len, reverse=True)
            if inner.startswith(f"{outer}/"):
                raise SemrsmError(f"the layer '{inner}' would lie in '{outer}'; rename one of them")

    def _append(self, name: str, values: NDArray[Any]) -> None:
        dataset = self._file.datasets[name]
        shape = dataset.shape
        if shape != values.shape[1:]:
            raise SemrsmError(
                f"'{name}' has the shape {values.shape[1:]} a sample, and had {shape} in the"
                " batches before; bring all inputs to one size, or write a file for each"
            )
        if dataset.holds_texts != (values.dtype.kind == "O"):
            raise SemrsmError(
                f"{name} are texts in some batches and numbers in others; give one kind"
            )
        self._file.append(name, values)

    def _end_batch(self, per_sample: Mapping[str, Any]) -> None:
        if not self._batch:
            raise SemrsmError("the batch holds no layers; give one at least")
        n = self._n_of_batch()
        arrays = {name: as_sample_array(name, values) for name, values in per_sample.items()}
        ids = self._check_ids(arrays.get("samples"))
        for name, array in arrays.items():
            if len(array) != n:
                raise SemrsmError(
                    f"there are {len(array)} {name} for {n} samples; give one for each"
                )
            self._write_sample_array(name, array)
        for name in self._file.datasets:
            if name not in self._batch and name not in arrays:
                raise SemrsmError(
                    f"'{name}' is missing in this batch and was in those before; give it always or never"
                )
        self._file.commit(n)
        self._ids |= ids
        self._batch.clear()

    def _write_sample_array(self, name: str, array: NDArray[Any]) -> None:
        if name not in self._file.datasets:
            if self.n_samples:
                raise SemrsmError(
                    f"{name} come in this batch and in none before; give them always or never"
                )
            dtype = h5py.string_dtype() if array.dtype.kind == "O" else array.dtype
            self._file.create(name, array.shape[1:], dtype)
        self._append(name, array)

    def _check_ids(self, samples: NDArray[Any] | None) -> set[int]:
        """Return the hashes of the ids of this batch; two equal ones would make all of them useless."""
        ids: set[int] = set()
        for text in () if samples is None else samples:
            if hash(text) in self._ids or hash(text) in ids:
                raise SemrsmError(
                    f"the sample '{text}' comes twice; give every sample an id of its own"
                )
            ids.add(hash(text))
        return ids

    def _n_of_batch(self) -> int:
        first, n = next(iter(self._batch.items()))
        for name, count in self._batch.items():
            if count != n:
                raise SemrsmError(
                    f"layer '{name}' has {count} samples in this batch and '{first}' has {n}; the first axis"
                    " must count samples"
                )
        if not n:
            raise SemrsmError("the batch is empty; leave it out")
        return n
