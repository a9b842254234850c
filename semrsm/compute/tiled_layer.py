"""The tiles of a layer as one matrix: read tile by tile, or in strips of whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.grid import Grid
from semrsm.compute.scan import LayerScan, scan_of
from semrsm.engine.kernels import Matched
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.storage.rsm_writer import CHUNK
from semrsm.storage.run_folder import Place, RunFolder, TileFile

Floats = NDArray[np.float64]
STRIP_SHARE = 8  # of the memory granted, a strip of matched inner products takes one part


@dataclass(frozen=True)
class Folders:
    """The run folders of one run: a tile is in any of them.

    Attributes:
        folders: At least one; all of the same run.
    """

    folders: Sequence[RunFolder]

    @property
    def run(self) -> Mapping[str, Any]:
        """What shapes the tiles."""
        return self.folders[0].run

    def tile(self, layer: str, grid: Grid, tile: Tile) -> TileFile:
        """Return a tile; raise SemrsmError if none of the folders holds it whole."""
        place = grid.place(tile)
        for folder in self.folders:
            tile_file = folder.read_tile(layer, place, tile.shape)
            if tile_file is not None:
                return tile_file
        paths = [folder.tile_path(layer, place) for folder in self.folders]
        there = next((path for path in paths if path.exists()), paths[0])
        raise SemrsmError(
            f"{there} is missing or damaged; give the command of semrsm compute again, which computes it"
        )

    def scan(self, layer: str, grid: Grid) -> LayerScan:
        """Return the scan of a layer; raise SemrsmError if none of the folders holds it."""
        scans: list[LayerScan] = []
        for folder in self.folders:
            arrays = folder.read_scan(layer)
            layer_scan = None if arrays is None else scan_of(arrays, grid.n_rows, grid.n_columns)
            if layer_scan is not None:
                scans.append(layer_scan)
                _refuse_other_samples(layer, folder, scans[0], layer_scan)
        if scans:
            return scans[0]
        raise SemrsmError(
            f"{self.folders[0].scan_path(layer)} is missing or damaged; give the command of"
            " semrsm compute again, which scans the layer"
        )


def _refuse_other_samples(
    layer: str, folder: RunFolder, first: LayerScan, other: LayerScan
) -> None:
    """Raise SemrsmError if the tiles of two folders come from different samples."""
    for ours, theirs in ((first.rows, other.rows), (first.columns, other.columns)):
        different = np.flatnonzero((ours.digests != theirs.digests).any(1))
        if len(different):
            raise SemrsmError(
                f"{folder.path} was made from another file: its sample {int(different[0])} of {layer},"
                " counted among those chosen, differs; match that part again from the same file"
            )


def grid_of(about: Mapping[str, Any]) -> Grid:
    """Return the grid of a layer as run.json describes it."""
    symmetric = about["storage_mode"] == "symmetric"
    return Grid(about["n_samples"], about["n_columns"], symmetric, about["edge"])


class TiledLayer:
    """The tiles of one layer, read when they are asked for.

    Attributes:
        name: Name of the layer.
        grid: The tiles.
        scan: The norms.
        provenance: What the tiles that were read say of how they were made, by place.
    """

    def __init__(self, name: str, folders: Folders) -> None:
        self.name, self._folders = name, folders
        self.grid = grid_of(folders.run["layers"][name])
        self.scan = folders.scan(name, self.grid)
        self.provenance: dict[Place, Mapping[str, Any]] = {}

    def read(self, tile: Tile) -> TileFile:
        """Return a tile."""
        tile_file = self._folders.tile(self.name, self.grid, tile)
        self.provenance[self.grid.place(tile)] = tile_file.provenance
        return tile_file

    @property
    def matched(self) -> Matched:
        """The matched inner products, tile by tile."""

        def blocks() -> Iterator[tuple[int, int, Floats]]:
            for tile in self.grid.tiles:
                yield tile.rows.start, tile.columns.start, self.read(tile).matched

        norms = self.scan.rows.squared_norm, self.scan.columns.squared_norm
        return Matched(blocks, *norms, self.grid.symmetric)

    def gaps(self) -> Iterator[Floats]:
        """Yield the gap between upper bound and m of the pairs, over |x_i| |x_j|, tile by tile."""
        rows, columns = (np.sqrt(s.squared_norm) for s in (self.scan.rows, self.scan.columns))
        for tile in self.grid.tiles:
            tile_file = self.read(tile)
            assert tile_file.upper_bound is not None
            gap = np.maximum(tile_file.upper_bound - tile_file.matched, 0)
            size = np.outer(_of(rows, tile.rows), _of(columns, tile.columns))
            relative = np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0)
            yield self.matched.pairs(tile.rows.start, tile.columns.start, relative)

    def strips(self, memory: int) -> Iterator[tuple[int, Floats, Floats | None]]:
        """Yield (first row, matched, upper bound or None) of whole rows, from top to bottom.

        A strip holds whole chunks of the file and whole tiles where `memory`, in bytes, allows it.
        """
        rows, columns = self.grid.n_rows, self.grid.n_columns
        height = strip_height(rows, columns, self.grid.edge, memory)
        for first in range(0, rows, height):
            strip = range(first, min(first + height, rows))
            yield first, *self._strip(strip)

    def _strip(self, strip: range) -> tuple[Floats, Floats | None]:
        """Return some rows of all columns; of a symmetric layer those below the diagonal are mirrored."""
        certified = bool(self._folders.run["certify"])
        values = np.empty((1 + certified, len(strip), self.grid.n_columns))
        for tile in self.grid.tiles:
            upright = _overlap(tile.rows, strip)
            mirrored = _overlap(tile.columns, strip) if self.grid.symmetric else range(0)
            if not upright and not mirrored:
                continue
            tile_file = self.read(tile)
            parts = (
                [tile_file.matched]
                if tile_file.upper_bound is None
                else [tile_file.matched, tile_file.upper_bound]
            )
            for k, part in enumerate(parts):
                if mirrored:
                    _put(
                        values[k],
                        strip,
                        mirrored,
                        tile.rows,
                        part.T[_within(mirrored, tile.columns)],
                    )
                if upright:
                    _put(values[k], strip, upright, tile.columns, part[_within(upright, tile.rows)])
        if self.grid.symmetric and self._folders.run["permutation"]:
            diagonal = np.arange(strip.start, strip.stop)
            values[:, diagonal - strip.start, diagonal] = self.scan.rows.squared_norm[diagonal]
        return values[0], values[1] if certified else None


def strip_height(rows: int, columns: int, edge: int, memory: int) -> int:
    """Return how many rows are finished at once: whole chunks and tiles where memory allows it.

    >>> strip_height(50_000, 50_000, 1024, 2 << 30), strip_height(24, 24, 32, 2 << 30)
    (512, 24)
    """
    fits = max(1, memory // STRIP_SHARE // (8 * columns))
    for unit in (max(edge, CHUNK), CHUNK):
        if fits >= unit:
            return min(rows, fits // unit * unit)
    return min(rows, fits)


def _overlap(a: range, b: range) -> range:
    return range(max(a.start, b.start), min(a.stop, b.stop))


def _within(part: range, whole: range) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _put(values: Floats, strip: range, rows: range, columns: range, part: Floats) -> None:
    values[_within(rows, strip), columns.start : columns.stop] = part


def _of(values: Floats, samples: range) -> Floats:
    return values[samples.start : samples.stop]
