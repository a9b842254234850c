"""How far a run is, read from its run folder: from any terminal, on any machine that sees the folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from semrsm.compute.grid import Grid
from semrsm.compute.tiled_layer import grid_of
from semrsm.errors import SemrsmError
from semrsm.storage.rsm_file import is_rsm_file
from semrsm.storage.run_folder import Place, RunFolder, read_run, run_folder_of
from semrsm.storage.run_json import differing
from semrsm.storage.run_lock import holder, is_locked

RECENT = 64  # tiles, the last ones, that the rate is taken from


@dataclass(frozen=True)
class LayerStatus:
    """How far one layer is.

    Attributes:
        layer: Its name.
        tiles: How many there are in all.
        tiles_done: How many are in the run folder.
        tiles_missing: How many are not.
        pairs: How many pairs there are in all.
        pairs_done: How many of them are in tiles that are done.
    """

    layer: str
    tiles: int
    tiles_done: int
    tiles_missing: int
    pairs: int
    pairs_done: int


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        output: The RSM file.
        folders: Its run folders; none once the file is written.
        layers: How far each layer is.
        pairs_per_second: Of all processes together, from the times of the last tiles; None if unknown.
        seconds_left: At that rate; None if unknown, 0 when nothing is missing.
        seconds_since_last_tile: None where there is no tile.
        at_work: Which process holds the run folder; None where none does, or nobody can know.
    """

    output: str
    folders: list[str]
    layers: list[LayerStatus]
    pairs_per_second: float | None
    seconds_left: float | None
    seconds_since_last_tile: float | None
    at_work: str | None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield a record for each layer, as `pandas.DataFrame` takes them."""
        return (asdict(layer) for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def run_status(out: Path, folders: Iterable[Path] = ()) -> RunStatus:
    """Return how far the run that writes `out` is.

    Args:
        out: The RSM file.
        folders: Its run folders; none means the one beside it.

    Raises SemrsmError if there is neither a run folder nor the file.
    """
    opened = open_folders(out, folders, missing=not (out.is_file() and is_rsm_file(out)))
    if not opened:
        return RunStatus(str(out), [], [], None, 0.0, None, None)
    layers, times = [], []
    for name, about in opened[0].run["layers"].items():
        grid = grid_of(about)
        there = places(opened, name)
        pairs_of = {grid.place(tile): tile.n_pairs for tile in grid.tiles}
        done = {place: when for place, when in there.items() if place in pairs_of}
        layers.append(
            LayerStatus(
                name,
                len(pairs_of),
                len(done),
                len(pairs_of) - len(done),
                grid.n_pairs,
                sum(pairs_of[place] for place in done),
            )
        )
        times += [(when, pairs_of[place]) for place, when in done.items()]
    rate = _rate(times)
    left = sum(layer.pairs - layer.pairs_done for layer in layers)
    seconds_left = 0.0 if not left else left / rate if rate else None
    since = max(0.0, time.time() - max(when for when, _ in times)) if times else None
    at_work = next((holder(f.path) for f in opened if is_locked(f.path)), None)
    paths = [str(folder.path) for folder in opened]
    return RunStatus(str(out), paths, layers, rate, seconds_left, since, at_work)


def open_folders(out: Path, folders: Iterable[Path], missing: bool = True) -> list[RunFolder]:
    """Return the run folders of an output, all of one run.

    Args:
        out: The RSM file.
        folders: Where they are; none means beside the output.
        missing: Raise if there is none.

    Raises SemrsmError if a folder is none, or they are of different runs.
    """
    paths = list(folders) or [run_folder_of(out)]
    opened: list[RunFolder] = []
    for path in paths:
        folder = read_run(path)
        if folder is None:
            if missing or folders:
                raise SemrsmError(
                    f"{path} is no run folder; check the path, or begin the run with semrsm compute"
                )
            continue
        if opened and (different := differing(opened[0].run, folder.run)):
            name, ours, theirs = different[0]
            raise SemrsmError(
                f"{opened[0].path} and {path} are of different runs ({name} is {ours} and {theirs});"
                " name the folders of one run"
            )
        opened.append(folder)
    return opened


def places(folders: Iterable[RunFolder], layer: str) -> dict[Place, float]:
    """Return the tiles of a layer that are in any folder, and when each was written."""
    times: dict[Place, float] = {}
    for folder in folders:
        times |= {place: status.st_mtime for place, status in folder.places(layer).items()}
    return times


def missing_places(folders: list[RunFolder], layer: str, grid: Grid) -> list[Place]:
    """Return the tiles of a layer that are in none of the folders."""
    there = places(folders, layer)
    return [place for place in map(grid.place, grid.tiles) if place not in there]


def _rate(times: list[tuple[float, int]]) -> float | None:
    """Return pairs per second from (when, pairs) of tiles: of the last ones, without the first of them."""
    last = sorted(times)[-RECENT:]
    if len(last) < 2 or last[-1][0] <= last[0][0]:
        return None
    return sum(pairs for _, pairs in last[1:]) / (last[-1][0] - last[0][0])
