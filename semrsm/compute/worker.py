"""The worker: matches tiles in the process it is in, this one or another."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
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
from semrsm.storage.address import address_of
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

    @property
    def tiles_in_work(self) -> int:
        """How many tiles a layer has in work at once, at most."""
        return max((plan.budget.tiles for plan in self._plans.values()), default=1)

    def match(self, task: Task) -> TileFile:
        """Return a tile; raise SemrsmError if it cannot be read or matched, or has changed."""
        plan = self._plans[task.layer]
        with self._at_work_on(plan) as matcher:
            self._rows.expect(task.tile.rows, task.row_digests)
            self._columns.expect(task.tile.columns, task.column_digests)
            try:
                values = matcher.match(task.tile)
            except SemrsmError as error:
                raise error.within(plan.rows.address) from error
        provenance = {
            "host": host(),
            "process": os.getpid(),
            "solver": plan.solver,
            "device": plan.work.device.describe(),
            "versions": versions(),
            **asdict(values.effort),
        }
        return TileFile(values.matched, values.upper_bound, provenance)

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
        activations: Activation file or address, absolute: another process may run elsewhere.
        options: The options of the run, with the device of that process.
        processes: How many processes share the cores and the memory of its machine.
        sitting: Tells one sitting of a run from the next, between which a file may be another one.
        version: Of semrsm: another one may match otherwise.
    """

    activations: str
    options: RunOptions
    processes: int = 1
    sitting: str = ""
    version: str = __version__


def prepare_remotely(remote: Remote) -> None:
    """Open the files of a run in the process that this is called in, and load what matching needs."""
    import semrsm.engine.tile_matcher  # noqa: F401

    with _worker_of(remote):
        pass


def match_remotely(remote: Remote, task: Task) -> TileFile:
    """Match a tile in the process that this is called in, which opens the files at its first tile."""
    with _worker_of(remote) as worker:
        return worker.match(task)


@dataclass
class _Sitting:
    """The files of a run that are open in this process, and how many tiles of it are in work."""

    worker: Worker
    files: contextlib.ExitStack
    users: int = 0
    until: threading.Timer | None = None


IDLE = 60.0  # seconds after which a process that lives on, as Dask's do, lets go of a run
_sittings: dict[Remote, _Sitting] = {}
_opening = threading.Lock()


@contextlib.contextmanager
def _worker_of(remote: Remote) -> Iterator[Worker]:
    """Give the worker of a run, which stays open for a while; several runs may be at work."""
    if remote.version != __version__:
        raise SemrsmError(
            f"a worker has semrsm {__version__}, the run {remote.version}; install one version everywhere"
        )
    with _opening:
        if remote not in _sittings:
            _let_go_of(other for other, sitting in _sittings.items() if not sitting.users)
            _sittings[remote] = _begin_sitting(remote)
        sitting = _sittings[remote]
        sitting.users += 1
        if sitting.until is not None:
            sitting.until.cancel()
    try:
        yield sitting.worker
    finally:
        with _opening:
            sitting.users -= 1
            if not sitting.users:
                sitting.until = threading.Timer(IDLE, _end_sitting, [remote])
                sitting.until.daemon = True
                sitting.until.start()


def _begin_sitting(remote: Remote) -> _Sitting:
    for address in (remote.activations, remote.options.against):
        if address is not None and not (path := address_of(address)[0]).exists():
            raise SemrsmError(
                f"{path} is not there on the worker {host()}; workers read the activation file"
                " themselves, so put it on a file system that all of them see, under this path"
            )
    with contextlib.ExitStack() as files:
        plan = files.enter_context(open_plan(remote.activations, remote.options, remote.processes))
        worker = Worker(plan.layers)
        files.callback(worker.close)
        return _Sitting(worker, files.pop_all())


def _end_sitting(remote: Remote) -> None:
    """Let go of a run, unless a tile of it has come meanwhile."""
    with _opening:
        if remote in _sittings and not _sittings[remote].users:
            _let_go_of([remote])


def _let_go_of(remotes: Iterable[Remote]) -> None:
    for remote in list(remotes):
        sitting = _sittings.pop(remote)
        if sitting.until is not None:
            sitting.until.cancel()
        sitting.files.close()
