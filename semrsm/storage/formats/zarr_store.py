"""Zarr, versions 2 and 3: arrays in nested folders, read in blocks of samples by the package zarr.

What an array is made of is read here first: nothing is unpickled, and what is not known is not tried.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import natural_key
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.zarr_chunks import PACKINGS, Chunks, Sharding
from semrsm.storage.input_files import refuse_irregular, refuse_more_than_memory
from semrsm.storage.layer import Layer

ARRAY, GROUP, NODE = ".zarray", ".zgroup", "zarr.json"  # metadata of version 2, and of version 3
LONGEST_METADATA = 1 << 20  # bytes
HARMLESS = {
    *PACKINGS,
    *("bytes", "endian", "transpose", "shuffle", "delta", "bitround", "fixedscaleoffset", "astype"),
    *("crc32", "crc32c", "adler32", "fletcher32", "vlen-utf8"),
}
SHARDS = "sharding_indexed"
INDICES = (["bytes"], ["bytes", "crc32c"])  # codecs of the indices of shards that are read
MUCH_MORE = 8  # times the bytes of a chunk, which filters may take
LITTLE = 1 << 20  # bytes that any chunk may take
TEXT = 1 << 13  # times the bytes of its place in a chunk, which a text may have


def is_zarr(path: Path, start: bytes) -> bool:
    """Say whether a folder is a Zarr store: a group or an array."""
    return path.is_dir() and any((path / name).is_file() for name in (NODE, ARRAY, GROUP))


def open_zarr(path: Path) -> Contents:
    """Open a Zarr store in a folder."""
    try:
        import zarr
    except ModuleNotFoundError:
        raise SemrsmError(
            f"{path} is a Zarr store, which is read with the package zarr; install it: pip install"
            " 'semrsm[zarr]'"
        ) from None
    arrays, files = {}, []
    for folder in sorted(
        _arrays_in(path), key=lambda f: natural_key(f.relative_to(path).as_posix())
    ):
        name = "/".join(folder.relative_to(path).parts) or path.stem
        layer, own = _layer_of(zarr, name, folder)
        if layer.shape:
            arrays[name] = layer
            files += own
    return Contents(arrays, unnamed=list(arrays) == [path.stem], files=files or [path])


def _arrays_in(path: Path) -> Iterator[Path]:
    """Yield the folders of the arrays in a store."""
    for top, folders, names in os.walk(path):
        node = NODE in names and _metadata(Path(top, NODE)).get("node_type") == "array"
        if node or ARRAY in names:
            folders.clear()  # those of its chunks
            yield Path(top)


def _metadata(path: Path) -> dict[str, Any]:
    refuse_irregular(path)
    with path.open("rb") as stream:
        content = stream.read(LONGEST_METADATA + 1)
    if len(content) > LONGEST_METADATA:
        raise ValueError(f"{path} has more than {LONGEST_METADATA} bytes")
    metadata = json.loads(content.decode())
    if not isinstance(metadata, dict):
        raise ValueError(f"{path} is no JSON object")
    return metadata


def _layer_of(zarr: Any, name: str, folder: Path) -> tuple[Layer, list[Path]]:
    """Return an array, and its files."""
    node = folder / (NODE if (folder / NODE).is_file() else ARRAY)
    about = _metadata(node)
    codecs = _codecs(about)
    if unknown := [codec for codec in _flat(codecs) if codec not in HARMLESS | {SHARDS}]:
        return _unread(name, about, unknown[0]), [node]
    packing = [codec for codec in _flat(codecs) if codec in PACKINGS]
    if len(packing) > 1:  # what comes of the first cannot be told of the second
        return _unread(name, about, " and ".join(packing)), [node]
    with warnings.catch_warnings():  # of types that Zarr may write otherwise some day
        warnings.simplefilter("ignore")
        array = zarr.open_array(
            zarr.storage.LocalStore(folder, read_only=True),
            mode="r",
            zarr_format=about.get("zarr_format"),
        )
    if array.dtype.kind == "O" and "vlen-utf8" not in _flat(codecs):
        return _unread(name, about, "object"), [node]
    if 0 in array.chunks or not array.shape:  # a single number, which is no layer
        return Layer(name, (), array.dtype, rows=lambda span: np.empty(0)), []
    sharding = _sharding(about, codecs, array.chunks)
    chunks = Chunks(folder, array.shape, array.chunks, sharding, next(iter(packing), None))
    dtype = array.dtype if array.dtype.kind in "biufcSUV" else np.dtype(object)

    def rows(span: slice) -> NDArray[Any]:
        n_bytes = math.prod(array.chunks) * dtype.itemsize
        refuse_more_than_memory(
            f"a chunk {array.chunks} of it", n_bytes, "save it in smaller chunks"
        )
        chunks.refuse_bombs(span, (MUCH_MORE if dtype.kind != "O" else TEXT) * n_bytes + LITTLE)
        return np.asarray(array[span]).astype(dtype, copy=False)

    layer = Layer(
        name,
        array.shape,
        dtype,
        rows=rows,
        layout=_text(array.attrs, "layout"),
        bfloat16=_text(array.attrs, "dtype") == "bfloat16",
        find_gaps=lambda: chunks.gaps,
        find_sources=lambda: list(chunks.files.values()),
        refuse_written=chunks.refuse_written,
    )
    return layer, [node, *chunks.files.values()]


def _codecs(about: Mapping[str, Any]) -> list[Any]:
    """Return the codecs of an array, outermost last: a name, or a name and its settings."""
    if about.get("zarr_format") == 3:
        return list(about.get("codecs") or [])
    return [
        *(about.get("filters") or []),
        *([about["compressor"]] if about.get("compressor") else []),
    ]


def _name(codec: Any) -> str:
    name = codec if isinstance(codec, str) else codec.get("name") or codec.get("id")
    return str(name).removeprefix("numcodecs.")


def _settings(codec: Any) -> Mapping[str, Any]:
    return {} if isinstance(codec, str) else codec.get("configuration") or {}


def _flat(codecs: Sequence[Any]) -> list[str]:
    """Return the names of codecs, those within shards included."""
    names = []
    for codec in codecs:
        settings = _settings(codec)
        within = [*settings.get("codecs", ()), *settings.get("index_codecs", ())]
        names += [_name(codec), *(_flat(within) if _name(codec) == SHARDS else ())]
    return names


def _sharding(
    about: Mapping[str, Any], codecs: Sequence[Any], chunks: tuple[int, ...]
) -> Sharding | None:
    """Return how shards hold the chunks of an array, if there are any."""
    settings = next((_settings(codec) for codec in codecs if _name(codec) == SHARDS), None)
    if settings is None:
        return None
    index = [_name(codec) for codec in settings.get("index_codecs", ())]
    if len(codecs) > 1 or index not in INDICES or SHARDS in _flat(settings["codecs"]):
        raise ValueError("its shards are packed, nested or have an index that is not read")
    shard = about["chunk_grid"]["configuration"]["chunk_shape"]
    return Sharding(
        tuple(whole // part for whole, part in zip(shard, chunks, strict=True)),
        at_end=settings.get("index_location", "end") == "end",
        checksum="crc32c" in index,
    )


def _unread(name: str, about: Mapping[str, Any], codec: str) -> Layer:
    """Return an array that is listed and not read."""

    def rows(span: slice) -> NDArray[Any]:
        raise SemrsmError(
            f"it is packed with '{codec}', which is not read; save it with blosc or zstd"
        )

    shape = tuple(about["shape"])
    return Layer(name, shape, np.dtype(object), rows=rows, pickled=True)


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value[:100] if isinstance(value, str) else None
