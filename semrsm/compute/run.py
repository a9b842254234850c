"""A run: an activation file -> a run folder of tiles -> an RSM file; it goes on where it stopped."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semrsm.compute.description import describe_run
from semrsm.compute.executors import n_processes, teams_of
from semrsm.compute.finish import check_kernels, finish_run
from semrsm.compute.grid import shard_of
from semrsm.compute.match import match_tiles, missing_tiles, tasks_of
from semrsm.compute.options import RunOptions
from semrsm.compute.plan import RunPlan, notes_of, open_plan
from semrsm.compute.run_report import Report
from semrsm.compute.scan import LayerScan, refuse_zeros, scan_layer
from semrsm.compute.space import require_space_for_run
from semrsm.compute.tiled_layer import Folders
from semrsm.compute.worker import Task, Worker
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import is_rsm_file, open_rsm
from semrsm.storage.run_folder import (
    RunFolder,
    TileFile,
    read_run,
    refuse_foreign,
    run_folder_of,
    start_run,
)
from semrsm.storage.run_json import run_id
from semrsm.storage.run_lock import locked
from semrsm.storage.whole_files import (
    check_name,
    check_output,
    outputs_of_process,
    refuse_inputs,
)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes: how many pairs are done, and what else should be known."""

    on_progress: Progress = lambda layer, pairs, of: None
    on_note: Callable[[str], None] = lambda text: None


def compute_with(
    activations: str | Path, out: Path, options: RunOptions, listener: Listener, command: str
) -> Report:
    """Compute the RSMs of an activation file and write them; `semrsm.compute` says it in full."""
    path = Path(options.run_folder) if options.run_folder else run_folder_of(out)
    if options.shard and options.restart:
        raise SemrsmError(
            "`restart` throws away what all shards have matched; remove the run folder yourself, then"
            " give the shards without it"
        )
    check_name(out)
    addresses = filter(None, (str(activations), options.against))
    refuse_inputs(out, (address_of(address)[0] for address in addresses))
    refuse_foreign(path, out)
    left = not options.restart and out.is_file() and is_rsm_file(out) and read_run(path) is not None
    if not left:
        check_output(out, options.overwrite or options.shard is not None)
    with open_plan(activations, options, n_processes(options)) as plan:
        if out.exists():
            _keep_sources(out, plan)
        run = describe_run(plan, options)
        check_kernels(run, options)
        if left and _was_finished(out, path, run, options):
            listener.on_note(f"{out} was finished before; only its run folder was left to remove")
            return Report(out, [])
        check_output(out, options.overwrite or options.shard is not None)
        for note in notes_of(plan):
            listener.on_note(note)
        with _run_folder(path, run, options, out) as folder:
            chosen = _chosen_tiles(plan, options)
            require_space_for_run(
                plan, chosen, folder, None if options.shard else out, options.kernel
            )
            matching = _match(str(activations), plan, run, folder, options, listener, chosen)
            if options.shard is not None:
                return Report(out, [])
            reports = finish_run(Folders([folder]), out, options, command, matching)
    for report in reports:
        for note in report.notes:
            listener.on_note(note)
    return Report(out, reports)


def _was_finished(out: Path, path: Path, run: Mapping[str, Any], options: RunOptions) -> bool:
    """Remove the folder of a run whose file is written as it is asked for: it was stopped just then."""
    if options.overwrite or options.shard or options.restart:
        return False
    with locked(path), open_rsm(out) as file:
        folder = read_run(path)
        sigmas = [layer.sigmas for layer in file.layers().values()]
        sigma = file.metadata.get("options", {}).get("sigma")
        if (
            folder is None
            or not file.metadata.get("run") == folder.run_id == run_id(run)
            or not all(set(options.kernel) <= set(stored) for stored in sigmas)
            or ("rbf" in options.kernel and sigma != options.sigma)
        ):
            return False
        folder.remove()
    return True


def _keep_sources(out: Path, plan: RunPlan) -> None:
    """Refuse an output that would replace a file that the activation file draws its values from."""
    for layer in plan.layers.values():
        for part in (layer.rows, layer.columns):
            refuse_inputs(out, part.layer.sources)


