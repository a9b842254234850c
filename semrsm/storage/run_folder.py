"""The run folder: what an unfinished run has found so far, tile by tile; FORMAT.md documents it.

Any number of processes, on any number of machines, may write into one folder: what two of them make
twice is the same. Every file is written aside and renamed, so a reader sees it whole or not at all.
Nothing here is synced to disk: after a power failure a file may be damaged, which its checksum shows.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.damage import DAMAGE
from semrsm.storage.formats.npz import read_arrays
from semrsm.storage.input_files import refuse_irregular
from semrsm.storage.run_json import DIGEST, as_text, differing, problem_of, run_id, with_digest
from semrsm.storage.run_lock import LOCK
from semrsm.storage.temporary_files import remove_if_left, remove_temporary, temporary_name
from semrsm.storage.whole_files import check_name, kind_of, open_file

Place = tuple[int, int]  # row and column of a tile in the grid of its layer
Arrays = dict[str, NDArray[Any]]

SUFFIX = ".run"
TILE_NAME = re.compile(r"(\d{1,9})-(\d{1,9})\.npz", re.ASCII)
LONGEST_PATH, ROOM = (
    4096,
    400,
)  # bytes of a path, and of what a run folder's own path is followed by
LONGEST_NAME = (
    150  # characters of a layer's name as a folder; a longer one is cut and told by its digest
)


def run_folder_of(out: Path) -> Path:
    """Return where the run folder of an output is, unless it is named.

    Raises SemrsmError if the output has a name that no file can have.

    >>> run_folder_of(Path("out.rsm.h5"))
    PosixPath('out.rsm.h5.run')
    """
    check_name(out)
    return out.with_name(out.name + SUFFIX)


@dataclass(frozen=True)
class TileFile:
    """A tile as it is stored.

    Attributes:
        matched: (a, b) float64.
        upper_bound: (a, b) float64; None unless certified.
        provenance: Where and with what it was made: host, solver, device, versions, seconds, solved_again.
    """

    matched: NDArray[np.float64]
    upper_bound: NDArray[np.float64] | None
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """A folder of tiles. `run` is what run.json holds: everything that shapes tiles."""

    path: Path
    run: Mapping[str, Any]

    @functools.cached_property
    def run_id(self) -> str:
        """A digest of what shapes the tiles; every tile carries it."""
        return run_id(self.run)

    def scan_path(self, layer: str) -> Path:
        """Return where the scan of a layer is."""
        return self.path / "scan" / f"{file_name(layer)}.npz"

    def tile_path(self, layer: str, place: Place) -> Path:
        """Return where a tile is."""
        return self.path / "tiles" / file_name(layer) / f"{place[0]}-{place[1]}.npz"

    def read_scan(self, layer: str) -> Arrays | None:
        """Return what a scan found; None where there is none, or one that is damaged or of another run."""
        arrays = _read_arrays(self.scan_path(layer))
        if arrays is None or self._provenance(arrays, layer) is None:
            return None
        return {name: array for name, array in arrays.items() if name != "made"}

    def write_scan(self, layer: str, arrays: Arrays) -> None:
        """Store what a scan found."""
        self._write(self.scan_path(layer), {**arrays, "made": self._mark(arrays, layer)})

    def places(self, layer: str) -> dict[Place, os.stat_result]:
        """Return which tiles of a layer are there, whole or damaged, and what the system says of them."""
        files = {}
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self.path / "tiles" / file_name(layer)) as entries,
        ):
            for entry in entries:
                if named := TILE_NAME.fullmatch(entry.name):
                    with contextlib.suppress(OSError):  # gone by now, or a link to nowhere
                        files[int(named[1]), int(named[2])] = entry.stat()
        return files

    def read_tile(self, layer: str, place: Place, shape: tuple[int, int]) -> TileFile | None:
        """Return a tile; None where there is none, or one that is damaged or of another run."""
        arrays = _read_arrays(self.tile_path(layer, place))
        provenance = None if arrays is None else self._provenance(arrays, layer, place)
        if arrays is None or provenance is None:
            return None
        names = ("matched", "upper_bound") if self.run["certify"] else ("matched",)
        if arrays.keys() != {*names, "made"} or not all(_fits(arrays[n], shape) for n in names):
            return None
        return TileFile(arrays["matched"], arrays.get("upper_bound"), provenance)

    def write_tile(self, layer: str, place: Place, tile: TileFile) -> None:
        """Store a tile."""
        arrays = {"matched": tile.matched}
        if tile.upper_bound is not None:
            arrays["upper_bound"] = tile.upper_bound
        mark = self._mark(arrays, layer, place, tile.provenance)
        self._write(self.tile_path(layer, place), {**arrays, "made": mark})

    def _mark(
        self,
        arrays: Arrays,
        layer: str,
        place: Place | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> NDArray[Any]:
        """Return what tells where a scan or tile belongs, and how it was made: JSON."""
        return np.array(json.dumps({**self._belonging(arrays, layer, place), **(provenance or {})}))

    def _belonging(self, arrays: Arrays, layer: str, place: Place | None) -> dict[str, Any]:
        tile = None if place is None else list(place)
        return {"run": self.run_id, "layer": layer, "tile": tile, "digest": _digest(arrays)}

    def _provenance(
        self, arrays: Arrays, layer: str, place: Place | None = None
    ) -> dict[str, Any] | None:
        """Return how a scan or tile was made; None if it belongs elsewhere, or is another one."""
        try:
            provenance = json.loads(str(arrays["made"]))
            expected = self._belonging(arrays, layer, place)
            return provenance if all(provenance[key] == expected[key] for key in expected) else None
        except (KeyError, TypeError, ValueError, RecursionError):
            return None

    def remove_tile(self, layer: str, place: Place) -> None:
        """Remove a tile, one that is damaged.

        Raises SemrsmError if it cannot be removed, as a folder that stands in its place.
        """
        path = self.tile_path(layer, place)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SemrsmError(
                f"{path} is no tile and cannot be removed ({error.strerror}); remove it, and give the"
                " command again"
            ) from error

    def holds_tiles(self) -> bool:
        """Say whether any tile is there."""
        return any(self.path.glob("tiles/*/*.npz"))

    def holds_scans(self) -> bool:
        """Say whether any layer has been scanned."""
        return any(self.path.glob("scan/*.npz"))

    def clear(self) -> None:
        """Remove what the run found so far; run.json last, so that a removal that is killed goes on."""
        for name in ("tiles", "scan"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / "run.json").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what is the run's, and the folder unless something else is in it."""
        try:
            self.clear()
            for partial in self.path.glob(".run.json.*.partial"):
                partial.unlink(missing_ok=True)
            (self.path / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()
        except BaseException as error:  # a signal: what is left says nothing true of the run
            error.add_note(f"what is left of {self.path} can be removed")
            raise

    def remove_leftovers(self) -> None:
        """Remove the temporary files of processes that have ended without removing them."""
        for pattern in (".*.partial", "scan/.*.partial", "tiles/*/.*.partial"):
            for partial in self.path.glob(pattern):
                remove_if_left(partial)

    def _write(self, path: Path, arrays: Arrays) -> None:
        partial = temporary_name(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
            partial.replace(path)
        except OSError as error:
            raise SemrsmError(
                f"{path} cannot be written ({error.strerror or error}); free space, or name another"
                " folder with `run_folder`"
            ) from error
        finally:
            remove_temporary(partial)


def start_run(path: Path, run: Mapping[str, Any]) -> RunFolder:
    """Make a run folder, or open the one that is there if it is of the same run.

    Raises SemrsmError if a folder of another run is there, saying what differs, or none can be made.
    """
    there = read_run(path) or _begin(RunFolder(path, run))
    if differences := differing(there.run, run):
        name, old, new = differences[0]
        for file in ("activations", "against"):
            if name.startswith(f"{file}."):
                raise SemrsmError(
                    f"{run[file]['path']} is not what it was when the run in {path} began"
                    f" ({name.removeprefix(file + '.')} {as_text(old)}, now {as_text(new)}); put the old"
                    " file back, or begin anew with `restart=True`"
                )
        raise SemrsmError(
            f"{path} holds a run whose {name} is {as_text(old)}, not {as_text(new)}; use what it was"
            " started with, or begin anew with `restart=True`, which throws its tiles away"
        )
    return there


def refuse_foreign(path: Path, out: Path) -> None:
    """Refuse a run folder that holds something else, or the output: it is removed in the end.

    Raises SemrsmError if there is something at `path` that no run has put there.
    """
    if path.absolute() in (out.absolute(), *out.absolute().parents):
        raise SemrsmError(
            f"the run folder {path} would hold the output, and is removed when that is written; name"
            " another one with `run_folder`"
        )
    check_name(path)
    if len(os.fsencode(path)) + ROOM > LONGEST_PATH:
        raise SemrsmError(
            f"the run folder {path} has a path of {len(os.fsencode(path))} bytes, too long for files in"
            " it; choose a shorter one"
        )
    own = re.compile(rf"{LOCK}|\.run\.json\..*\.partial")
    kind = kind_of(path)
    if kind == "folder":
        other = [entry.name for entry in path.iterdir() if not own.fullmatch(entry.name)]
        if not other or (path / "run.json").exists():
            return
    elif kind == "nothing":
        return
    raise SemrsmError(
        f"{path} is there and is no run folder; remove it or name another one with `run_folder`"
    )


def _begin(folder: RunFolder) -> RunFolder:
    """Write run.json; of two processes that begin at once both write the same."""
    partial = temporary_name(folder.path / "run.json")
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with partial.open("x") as stream:
            stream.write(json.dumps(with_digest(folder.run), indent=1))
        partial.replace(folder.path / "run.json")
        return folder
    except OSError as error:
        raise SemrsmError(
            f"the run folder {folder.path} cannot be made ({error.strerror or error}); name another"
            " one with `run_folder`"
        ) from error
    finally:
        remove_temporary(partial)


def read_run(path: Path) -> RunFolder | None:
    """Return the run folder at a path; None where there is none.

    Raises SemrsmError if there is one and it cannot be read.
    """
    refuse_irregular(path / "run.json")
    try:
        with open_file(path / "run.json") as stream:
            run = json.loads(stream.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise SemrsmError(
            f"{path / 'run.json'} cannot be read ({error}); begin anew with `restart=True`"
        ) from error
    if problem := problem_of(run):
        raise SemrsmError(
            f"{path / 'run.json'} does not describe a run: {problem}; begin anew with `restart=True`"
        )
    return RunFolder(path, {key: value for key, value in run.items() if key != DIGEST})


def file_name(layer: str) -> str:
    """Return a layer's name as the name of a file or folder: percent-encoded, cut where it is long.

    >>> file_name("encoder/layer 4"), file_name("..")
    ('encoder%2Flayer%204', '%2E.')
    """
    name = urllib.parse.quote(layer, safe="")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:100]}-{hashlib.blake2b(layer.encode(), digest_size=16).hexdigest()}"


def _digest(arrays: Arrays) -> str:
    """Return a digest of the numbers of a scan or tile."""
    content = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays.keys() - {"made"}):
        array = arrays[name]
        content.update(repr((name, array.shape, array.dtype.str)).encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def _fits(array: NDArray[Any], shape: tuple[int, int]) -> bool:
    return array.shape == shape and array.dtype == np.float64 and bool(np.isfinite(array).all())


def _read_arrays(path: Path) -> Arrays | None:
    """Return the arrays of a .npz, whose checksums are checked; None where it is missing or damaged."""
    try:
        with open_file(path) as stream:
            return read_arrays(stream)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # of a .npz whose parts lie where there is nothing
            return None
        raise SemrsmError(
            f"{path} cannot be read ({error.strerror}); see to the file system, and give the command"
            " again"
        ) from error
    except DAMAGE:
        return None
