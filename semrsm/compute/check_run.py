"""What an unfinished run has in its folder, and reading all of it to say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semrsm.compute.status import open_folders
from semrsm.compute.tiled_layer import grid_of
from semrsm.errors import SemrsmError
from semrsm.storage.rsm_schema import reading

REMEDY = "it is made again when the run goes on"


def run_contents(path: Path) -> list[dict[str, Any]]:
    """Return a row for each layer of a run: its samples, its tiles, and how many of them are there.

    Raises SemrsmError if there is no run folder, or one whose run.json is damaged.
    """
    [folder] = open_folders(path, [path])
    with reading(path):
        return [
            {
                "layer": name,
                "rows": about["n_samples"],
                "columns": about["n_columns"],
                "matcher": folder.run["matcher"],
                "tiles": len(grid_of(about).tiles),
                "tiles_there": len(folder.places(name)),
            }
            for name, about in folder.run["layers"].items()
        ]


def run_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong in a run folder, one sentence for each file, after reading every tile."""
    try:
        with reading(path):
            yield from _faults(path)
    except SemrsmError as error:
        yield str(error)


def _faults(path: Path) -> Iterator[str]:
    [folder] = open_folders(path, [path])
    for name, about in folder.run["layers"].items():
        scan = folder.scan_path(name)
        if scan.exists() and folder.read_scan(name) is None:
            yield f"{scan} is damaged; {REMEDY}"
        grid, there = grid_of(about), folder.places(name)
        for tile in grid.tiles:
            place, shape = grid.place(tile), (len(tile.rows), len(tile.columns))
            if place in there and folder.read_tile(name, place, shape) is None:
                yield f"{folder.tile_path(name, place)} is damaged or of another run; {REMEDY}"
