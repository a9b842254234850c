"""The disk that a run takes: its tiles until the RSM file is written, and that file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semrsm.compute.plan import RunPlan
from semrsm.engine.tiles import Tile
from semrsm.storage.run_folder import RunFolder
from semrsm.storage.whole_files import require_space

SCAN_BYTES = 24  # of a sample: its norm and its digest


def output_bytes(shape: tuple[int, int], kernels: Sequence[str], certify: bool) -> int:
    """Return about what the matrices of a layer take in an RSM file.

    >>> output_bytes((10, 10), ["cosine", "rbf"], certify=False)
    1600
    """
    return shape[0] * shape[1] * (8 + 4 * len(kernels) + 8 * certify)


def tile_bytes(tiles: Iterable[Tile], certify: bool) -> int:
    """Return about what tiles take in a run folder."""
    return sum(8 * tile.shape[0] * tile.shape[1] * (1 + certify) for tile in tiles)


def require_space_for_run(
    plan: RunPlan,
    chosen: Mapping[str, Sequence[Tile]],
    folder: RunFolder,
    out: Path | None,
    kernels: Sequence[str],
) -> None:
    """Refuse a run for whose tiles, or file, there is no room, before anything is matched.

    Args:
        plan: The layers.
        chosen: The tiles that this process matches, by layer; those that are there need no room.
        folder: Where tiles are put.
        out: The RSM file; None where this process does not write it.
        kernels: Those that are stored.

    Raises SemrsmError with the bytes that are needed and those that are free.
    """
    tiles = output = 0
    for name, layer in plan.layers.items():
        there, certify = folder.places(name), layer.work.certify
        missing = [tile for tile in chosen.get(name, ()) if layer.grid.place(tile) not in there]
        tiles += tile_bytes(missing, certify)
        output += output_bytes(layer.shape, kernels, certify)
    needs = [] if out is None else [(str(out), out.resolve().parent, output)]
    require_space([*needs, ("the tiles", folder.path, tiles)])


def require_space_for_file(run: Mapping[str, Any], out: Path, kernels: Sequence[str]) -> None:
    """Refuse to write an RSM file, of the run that run.json describes, for which there is no room."""
    shapes = [(about["n_samples"], about["n_columns"]) for about in run["layers"].values()]
    output = sum(output_bytes(shape, kernels, run["certify"]) for shape in shapes)
    require_space([(str(out), out.resolve().parent, output)])
