"""Folders: one file for each sample, batch or layer, joined along samples in natural order of their names.

Files are opened one at a time, when they are read: there may be more of them than a process may open.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import natural_key
from semrsm.storage.damage import DAMAGE, WrittenError
from semrsm.storage.formats.batches import (
    BATCH,
    LAYER,
    are_alike,
    are_batches,
    are_single,
    common_name,
    gather,
    in_order,
    lack_samples_axis,
    layers_of,
    odd_one,
    refuse_missing,
    texts,
    with_samples_axis,
)
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.joined import join, join_sets
from semrsm.storage.input_files import refuse_written, stamp_of
from semrsm.storage.layer import Layer

Opener = Callable[[Path], Contents]
RUN = "run.json"  # marks the folder of a run


@dataclass(frozen=True)
class Member:
    """A file of a folder: its name with and without suffix, what it holds, and its files."""

    name: str
    stem: str
    arrays: Mapping[str, Layer]
    files: Sequence[Path]


def open_folder(path: Path, open_file: Opener, suffixes: Sequence[str]) -> Contents:
    """Open a folder of activation files, or one of such folders, one for each layer.

    Args:
        path: Where it is.
        open_file: Opens one file.
        suffixes: What names of activation files end with; other files are left alone.

    Raises SemrsmError naming the file that is none, or that does not fit the others.
    """
    if (path / RUN).exists():
        raise SemrsmError(f"{path} is the folder of a run, not activations; see semrsm status")
    reader = Reader(open_file)
    try:
        if members := _members(path, reader, suffixes):
            contents = _arranged(path, members)
        else:
            contents = _by_subfolder(path, reader, suffixes)
    except SemrsmError as error:
        reader.close()
        if str(error).startswith(str(path)):
            raise
        raise error.within(path) from error
    except BaseException:
        reader.close()
        raise
    return replace(contents, close=reader.close)


def _members(path: Path, reader: Reader, suffixes: Sequence[str]) -> list[Member]:
    """Open every activation file of a folder once, in natural order."""
    entries = [
        entry
        for entry in path.iterdir()
        if entry.suffix.lower() in suffixes and not entry.name.startswith(".")
    ]
    return [reader.member(entry) for entry in sorted(entries, key=lambda e: natural_key(e.name))]


def _arranged(path: Path, members: list[Member]) -> Contents:
    """Return what a folder of files holds: layers joined over files, or a layer for each file."""
    refuse_mixed([member.name for member in members])
    files = [file for member in members for file in member.files]
    if len(members) == 1:
        return replace(gather(Contents(members[0].arrays), members[0].stem), files=files)
    notes = []
    if lack_samples_axis([m.stem for m in members], [m.arrays for m in members]):
        members = [replace(m, arrays=with_samples_axis(m.arrays)) for m in members]
        notes.append(
            "each file is read as one sample, as its arrays look like maps without an axis of samples"
        )
    layers = [layers_of(member.arrays) for member in members]
    if all(len(arrays) == 1 for arrays in layers):
        contents = _one_array_each(path, members, [next(iter(f.values())) for f in layers])
    elif _are_layers_of_samples(members, layers):
        contents = _samples_in_each(members, layers)
    else:
        contents = _joined(members)
    return replace(contents, files=files, notes=(*notes, *contents.notes))


def refuse_mixed(names: Sequence[str]) -> None:
    """Refuse files of several kinds; raise SemrsmError naming the first two."""
    suffix = Path(names[0]).suffix
    other = next((name for name in names if Path(name).suffix != suffix), None)
    if other is not None:
        raise SemrsmError(
            f"it holds files of several kinds, {names[0]} and {other}; keep one kind in a folder"
        )


def _one_array_each(path: Path, members: list[Member], parts: list[Layer]) -> Contents:
    """Return files with one array each: samples or batches of one layer, or layers."""
    stems = [member.stem for member in members]
    counts = [part.shape[0] for part in parts]
    odd = odd_one(stems, parts)
    numbered = all(map(BATCH.search, stems)) or (are_alike(parts) and are_batches(stems, parts))
    as_batches = numbered or odd is not None
    if are_single(parts) or as_batches or len(set(counts)) > 1:
        if not as_batches and len(set(counts)) > 1:
            a, b = members[counts.index(min(counts))], members[counts.index(max(counts))]
            raise SemrsmError(
                f"{a.name} and {b.name} hold different numbers of samples and are not numbered as batches;"
                " rename them, or keep one in a folder"
            )
        if not are_single(parts) and odd is None:
            refuse_missing(stems)
        names = {part.name for part in parts}
        own = names.pop() if len(names) == 1 else common_name(stems, path.name)
        sets = [{own: part, **_beside(member)} for member, part in zip(members, parts, strict=True)]
        contents = _joined(
            [replace(m, arrays=arrays) for m, arrays in zip(members, sets, strict=True)]
        )
        return replace(contents, batches=_renamed(stems, parts))
    note = f"{len(members)} files are read as a layer each, in this order: {in_order(stems)}"
    return Contents(_renamed(stems, parts), notes=(note,))


def _beside(member: Member) -> dict[str, Layer]:
    layers = layers_of(member.arrays)
    return {name: array for name, array in member.arrays.items() if name not in layers}


def _renamed(names: Sequence[str], parts: Sequence[Layer]) -> dict[str, Layer]:
    return {name: replace(part, name=name) for name, part in zip(names, parts, strict=True)}


def _joined(members: list[Member]) -> Contents:
    """Return files that hold samples of every layer as one."""
    names = [member.name for member in members]
    arrays = join_sets([member.arrays for member in members], names)
    layers = layers_of(arrays)
    if not layers:
        raise SemrsmError(f"{names[0]} holds no layer; save float arrays (n, ...)")
    n = {layer.shape[0] for layer in layers.values()}
    single = n == {len(members)} and are_single([*layers_of(members[0].arrays).values()] * 2)
    if single and not any(a.dtype.kind in "USO" and a.shape == (*n,) for a in arrays.values()):
        arrays["samples"] = texts("samples", [member.stem for member in members])
    what = "one sample each" if single else f"batches, {' or '.join(map(str, n))} samples in all"
    note = f"{len(members)} files are read as {what}, in this order: {in_order(names)}"
    return Contents(arrays, notes=(note,))


def _are_layers_of_samples(members: list[Member], layers: list[dict[str, Layer]]) -> bool:
    """Say whether each file is a layer with an array for each sample, as Net2Brain consolidates them."""
    if not all(
        are_single(list(arrays.values())) and are_alike(list(arrays.values())) for arrays in layers
    ):
        return False
    if any(map(LAYER.search, layers[0])):
        return False
    if len({tuple(arrays) for arrays in layers}) > 1:
        return False
    shapes = {next(iter(arrays.values())).shape for arrays in layers}
    return len(shapes) > 1 or all("consolidated" in member.stem for member in members)


def _samples_in_each(members: list[Member], layers: list[dict[str, Layer]]) -> Contents:
    names = [member.stem.removeprefix("consolidated_") for member in members]
    ids = list(layers[0])
    arrays = {
        name: join(name, list(f.values()), ids) for name, f in zip(names, layers, strict=True)
    }
    note = (
        f"{len(members)} files are read as a layer each, {in_order(names)}, and their {len(ids)} arrays as"
        f" one sample each, in this order: {in_order(ids)}"
    )
    return Contents({**arrays, "samples": texts("samples", ids)}, notes=(note,))


def _by_subfolder(path: Path, reader: Reader, suffixes: Sequence[str]) -> Contents:
    """Return a folder of folders, one for each layer, as thingsvision writes them."""
    arrays: dict[str, Layer] = {}
    notes: list[str] = []
    files: list[Path] = []
    ids: list[Layer] = []
    subfolders = [entry for entry in path.iterdir() if entry.is_dir() and entry.name[0] != "."]
    for sub in sorted(subfolders, key=lambda s: natural_key(s.name)):
        members = _members(sub, reader, suffixes)
        if not members:
            continue
        try:
            contents = _arranged(sub, members)
        except SemrsmError as error:
            raise error.within(sub) from error
        layers = layers_of(contents.arrays)
        alone = len(layers) == 1
        named = [sub.name if alone else f"{sub.name}/{name}" for name in layers]
        arrays |= _renamed(named, list(layers.values()))
        notes += [f"{sub.name}: {note}" for note in contents.notes]
        files += contents.files
        ids += [contents.arrays["samples"]] if "samples" in contents.arrays else []
    if not arrays:
        raise SemrsmError(
            f"{path} holds no activation files ({', '.join(suffixes)}); name a file, or a folder that does"
        )
    if len(ids) == len(notes) and len({tuple(a.rows(slice(None)).tolist()) for a in ids}) == 1:
        arrays["samples"] = ids[0]
    return Contents(arrays, notes=notes, files=files)


class Reader:
    """Opens the files of a folder as they are read, and keeps the last one open."""

    def __init__(self, open_file: Opener) -> None:
        self._open = open_file
        self._last: tuple[Path, Contents] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close what is open."""
        if self._last is not None:
            self._last[1].close()
            self._last = None

    def member(self, path: Path) -> Member:
        """Return a file of the folder; its arrays open it again when they are read."""
        contents = self._open(path)
        try:
            files = contents.files or (path,)
            stamps = [(file, stamp_of(file)) for file in files]
            arrays = {n: self._lazy(path, n, a, stamps) for n, a in contents.arrays.items()}
        finally:
            contents.close()
        return Member(path.name, path.stem, arrays, files)

    def _lazy(self, path: Path, name: str, array: Layer, stamps: Sequence[Any]) -> Layer:
        def rows(span: slice) -> NDArray[Any]:
            with self._opened(path, array) as layer:
                return layer.rows(span)

        def refuse(_: slice) -> None:
            with _within(path):
                refuse_written(stamps)

        with _within(path):  # now that the file is open: there may be thousands to open again
            gaps, sources = array.find_gaps(), [*(f for f, _ in stamps), *array.find_sources()]
        return replace(
            array,
            rows=rows,
            find_gaps=lambda: gaps,
            find_sources=lambda: sources,
            refuse_written=refuse,
        )

    @contextlib.contextmanager
    def _opened(self, path: Path, known: Layer) -> Iterator[Layer]:
        """Open a file, unless it is the last one, and give the array of it that is known already."""
        with self._lock, _within(path):
            if self._last is None or self._last[0] != path:
                self.close()
                self._last = path, self._open(path)
            layer = self._last[1].arrays.get(known.name)
            if layer is None or (layer.shape, layer.dtype) != (known.shape, known.dtype):
                raise WrittenError("the file was written to since it was opened")
            yield layer


@contextlib.contextmanager
def _within(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong."""
    try:
        yield
    except SemrsmError as error:
        if path.name in str(error):
            raise
        raise error.within(path.name) from error
    except WrittenError as error:
        raise WrittenError(f"{path.name}: {error}") from error
    except MemoryError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{path.name}: {error}") from error
