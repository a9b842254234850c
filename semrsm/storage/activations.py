"""Reading activations: files and folders of the formats in FORMATS as named layers, in blocks of samples.

Nothing is ever unpickled. HDF5 layers are read in blocks; so are .npy files and the members of an
uncompressed .npz. A member of a compressed .npz cannot be read in parts and is loaded whole:
`Layer.loaded_bytes` says so, and the planner counts its bytes. Nothing is mapped: reading a mapped
file that is cut short ends the process.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.formats import format_of, open_contents
from semrsm.storage.formats.batches import gather
from semrsm.storage.formats.contents import Contents
from semrsm.storage.layer import Layer


@dataclass(frozen=True)
class ActivationFile:
    """An open activation file; use it in a `with` statement.

    Attributes:
        path: Where it is.
        format: What its format is called.
        contents: What its reader gives of it.
    """

    path: Path
    format: str
    contents: Contents

    @property
    def arrays(self) -> Mapping[str, Layer]:
        """Every array in it, by name, layers or not, in the order of the file.

        That is the order in which they were made where an HDF5 group keeps track of that, and that of
        an archive; else the natural order.
        """
        return self.contents.arrays

    @property
    def files(self) -> Sequence[Path]:
        """The files that it consists of: itself, or those of a folder."""
        return self.contents.files or (self.path,)

    def close(self) -> None:
        """Close it."""
        self.contents.close()

    def __enter__(self) -> ActivationFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def layers(self) -> dict[str, Layer]:
        """Return the arrays taken when none is named: maps (3-D, 4-D), or else vectors (2-D)."""
        usable = {name: layer for name, layer in self.arrays.items() if layer.problem() is None}
        maps = {name: layer for name, layer in usable.items() if len(layer.shape) > 2}
        return maps or usable

    def select(self, patterns: tuple[str, ...] = (), bfloat16: bool = False) -> dict[str, Layer]:
        """Return the layers whose names match any of the globs, in the order of the file.

        Args:
            patterns: Names or globs; none means `layers()`.
            bfloat16: Read 2-byte arrays as bfloat16, as if they carried the attribute.

        Raises:
            SemrsmError: A pattern matches nothing, a named array is no layer, there is no layer.
        """
        arrays = _declare_bfloat16(self.arrays) if bfloat16 else self.arrays
        file = replace(self, contents=replace(self.contents, arrays=arrays))
        chosen = file._matching(patterns) if patterns else file.layers()
        if not chosen:
            content = (
                "; ".join(f"'{a.name}' {a.problem()}" for a in file.arrays.values())
                or "it is empty"
            )
            raise SemrsmError(
                f"{self.path}: no layer to compute with: {content}; save float arrays (n, ...)"
            )
        return chosen

    def _matching(self, patterns: tuple[str, ...]) -> dict[str, Layer]:
        """Return the layers matched by globs; an array named outright must be a layer."""
        arrays = {**(self.contents.batches or {}), **self.arrays}
        chosen: set[str] = set()
        for pattern in patterns:
            pattern = pattern.strip("/")
            if pattern in arrays:
                if problem := arrays[pattern].problem():
                    raise SemrsmError(f"{self.path}::{pattern} {problem}; choose another `layer`")
                chosen.add(pattern)
                continue
            matches = [
                n for n in fnmatch.filter(self.arrays, pattern) if not self.arrays[n].problem()
            ]
            if not matches:
                raise SemrsmError(f"{self.path}: {no_such(self.arrays, pattern, 'layer')}")
            chosen.update(matches)
        return {name: array for name, array in arrays.items() if name in chosen}


def _declare_bfloat16(arrays: Mapping[str, Layer]) -> dict[str, Layer]:
    """Mark every 2-byte integer or void array as bfloat16."""
    return {
        name: replace(a, bfloat16=a.bfloat16 or (a.dtype.itemsize == 2 and a.dtype.kind in "uV"))
        for name, a in arrays.items()
    }


def open_activations(path: Path) -> ActivationFile:
    """Open an activation file, or a folder of them; the format is told by first bytes, not by names.

    Raises SemrsmError if it is missing, not readable, of no known format, or damaged, or if the files of
    a folder, or arrays that are batches, do not fit each other.
    """
    known = format_of(path)
    contents = open_contents(path, known)
    if path.is_file():
        try:
            contents = gather(contents, path.stem)
        except SemrsmError as error:
            contents.close()
            raise error.within(path) from error
    return ActivationFile(path, known.name, contents)
