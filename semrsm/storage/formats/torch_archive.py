"""Torch's .pt and .pth: tensors in a zip archive, read where they lie; nothing but tensors is made of it.

`torch.load` is asked for weights only and for the device "meta", so that it reads names, shapes and places
and no values.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.joined import join, join_sets
from semrsm.storage.formats.strided import strided_layer
from semrsm.storage.layer import Layer

if TYPE_CHECKING:
    import torch

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
    import torch

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
        return torch.load(stream, map_location="meta", weights_only=True)
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


ToLayer = Callable[[str, "torch.Tensor"], Layer]


def _arrays_of(
    value: Any, stem: str, name: str, to_layer: ToLayer, count: Count
) -> Iterator[tuple[str, Layer]]:
    """Yield the arrays in what was saved, by name."""
    import torch

    count.one_more()
    own = name or stem
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and not value.is_quantized and value.dim():
            yield own, to_layer(own, value)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _arrays_of(entry, stem, f"{name}/{key}".lstrip("/"), to_layer, count)
    elif isinstance(value, list) and value and all(type(entry) in PLAIN for entry in value):
        values = np.array(value)
        yield own, Layer(own, values.shape, values.dtype, values.__getitem__)
    elif isinstance(value, list) and _are_batches(value):
        parts = [to_layer(f"{own}[{k}]", entry) for k, entry in enumerate(value)]
        yield own, join(own, parts, [part.name for part in parts])
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        sets = [dict(_arrays_of(entry, stem, name, to_layer, count)) for entry in value]
        yield from join_sets(sets, [f"{own}[{k}]" for k in range(len(sets))]).items()
    elif isinstance(value, list | tuple):
        for k, entry in enumerate(value):
            yield from _arrays_of(entry, stem, f"{name}/{k}".lstrip("/"), to_layer, count)


def _are_batches(value: list[Any]) -> bool:
    """Say whether these are tensors of one type and, but for their first axis, one shape."""
    import torch

    if not all(isinstance(entry, torch.Tensor) and entry.dim() > 1 for entry in value):
        return False
    return len({(entry.shape[1:], entry.dtype) for entry in value}) == 1


def _reader(stream: IO[bytes]) -> ToLayer:
    """Return what makes a layer of a tensor without values: it knows where they lie in the file."""

    def to_layer(name: str, tensor: torch.Tensor) -> Layer:
        import torch

        storage = tensor.untyped_storage()
        begin = getattr(storage, "_checkpoint_offset", None)
        if begin is None:
            raise SemrsmError(
                f"{stream.name}: torch {torch.__version__} does not say where tensors lie in a file; update"
                " torch, or save safetensors"
            )
        dtype, bfloat16 = _dtype_of(tensor)
        return strided_layer(
            name,
            stream,
            begin + tensor.storage_offset() * tensor.element_size(),
            dtype,
            tuple(tensor.shape),
            tensor.stride(),
            bfloat16,
        )

    return to_layer


def _dtype_of(tensor: torch.Tensor) -> tuple[np.dtype, bool]:
    """Return the type of values as NumPy has it, and whether they are bfloat16."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return np.dtype("<u2"), True
    name = str(tensor.dtype).removeprefix("torch.")
    if hasattr(np, name):
        return np.dtype(name), False
    return np.dtype(f"V{tensor.element_size()}"), False  # such as float8: listed, not computed with
