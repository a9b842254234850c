"""Reading everything that a file holds, to say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semrsm.errors import SemrsmError
from semrsm.sample_numbers import spans
from semrsm.storage.activations import open_activations
from semrsm.storage.global_heap import refuse_endless
from semrsm.storage.layer import Layer
from semrsm.storage.rsm_file import RsmFile, is_rsm_file, open_rsm
from semrsm.storage.rsm_layer import StoredMatrix, row_blocks
from semrsm.storage.rsm_schema import (
    DATASET_ATTRIBUTES,
    FILE_ATTRIBUTES,
    ID_DATASETS,
    LAYER_ATTRIBUTES,
    REMEDY,
    attributes_of,
    json_object,
    member,
    read_record,
    reading,
)

BLOCK_BYTES = 32 << 20  # of samples that are read at a time
NAMED = 8  # samples that a sentence names


def faults_of(path: Path) -> Iterator[str]:
    """Yield what is wrong with an activation or RSM file, one sentence for each array, after reading it all.

    Of an RSM file that is every dataset, of an activation file every sample of every layer.

    Example:
        >>> list(faults_of(Path("no-such-file.h5")))
        ['no-such-file.h5 does not exist; check the path.']
    """
    try:
        yield from _of_rsm_file(path) if is_rsm_file(path) else _of_activations(path)
    except SemrsmError as error:
        yield str(error)


def _of_rsm_file(path: Path) -> Iterator[str]:
    with open_rsm(path) as file:
        damaged = list(_faults(path, lambda: refuse_endless(path)))
        yield from damaged
        with_texts = file.digests is not None and not damaged
        if with_texts:
            yield from _faults(path, lambda: _compare_texts(file))
        yield from _faults(f"{path}::samples", lambda: _compare_samples(file, with_texts))
        for layer in file.layer_names():
            yield from _of_rsm_layer(file, layer, with_texts)


def _of_rsm_layer(file: RsmFile, layer: str, with_texts: bool) -> Iterator[str]:
    try:
        matrices = file.matrices(layer)
    except SemrsmError as error:
        yield str(error)
        return
    if with_texts:
        yield from _faults(f"{file.path}::{layer}", lambda: _compare_layer(file, layer))
    for matrix in matrices.values():
        yield from _of_matrix(matrix)


def _faults(place: object, read: Callable[[], Any]) -> Iterator[str]:
    """Yield what is wrong when something is read."""
    try:
        with reading(place):
            read()
    except SemrsmError as error:
        yield str(error)


def _compare_texts(file: RsmFile) -> None:
    """Compare the attributes of a file, which others read, with its record, which is read here."""
    _refuse_other_texts(file.file, read_record(file.file), FILE_ATTRIBUTES)


def _compare_samples(file: RsmFile, with_texts: bool) -> None:
    for name in ID_DATASETS:
        ids = file.samples(name)
        if ids is not None and with_texts and ids != list(file.file[name].asstr()[:]):
            raise SemrsmError(f"the ids in '{name}' are not what their record says; {REMEDY}")


def _compare_layer(file: RsmFile, layer: str) -> None:
    group = member(file.file, f"layers/{layer}", h5py.Group)
    record = read_record(group)
    _refuse_other_texts(group, record["attributes"], LAYER_ATTRIBUTES)
    for path, about in record["datasets"].items():
        _refuse_other_texts(group[path], about, DATASET_ATTRIBUTES)


def _refuse_other_texts(
    item: h5py.Group | h5py.Dataset, record: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Raise SemrsmError where an attribute is not what the record says."""
    attributes = attributes_of(item, names)
    for name in names:
        original, value = record.get(name), attributes.get(name)
        if isinstance(original, dict):
            value = json_object(attributes, name)
        if value != original:
            raise SemrsmError(f"the attribute '{name}' is not what its record says; {REMEDY}")


def _of_matrix(matrix: StoredMatrix) -> Iterator[str]:
    try:
        blocks = row_blocks(matrix) if len(matrix.shape) == 2 else [(0, matrix[:][:, None])]
        for row, block in blocks:
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                bad = row + int(np.argmin(finite))
                yield f"{matrix.place}: '{matrix.path}' holds NaN or infinity in row {bad}; {REMEDY}"
                return
    except SemrsmError as error:
        yield str(error)


def _of_activations(path: Path) -> Iterator[str]:
    with open_activations(path) as file:
        for layer in file.arrays.values():
            if layer.problem() is None:
                yield from _of_layer(f"{path}::{layer.name}", layer)


def _of_layer(place: str, layer: Layer) -> Iterator[str]:
    step = max(1, BLOCK_BYTES // max(1, layer.n_bytes // max(1, layer.n_samples)))
    bad: list[int] = []
    try:
        for start in range(0, layer.n_samples, step):
            samples = range(start, min(start + step, layer.n_samples))
            block = layer.read(samples, checked=False).reshape(len(samples), -1)
            bad += (start + np.flatnonzero(~np.isfinite(block).all(axis=1))).tolist()
    except SemrsmError as error:
        yield str(error.within(place))
    if bad:
        named = ", ".join(map(str, bad[:NAMED])) + (", …" if len(bad) > NAMED else "")
        yield (
            f"{place}: {len(bad)} of {layer.n_samples} samples hold NaN or infinity ({named});"
            f" leave them out with `exclude='{spans(bad)}'` or save them again"
        )
