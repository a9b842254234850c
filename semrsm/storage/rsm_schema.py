"""What an RSM file must hold, and refusing what it does not: the schema of FORMAT.md, piece by piece.

Everything here raises SemrsmError with what is wrong; `reading` puts the file and the layer in front.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.damage import DAMAGE
from semrsm.storage.rsm_checksums import digest_of, value_of

REMEDY = "the file is damaged or was changed; compute it again"

CRC = "crc32"  # attribute of a dataset: the CRC-32 of each of its rows
RECORD = (
    "record"  # attribute of the file, of its samples and of a layer: what is said of it, as bytes
)
ID_DATASETS = (
    "samples",
    "column_samples",
)  # of the file: ids of rows, and of a rectangular's columns
FILE_ATTRIBUTES = ("format", "format_version", "generated_by", "created", "metadata")
LAYER_ATTRIBUTES = (
    *("matcher", "layout", "n_positions", "n_channels", "n_samples", "storage_mode"),
    "parameters",
)
DATASET_ATTRIBUTES = ("kernel", "sigma")
NORMS = {  # storage mode -> the squared norms of rows and columns
    "symmetric": ("squared_norm", "squared_norm"),
    "rectangular": ("row_squared_norm", "column_squared_norm"),
}
MEMBERS = (
    "matched",
    "upper_bound",
    "value_sum",
    *sorted({*sum(NORMS.values(), ())}),
    "rsm",
)  # of a layer

H = TypeVar("H", h5py.Group, h5py.Dataset)


@contextlib.contextmanager
def reading(place: object) -> Iterator[None]:
    """Say of which file and layer what goes wrong in reading them; HDF5's own errors become one sentence."""
    try:
        yield
    except SemrsmError as error:
        raise error.within(place) from error
    except (*DAMAGE, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SemrsmError(f"{place} cannot be read ({reason}): {REMEDY}") from error


def attributes_of(item: h5py.Group | h5py.Dataset, names: Iterable[str]) -> dict[str, Any]:
    """Return those of some attributes that are there: one text or number each."""
    values = {}
    for name in names:
        if name in item.attrs:
            about = item.attrs.get_id(name)
            if about.shape != ():
                raise SemrsmError(
                    f"the attribute '{name}' has shape {about.shape}, not one value; {REMEDY}"
                )
            value = item.attrs[name]
            value = value.item() if isinstance(value, np.generic) else value
            values[name] = value.decode() if isinstance(value, bytes) else value
    return values


def array_of(item: h5py.Group | h5py.Dataset, name: str, dtype: type) -> NDArray[Any]:
    """Return an attribute that must be an array of numbers, (k,)."""
    if name not in item.attrs:
        raise SemrsmError(f"the attribute '{name}' is missing; {REMEDY}")
    about = item.attrs.get_id(name)
    if len(about.shape) != 1 or about.dtype != dtype:
        raise SemrsmError(
            f"the attribute '{name}' has shape {about.shape} and type {about.dtype}; {REMEDY}"
        )
    return item.attrs[name]


def read_record(item: h5py.Group | h5py.Dataset, digest: str | None = None) -> Any:
    """Return what the record of a group or dataset holds, the one of that digest."""
    record = array_of(item, RECORD, np.uint8)
    try:
        value = value_of(record)
    except ValueError as error:
        raise SemrsmError(f"{error}; {REMEDY}") from error
    if digest is not None and digest_of(record.tobytes()) != digest:
        raise SemrsmError(f"its record is of another file; {REMEDY}")
    return value


def text(attributes: Mapping[str, Any], name: str) -> str:
    """Return an attribute that must be text."""
    return _of_type(attributes, name, str, "text")


def count(attributes: Mapping[str, Any], name: str) -> int:
    """Return an attribute that must be a whole number above 0."""
    value: int = _of_type(attributes, name, int, "whole number")
    if value < 1:
        raise SemrsmError(f"the attribute '{name}' is {value}; {REMEDY}")
    return value


def width(attributes: Mapping[str, Any], name: str) -> float | None:
    """Return an attribute that must be a finite number above 0 if it is there."""
    if name not in attributes:
        return None
    value = float(_of_type(attributes, name, (int, float), "number"))
    if not 0 < value < math.inf:
        raise SemrsmError(f"the attribute '{name}' is {value}; {REMEDY}")
    return value


def json_object(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an attribute that must hold a JSON object; a record has it as one."""
    value = attributes.get(name)
    if not isinstance(value, dict):
        try:
            value = json.loads(text(attributes, name))
        except (ValueError, RecursionError) as error:
            raise SemrsmError(f"the attribute '{name}' is no JSON ({error}); {REMEDY}") from error
    if not isinstance(value, dict):
        raise SemrsmError(f"the attribute '{name}' holds no JSON object; {REMEDY}")
    return value


def _of_type(attributes: Mapping[str, Any], name: str, kind: Any, called: str) -> Any:
    if name not in attributes:
        raise SemrsmError(f"the attribute '{name}' is missing; {REMEDY}")
    if not isinstance(attributes[name], kind):
        type_name = type(attributes[name]).__name__
        raise SemrsmError(f"the attribute '{name}' is no {called} but {type_name}; {REMEDY}")
    return attributes[name]


def has(group: h5py.Group, name: str) -> bool:
    """Say whether a group holds a link of that name, wherever it leads."""
    return group.id.links.exists(_encoded(name))


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")  # as h5py has names that are no UTF-8


def member(group: h5py.Group, path: str, kind: type[H]) -> H:
    """Return what lies at a path below a group; no link on the way may lead elsewhere."""
    item: Any = group
    for name in (name for name in path.split("/") if name not in ("", ".")):
        if not isinstance(item, h5py.Group) or not has(item, name):
            raise SemrsmError(f"'{path}' is missing; {REMEDY}")
        if item.id.links.get_info(_encoded(name)).type != h5py.h5l.TYPE_HARD:
            raise SemrsmError(f"'{path}' is a link to another place; {REMEDY}")
        item = item[name]
    if not isinstance(item, kind):
        kind_name = kind.__name__.lower()
        raise SemrsmError(f"'{path}' is a {type(item).__name__.lower()}, no {kind_name}; {REMEDY}")
    return item


def numbers(
    group: h5py.Group, path: str, shape: tuple[int, ...], types: tuple[type, ...]
) -> h5py.Dataset:
    """Return a dataset of numbers that lies in this file, and there whole."""
    dataset = member(group, path, h5py.Dataset)
    if dataset.is_virtual or dataset.external is not None:
        raise SemrsmError(f"'{path}' lies in another file; {REMEDY}")
    if dataset.shape != shape:
        raise SemrsmError(f"'{path}' has shape {dataset.shape}, not {shape}; {REMEDY}")
    if dataset.dtype.newbyteorder("=") not in types:
        type_names = " or ".join(np.dtype(t).name for t in types)
        raise SemrsmError(f"'{path}' has type {dataset.dtype}, not {type_names}; {REMEDY}")
    refuse_gaps(dataset, path)
    return dataset


def refuse_gaps(dataset: h5py.Dataset, path: str) -> None:
    """Raise SemrsmError for a dataset with parts that were never written, which HDF5 reads as zeros."""
    if dataset.chunks is None:
        whole = dataset.id.get_storage_size() >= dataset.nbytes
    else:
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        whole = dataset.id.get_num_chunks() == math.prod(-(-n // chunk) for n, chunk in sides)
    if not whole:
        raise SemrsmError(f"'{path}' was never written in full; {REMEDY}")
