"""Finishing: the tiles of a run -> kernels, sigma and the sealed RSM file."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.grid import Grid
from semrsm.compute.options import RunOptions
from semrsm.compute.run_report import LayerReport, gap_summary, versions
from semrsm.compute.scan import LayerScan, scan_of
from semrsm.engine.kernels import KERNELS, Finisher, Matched, finisher, refuse_unmatched
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.machine import default_memory
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import CHUNK, LayerWriter, RsmWriter, writing
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
            found = folder.read_tile(layer, place, tile.shape)
            if found is not None:
                return found
        raise SemrsmError(
            f"{self.folders[0].tile_path(layer, place)} is missing or damaged; give the command of"
            " semrsm compute again, which computes it"
        )

    def scan(self, layer: str, grid: Grid) -> LayerScan:
        """Return the scan of a layer; raise SemrsmError if none of the folders holds it."""
        for folder in self.folders:
            arrays = folder.read_scan(layer)
            found = None if arrays is None else scan_of(arrays, grid.n_rows, grid.n_columns)
            if found is not None:
                return found
        raise SemrsmError(
            f"{self.folders[0].scan_path(layer)} is missing or damaged; give the command of"
            " semrsm compute again, which scans the layer"
        )


def grid_of(about: Mapping[str, Any]) -> Grid:
    """Return the grid of a layer as run.json describes it."""
    return Grid(about["n_samples"], about["n_columns"], about["symmetric"], about["edge"])


class TiledLayer:
    """The tiles of one layer, read when they are asked for.

    Attributes:
        name: Name of the layer.
        grid: The tiles.
        scan: The norms.
        made: What the tiles that were read say of how they were made, by place.
    """

    def __init__(self, name: str, folders: Folders) -> None:
        self.name, self._folders = name, folders
        self.grid = grid_of(folders.run["layers"][name])
        self.scan = folders.scan(name, self.grid)
        self.made: dict[Place, Mapping[str, Any]] = {}

    def read(self, tile: Tile) -> TileFile:
        """Return a tile."""
        found = self._folders.tile(self.name, self.grid, tile)
        self.made[self.grid.place(tile)] = found.made
        return found

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
            found = self.read(tile)
            assert found.upper_bound is not None
            gap = np.maximum(found.upper_bound - found.matched, 0)
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
            found = self.read(tile)
            parts = (
                [found.matched] if found.upper_bound is None else [found.matched, found.upper_bound]
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
        if self.grid.symmetric:
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


def check_kernels(run: Mapping[str, Any], options: RunOptions) -> None:
    """Raise SemrsmError for a kernel that the matcher of a run does not serve."""
    for name in options.kernel:
        refuse_unmatched(KERNELS[name], run["permutation"], run["matcher"])


def finish_run(
    folders: Folders,
    out: Path,
    options: RunOptions,
    command: str,
    matching: Mapping[str, tuple[int, float]],
) -> list[LayerReport]:
    """Write the RSM file of a run whose tiles are all there.

    Args:
        folders: Where the tiles are.
        out: The file to write.
        options: `kernel`, `sigma`, `memory` and `overwrite` are used, and all are recorded.
        command: What to record as the command.
        matching: For the layers that were worked on in this sitting, pairs and seconds; the others
            are reported with what their tiles say.

    Raises:
        SemrsmError: A tile is missing or damaged, a kernel cannot be finished, or the file cannot be
            written; the tiles stay as they are.
    """
    run = folders.run
    check_kernels(run, options)
    memory = options.memory or default_memory()
    reports = []
    with writing(out, options.overwrite) as writer:
        if run["sample_ids"]:
            writer.write_samples(run["sample_ids"])
        for name in run["layers"]:
            layer = TiledLayer(name, folders)
            reports.append(_finish_layer(run, layer, writer, options, memory, matching.get(name)))
        writer.metadata = _metadata(folders, options, command, reports)
    return reports


def _finish_layer(
    run: Mapping[str, Any],
    layer: TiledLayer,
    writer: RsmWriter,
    options: RunOptions,
    memory: int,
    matching: tuple[int, float] | None,
) -> LayerReport:
    """Write one layer: everything of a strip at once, so that the inner products are read once."""
    info = _info(run, layer.name)
    out = writer.layer(info)
    try:
        finishers = {k: finisher(KERNELS[k], options.sigma, layer.matched) for k in options.kernel}
    except SemrsmError as error:
        raise error.within(f"{run['activations']['path']}::{layer.name}") from error
    out.write_squared_norms(layer.scan.rows.squared_norm, layer.scan.columns.squared_norm)
    for name, finish in finishers.items():
        out.create_kernel(name, finish.sigma)
    for row, matched, bound in layer.strips(memory):
        _write_strip(out, row, matched, bound, finishers)
    certificate = gap_summary(layer.gaps) if run["certify"] else None
    made = layer.made.values()
    solved_again = sum(m["solved_again"] for m in made)
    n_pairs, seconds = layer.grid.n_pairs, sum(m["seconds"] for m in made)
    solver, device = (_joined(m[key] for m in made) for key in ("solver", "device"))
    out.write_parameters(
        dict(run["parameters"])
        | {
            "permutation": run["permutation"],
            "solver": solver,
            "device": device,
            "dtype": run["dtype"],
            "precision": run["precision"],
            "solved_again": solved_again,
            "certificate": certificate,
            "skip_tokens": run["skip_tokens"],
            "pool": run["pool"],
            "samples": run["samples"],
            "pairs": n_pairs,
            "seconds": seconds,
            "fingerprint": layer.scan.rows.fingerprint,
        }
    )
    pairs_now, seconds_now = matching or (n_pairs, seconds)
    return LayerReport(
        info,
        pairs=n_pairs,
        seconds=seconds_now,
        pairs_per_second=pairs_now / seconds_now if seconds_now else 0.0,
        solver=solver,
        device=device or "cpu",
        sigma=next((f.sigma for f in finishers.values() if f.sigma is not None), None),
        certificate=certificate,
        solved_again=solved_again,
    )


def _write_strip(
    out: LayerWriter,
    row: int,
    matched: Floats,
    bound: Floats | None,
    finishers: Mapping[str, Finisher],
) -> None:
    out.write_matched(row, matched)
    if bound is not None:
        out.write_upper_bound(row, bound)
    for name, finish in finishers.items():
        # A few rows of chunks at a time: a kernel makes several copies of what it finishes.
        for first in range(0, len(matched), CHUNK):
            part = matched[first : first + CHUNK]
            out.write_kernel(name, row + first, finish(row + first, part))


def _info(run: Mapping[str, Any], name: str) -> LayerInfo:
    about = run["layers"][name]
    return LayerInfo(
        name=name,
        matcher=run["matcher"],
        layout=about["layout"],
        n_positions=about["n_positions"],
        n_channels=about["n_channels"],
        n_samples=about["n_samples"],
        n_columns=about["n_columns"],
        storage_mode="symmetric" if about["symmetric"] else "rectangular",
    )


def _metadata(
    folders: Folders, options: RunOptions, command: str, reports: list[LayerReport]
) -> dict[str, Any]:
    """Return what is recorded of the run as a whole."""
    run = folders.run
    pairs, seconds = (sum(getattr(r, name) for r in reports) for name in ("pairs", "seconds"))
    return {
        "command": command,
        "options": options.as_json() | _shaping_options(run),
        "versions": versions(),
        "device": reports[0].device,
        "solver": reports[0].solver,
        "host": platform.node(),
        "layers": [report.layer for report in reports],
        "seconds": seconds,
        "pairs": pairs,
        "pairs_per_second": pairs / seconds if seconds else None,
        "activations": run["activations"],
        "against": run["against"],
        "run": folders.folders[0].run_id,
    }


def _shaping_options(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that shaped the tiles, whoever finishes them."""
    names = ("matcher", "dtype", "precision", "certify", "samples", "skip_tokens", "pool")
    return {name: run[name] for name in names} | dict(run["parameters"])


def _of(values: Floats, samples: range) -> Floats:
    return values[samples.start : samples.stop]


def _joined(values: Iterator[str | None]) -> str | None:
    """Return what tiles were made with: one name, or several, the most frequent first."""
    counted = Counter(value for value in values if value is not None)
    return ", ".join(name for name, _ in counted.most_common()) or None
