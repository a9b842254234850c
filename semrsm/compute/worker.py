"""The worker: matches tiles in the process it is in, this one or another."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.options import RunOptions
from semrsm.compute.plan import LayerPlan, open_plan
from semrsm.compute.run_report import versions
from semrsm.compute.scan import CheckedSamples
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.machine import host
from semrsm.storage.run_folder import Place, TileFile
from semrsm.version import __version__

if TYPE_CHECKING:
    from semrsm.engine.tile_matcher import TileMatcher


@dataclass(frozen=True)
class Task:
    """A tile to match.

    Attributes:
        layer: Name of the layer.
        place: Row and column of the tile in the grid.
        tile: Which pairs.
        row_digests: (rows, 16) uint8, the digests of its row samples.
        column_digests: (columns, 16) uint8, those of its column samples.
    """

    layer: str
    place: Place
    tile: Tile
    row_digests: NDArray[np.uint8]
    column_digests: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        return f"tile {self.place[0]}-{self.place[1]} of {self.layer}"


class Worker:
    """Matches the tiles of a run, a layer at a time; several threads may ask it at once."""

    def __init__(
        self,
        plans: Mapping[str, LayerPlan],
        on_pairs: Callable[[str, int], None] = lambda layer, n: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Serve the layers of `plans`; `on_pairs` is told (layer, pairs matched), from time to time."""
        self._plans, self._on_pairs, self._on_note = plans, on_pairs, on_note
        self._turn = threading.Condition()
        self._layer: str | None = None
        self._users = 0
        self._open = contextlib.ExitStack()

    def match(self, task: Task) -> TileFile:
        """Return a tile; raise SemrsmError if it cannot be read or matched, or has changed."""
        from semrsm.engine.devices import describe

        plan = self._plans[task.layer]
        with self._at_work_on(plan) as matcher:
            self._rows.expect(task.tile.rows, task.row_digests)
            self._columns.expect(task.tile.columns, task.column_digests)
            try:
                found = matcher.match(task.tile)
            except SemrsmError as error:
                raise error.within(plan.rows.address) from error
        made = {
            "host": host(),
            "process": os.getpid(),
            "solver": plan.solver,
            "device": describe(plan.work.device),
            "versions": versions(),
            "seconds": found.seconds,
            "solved_again": found.solved_again,
        }
        return TileFile(found.matched, found.upper_bound, made)

    def close(self) -> None:
        """Let go of the layer in work."""
        self._open.close()

    @contextlib.contextmanager
    def _at_work_on(self, plan: LayerPlan) -> Iterator[TileMatcher]:
        """Give the matcher of a layer, once nobody is at work on another one."""
        with self._turn:
            self._turn.wait_for(lambda: self._layer == plan.name or not self._users)
            if self._layer != plan.name:
                self._begin(plan)
            self._users += 1
        try:
            yield self._matcher
        finally:
            with self._turn:
                self._users -= 1
                self._turn.notify_all()

    def _begin(self, plan: LayerPlan) -> None:
        from semrsm.engine.tile_matcher import TileMatcher

        self._open.close()
        self._layer = None
        self._rows = CheckedSamples(plan.rows)
        self._columns = self._rows if plan.symmetric else CheckedSamples(plan.columns)
        tell = functools.partial(self._on_pairs, plan.name)
        self._matcher = self._open.enter_context(
            TileMatcher(self._rows, self._columns, plan.work, plan.budget, tell, self._on_note)
        )
        self._layer = plan.name


@dataclass(frozen=True)
class Remote:
    """What another process needs to know to match the tiles of a run.

    Attributes:
        activations: Activation file or address, as this run was given it.
        options: The options of the run, with the device of that process.
        processes: How many processes share the machine.
        version: Of semrsm: another one may match otherwise.
    """

    activations: str
    options: RunOptions
    processes: int
    version: str = __version__


_workers: dict[Remote, Worker] = {}
_opening = threading.Lock()


def match_remotely(remote: Remote, task: Task) -> TileFile:
    """Match a tile in the process that this is called in, which opens the files at its first tile."""
    if remote.version != __version__:
        raise SemrsmError(
            f"a worker has semrsm {__version__}, the run {remote.version}; install one version everywhere"
        )
    with _opening:
        if remote not in _workers:
            _forget()
            plan = _files.enter_context(
                open_plan(remote.activations, remote.options, remote.processes)
            )
            _workers[remote] = Worker(plan.layers)
    return _workers[remote].match(task)


_files = contextlib.ExitStack()


def _forget() -> None:
    """Close the files of a run that this process worked for before."""
    for worker in _workers.values():
        worker.close()
    _workers.clear()
    _files.close()
