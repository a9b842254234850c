"""Structural edits of HDF5 files, with h5py: what is there is removed, retyped, linked elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzzing.mutation import Mutation
from fuzzing.odd_things import ARRAY_EDITS, NAMES, NOT_FINITE, NUMBERS, TEXTS, pick
from fuzzing.text_edits import json_content

Rng = np.random.Generator
OPTIONAL = re.compile(r"(^|/)rsm(/[^/]+)?$|upper_bound$|^samples$")  # of an RSM file
KNOWN_ATTRIBUTES = ("layout", "dtype", "format", "format_version", "storage_mode", "sigma")


def _objects(file: h5py.File, kind: type | None = None) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return [name for name in names if kind is None or isinstance(file[name], kind)]


def _dataset(file: h5py.File, rng: Rng) -> str:
    return pick(rng, _objects(file, h5py.Dataset))


def _store(file: h5py.File, name: str, array: np.ndarray, **options: Any) -> None:
    """Put another array in place of a dataset; its attributes stay."""
    attributes = dict(file[name].attrs)
    del file[name]
    if array.dtype.kind == "O":
        options["dtype"] = h5py.string_dtype()
    dataset = file.create_dataset(name, data=array, **options)
    for key, value in attributes.items():
        dataset.attrs[key] = value


def _remove(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    name = pick(rng, _objects(file))
    del file[name]
    return f"{name} removed", bool(OPTIONAL.search(name))


def _rename(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    old, new = pick(rng, _objects(file)), pick(rng, NAMES).strip("/") or "x"
    parent = old.rpartition("/")[0]
    file.move(old, f"{parent}/{new}" if parent else new)
    return f"{old} renamed to {new[:40]!r}", bool(OPTIONAL.search(old))


def _another_name(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    old, new = pick(rng, _objects(file)), pick(rng, (*NAMES, "twice", "samples", "labels"))
    parent = pick(rng, ("", old.rpartition("/")[0]))
    new = f"{parent}/{new}".strip("/") or "x"
    item = file[old]
    if new in file:
        del file[new]
    file[new] = item
    return f"{old} also named {new[:40]!r}", "rsm" in old or new == "samples"


def _holders(file: h5py.File) -> list[tuple[str, str]]:
    everything = ["/", *_objects(file)]
    return [(name, key) for name in everything for key in file[name].attrs]


def _remove_attribute(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    if not (holders := _holders(file)):
        return _remove(file, rng)
    name, key = pick(rng, holders)
    del file[name].attrs[key]
    return f"attribute {key} of {name} removed", key == "parameters"


def _odd_attribute(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    added = pick(rng, ["/", *_objects(file)]), pick(rng, KNOWN_ATTRIBUTES)
    holders = _holders(file)
    name, key = added if rng.random() < 0.3 or not holders else pick(rng, holders)
    value = pick(
        rng,
        (
            pick(rng, TEXTS)[:60_000].replace("\x00", ""),
            pick(rng, TEXTS)[:9000].encode(),
            b"\xff\xfe not UTF-8",
            pick(rng, [n for n in NUMBERS if abs(n) < 2**63]),
            pick(rng, NOT_FINITE),
            h5py.Empty("f8"),
            np.zeros(3),
            np.array([b"a", b"b"]),
            np.zeros((), [("a", "f4"), ("b", "i2")]),
            file.ref,
            True,
        ),
    )
    file[name].attrs[key] = value
    return f"attribute {key} of {name} is {str(value)[:40]!r}", False


def _odd_json(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    texts = [(name, key) for name, key in _holders(file) if key in ("metadata", "parameters")]
    if not texts:
        return _odd_attribute(file, rng)
    name, key = pick(rng, texts)
    content, text = json_content(str(file[name].attrs[key]), rng)
    file[name].attrs[key] = content.replace("\x00", "")[:60_000].encode("utf-8", "surrogatepass")
    return f"attribute {key} of {name}: {text}", False


def _other_array(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    name = _dataset(file, rng)
    array, text = pick(rng, ARRAY_EDITS)(np.asarray(file[name][()]), rng)
    _store(file, name, array)
    return f"{name}: {text}", text.startswith("finite") or name == "samples"


def _odd_ids(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    texts = [n for n in _objects(file, h5py.Dataset) if file[n].dtype.kind in "OS"]
    if not texts:
        return _other_array(file, rng)
    name = pick(rng, texts)
    ids = np.array(
        [pick(rng, TEXTS)[:60_000].replace("\x00", "") for _ in file[name]], dtype=object
    )
    _store(file, name, ids)
    return f"{name}: odd texts", True


def _link(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    name = pick(rng, _objects(file))
    other = pick(rng, _objects(file))
    path = Path(file.filename).name
    link, text = pick(
        rng,
        (
            (h5py.SoftLink("/nowhere"), "a dangling link"),
            (h5py.SoftLink(f"/{name}"), "a link to itself"),
            (h5py.SoftLink(f"/{other}"), f"a link to {other}"),
            (h5py.ExternalLink("nowhere.h5", "/x"), "a link to a file that is not there"),
            (h5py.ExternalLink("/dev/zero", "/x"), "a link to a device"),
            (h5py.ExternalLink(path, f"/{other}"), f"a link to {other} in the file itself"),
            (file["/"], "a link to the root"),
            (file[other], f"the same as {other}"),
        ),
    )
    del file[name]
    if name in file:
        return f"{name} removed", False
    file[name] = link
    return f"{name} is {text}", False


def _without_values(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    name = _dataset(file, rng)
    shape, dtype = file[name].shape, file[name].dtype
    attributes = dict(file[name].attrs)
    del file[name]
    what = pick(rng, ("unwritten", "huge", "huge rows", "virtual", "external", "short", "null"))
    chunks = tuple(min(side, 64) for side in shape) or None
    if what == "unwritten":
        file.create_dataset(name, shape, dtype, chunks=chunks)
    elif what == "huge":
        file.create_dataset(name, (2**40, 64, 64), dtype, chunks=(1, 64, 64))
    elif what == "huge rows":
        file.create_dataset(name, (*(shape or (1,))[:1], 2**33), dtype, chunks=(1, 1024))
    elif what == "virtual":
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource("nowhere.h5", "x", shape)
        file.create_virtual_dataset(name, layout)
    elif what in ("external", "short") and dtype.kind in "fiu":
        raw = Path(file.filename).with_name("raw.bin")
        if what == "short":
            raw.write_bytes(bytes(8))
        size = int(np.prod(shape)) * dtype.itemsize
        file.create_dataset(name, shape, dtype, external=[(raw.name, 0, size)])
    else:
        file.create_dataset(name, data=h5py.Empty("f8"))
    for key, value in attributes.items():
        file[name].attrs[key] = value
    return f"{name}: {what}", False


def _other_kind(file: h5py.File, rng: Rng) -> tuple[str, bool]:
    name = pick(rng, _objects(file))
    del file[name]
    what = pick(rng, ("group", "type", "references", "scalar"))
    if what == "group":
        file.create_group(f"{name}/{pick(rng, ('matched', 'x', 'rsm'))}")
    elif what == "type":
        file[name] = np.dtype("f4")
    elif what == "references":
        file.create_dataset(name, data=[file.ref] * 12, dtype=h5py.ref_dtype)
    else:
        file[name] = 3.0
    return f"{name} is now a {what}", False


EDITS = (
    *(_other_array,) * 3,
    *(_odd_attribute,) * 2,
    *(_link,) * 2,
    *(_without_values,) * 2,
    *(_remove, _rename, _another_name, _remove_attribute, _odd_json, _odd_ids, _other_kind),
)


def edit_hdf5(path: Path, rng: Rng) -> Mutation:
    """Change what an HDF5 file holds; it stays one that libhdf5 opens."""
    with h5py.File(path, "r+") as file:
        text, valid = pick(rng, EDITS)(file, rng)
    return Mutation(text, valid)