@contextlib.contextmanager
def _run_folder(
    path: Path, run: Mapping[str, Any], options: RunOptions, out: Path
) -> Iterator[RunFolder]:
    """Open or start the run; remove it when all is done. What it found stays when it fails."""
    alone, new = options.shard is None, not path.exists()
    with locked(path, shared=not alone):
        try:
            if options.restart:
                RunFolder(path, run).clear()
            folder = start_run(path, run)
        except BaseException:
            if new and alone:
                RunFolder(path, run).remove()
            raise
        try:
            if alone:
                folder.remove_leftovers()
            yield folder
        except BaseException as error:
            if out in outputs_of_process():  # a signal has come since
                error.add_note(f"its run folder {path} can be removed")
            elif folder.holds_tiles():
                goes_on = "" if isinstance(error, SemrsmError) else ", and the same command goes on"
                error.add_note(f"what was matched is kept in {path}{goes_on}")
            elif alone and (isinstance(error, SemrsmError) or not folder.holds_scans()):
                folder.remove()
            raise
        if alone:
            folder.remove()


def _match(
    activations: str,
    plan: RunPlan,
    run: Mapping[str, Any],
    folder: RunFolder,
    options: RunOptions,
    listener: Listener,
    chosen: Mapping[str, tuple[Tile, ...]],
) -> dict[str, tuple[int, float]]:
    """Scan what is not scanned, match the tiles that are missing; return pairs and seconds by layer."""
    again = any(
        (run[file] or {}).get("modified_ns") != (folder.run[file] or {}).get("modified_ns")
        for file in ("activations", "against")
    )
    scans = {}
    for name in chosen:
        scans[name] = scan_layer(plan.layers[name], folder, again)
        refuse_zeros(plan.layers[name], scans[name], options.kernel)
    tasks, count = _tasks(plan, chosen, scans, folder, listener)
    if tasks:
        worker = Worker(plan.layers, count.add, listener.on_note)
        teams = teams_of(activations, options, worker, listener.on_note)
        match_tiles(teams, tasks, count.keeper(folder), count.start)
    return count.matched


def _chosen_tiles(plan: RunPlan, options: RunOptions) -> dict[str, tuple[Tile, ...]]:
    """Return the tiles to match by layer: all of them, or those of a shard."""
    grids = {name: layer.grid for name, layer in plan.layers.items()}
    if options.shard is None:
        return {name: grid.tiles for name, grid in grids.items()}
    costs = {name: layer.pair_seconds for name, layer in plan.layers.items()}
    return shard_of(grids, costs, *options.shard)


def _tasks(
    plan: RunPlan,
    chosen: Mapping[str, tuple[Tile, ...]],
    scans: Mapping[str, LayerScan],
    folder: RunFolder,
    listener: Listener,
) -> tuple[list[Task], Count]:
    """Return what is to be matched, and the count of what is there already."""
    tasks, count, n_tiles = [], Count(listener), 0
    for name, tiles in chosen.items():
        layer = plan.layers[name]
        missing = missing_tiles(folder, name, layer.grid, tiles, listener.on_note)
        of, left = (sum(tile.n_pairs for tile in some) for some in (tiles, missing))
        count.begin(name, of - left, of)
        tasks += tasks_of(layer, scans[name], missing)
        n_tiles += len(tiles)
    if len(tasks) < n_tiles:
        listener.on_note(
            f"{folder.path}: going on, {n_tiles - len(tasks)} of {n_tiles} tiles are there"
        )
    return tasks, count


class Count:
    """How many pairs of each layer are there, and what those of this sitting took."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._done: dict[str, int] = {}
        self._of: dict[str, int] = {}
        self._last = time.perf_counter()
        self._lock = threading.Lock()
        self.matched: dict[str, tuple[int, float]] = {}

    def begin(self, layer: str, done: int, of: int) -> None:
        """Take note of a layer of which so many pairs are there already."""
        self._done[layer], self._of[layer] = done, of
        self._listener.on_progress(layer, done, of)

    def add(self, layer: str, pairs: int) -> None:
        """Take note that pairs were matched."""
        with self._lock:
            self._done[layer] += pairs
            self._listener.on_progress(layer, self._done[layer], self._of[layer])

    def start(self) -> None:
        """Count the seconds from now on."""
        self._last = time.perf_counter()

    def keeper(self, folder: RunFolder) -> Callable[[Task, TileFile, bool], None]:
        """Return what puts tiles into a run folder and counts them."""

        def keep(task: Task, tile: TileFile, counted: bool) -> None:
            folder.write_tile(task.layer, task.place, tile)
            if not counted:
                self.add(task.layer, task.tile.n_pairs)
            now = time.perf_counter()
            pairs, seconds = self.matched.get(task.layer, (0, 0.0))
            seconds += now - self._last
            self.matched[task.layer] = pairs + task.tile.n_pairs, seconds
            self._last = now

        return keep
