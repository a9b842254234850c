"""Torch's .pt and .pth: tensors in a zip archive, read where they lie; nothing but tensors is made of it.

Torch itself is asked for names, shapes and places only; see semrsm/torch_archives.py.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.joined import join, join_sets
from semrsm.storage.formats.strided import strided_layer
from semrsm.storage.layer import Layer
from semrsm.torch_archives import StoredTensor, contents_of, stored_tensor

RECORD = "data.pkl"  # what an archive of torch holds names and shapes in
LONGEST_RECORD = 64 << 20  # bytes of it
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how torch before 1.6 began files
MOST_ENTRIES = 1_000_000
PLAIN = (int, float, bool, str)


def is_torch(path: Path, start: bytes) -> bool:
    """Say whether a file is an archive of torch, or what torch wrote before it had archives."""
    if start.startswith(LEGACY):
        return True
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:] == [RECORD] for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def open_torch(path: Path) -> Contents:
    """Open a file that torch.save wrote: a tensor, or tensors in dicts, lists and tuples.

    Of a dict, keys are the names of layers; a list of tensors are batches of one layer, which are joined;
    tensors of a tuple are layers of their own. Numbers and texts in a list become an array.
    """
    stream = path.open("rb")
    try:
        value = _load(path, stream)
        arrays = dict(_arrays_of(value, path.stem, "", _reader(stream), Count()))
    except BaseException:
        stream.close()
        raise
    return Contents(
        arrays, stream.close, unnamed=not isinstance(value, Mapping) and len(arrays) == 1
    )


def _load(path: Path, stream: IO[bytes]) -> Any:
    """Return what the file holds, its tensors without values."""
    if stream.read(len(LEGACY)) == LEGACY:
        raise SemrsmError(
            f"{path} was written in the format of torch before 1.6; load it with torch and save it again"
        )
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed, as torch does not")
            if member.filename.endswith(f"/{RECORD}") and member.file_size > LONGEST_RECORD:
                raise ValueError(f"{RECORD} has {member.file_size} bytes")
            if member.filename.endswith("/constants.pkl"):
                raise SemrsmError(
                    f"{path} is a TorchScript model, not activations; name the file of these"
                )
    stream.seek(0)
    try:
        return contents_of(stream)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|type) (\S+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise SemrsmError(
            f"{path} holds Python objects besides tensors{what}, which are never unpickled; save tensors"
            " only, such as torch.save({'layer1': x}, FILE), or safetensors"
        ) from error


class Count:
    """How many entries were looked at: a small file may name one many times over."""

    def __init__(self) -> None:
        self.left = MOST_ENTRIES

    def one_more(self) -> None:
        """Count one; raise ValueError if there are too many."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it holds more than {MOST_ENTRIES} entries")


ToLayer = Callable[[str, StoredTensor], Layer]


def _arrays_of(
    value: Any, stem: str, name: str, to_layer: ToLayer, count: Count
) -> Iterator[tuple[str, Layer]]:
    """Yield the arrays in what was saved, by name."""
    count.one_more()
    own, tensor = name or stem, stored_tensor(value)
    if tensor is not None:
        if tensor.begin is not None and tensor.shape:
            yield own, to_layer(own, tensor)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _arrays_of(entry, stem, f"{name}/{key}".lstrip("/"), to_layer, count)
    elif isinstance(value, list) and value and all(type(entry) in PLAIN for entry in value):
        values = np.array(value)
        yield own, Layer(own, values.shape, values.dtype, values.__getitem__)
    elif isinstance(value, list) and (batches := _batches_in(value)):
        parts = [to_layer(f"{own}[{k}]", batch) for k, batch in enumerate(batches)]
        yield own, join(own, parts, [part.name for part in parts])
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        sets = [dict(_arrays_of(entry, stem, name, to_layer, count)) for entry in value]
        yield from join_sets(sets, [f"{own}[{k}]" for k in range(len(sets))]).items()
    elif isinstance(value, list | tuple):
        for k, entry in enumerate(value):
            yield from _arrays_of(entry, stem, f"{name}/{k}".lstrip("/"), to_layer, count)


def _batches_in(value: list[Any]) -> list[StoredTensor]:
    """Return the tensors in a list that are of one type and one shape but for the first axis; else none."""
    tensors = [stored_tensor(entry) for entry in value]
    batches = [t for t in tensors if t is not None and t.begin is not None and len(t.shape) > 1]
    alike = len({(batch.shape[1:], batch.dtype) for batch in batches}) == 1
    return batches if alike and len(batches) == len(value) else []


def _reader(stream: IO[bytes]) -> ToLayer:
    """Return what makes a layer of a tensor without values: it knows where they lie in the file."""

    def to_layer(name: str, tensor: StoredTensor) -> Layer:
        assert tensor.begin is not None
        dtype, bfloat16 = _dtype_of(tensor)
        return strided_layer(
            name, stream, tensor.begin, dtype, tensor.shape, tensor.strides, bfloat16
        )

    return to_layer


def _dtype_of(tensor: StoredTensor) -> tuple[np.dtype, bool]:
    """Return the type of values as NumPy has it, and whether they are bfloat16."""
    if tensor.dtype == "bfloat16":
        return np.dtype("<u2"), True
    if hasattr(np, tensor.dtype):
        return np.dtype(tensor.dtype), False
    return np.dtype(f"V{tensor.itemsize}"), False  # such as float8: listed, not computed with
