"""Matching: the tiles that are missing go to executors, what comes back goes into the run folder."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field

from semrsm.compute.grid import Grid, reading_order
from semrsm.compute.plan import LayerPlan
from semrsm.compute.scan import LayerScan
from semrsm.compute.teams import DEATHS, Team
from semrsm.compute.worker import Task
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.storage.run_folder import RunFolder, TileFile

LOOK_AGAIN = 1.0  # seconds after which places that have come meanwhile are filled


def missing_tiles(
    folder: RunFolder,
    layer: str,
    grid: Grid,
    tiles: Iterable[Tile],
    on_note: Callable[[str], None],
) -> list[Tile]:
    """Return which of some tiles are to be matched; a damaged one is named, removed and among them."""
    there = folder.places(layer)
    missing = []
    for tile in tiles:
        place = grid.place(tile)
        if place in there:
            if folder.read_tile(layer, place, tile.shape) is not None:
                continue
            on_note(f"{folder.tile_path(layer, place)} is damaged and is computed again")
            folder.remove_tile(layer, place)
        missing.append(tile)
    return missing


def tasks_of(plan: LayerPlan, scan: LayerScan, tiles: Iterable[Tile]) -> list[Task]:
    """Return the tasks that match some tiles of a layer, in an order that reads few samples twice."""
    return [
        Task(
            plan.name,
            plan.grid.place(tile),
            tile,
            scan.rows.digests[tile.rows.start : tile.rows.stop],
            scan.columns.digests[tile.columns.start : tile.columns.stop],
        )
        for tile in reading_order(plan.grid, tiles, plan.budget.cached_blocks)
    ]


@dataclass
class _Member:
    """A team at work: its executor, and what it was given, the oldest first."""

    team: Team
    executor: Executor
    open: contextlib.ExitStack
    running: dict[Future[TileFile], Task] = field(default_factory=dict)
    alone: str = ""  # name of a tile that is matched with no other beside it

    @property
    def free(self) -> int:
        if self.alone in {task.name for task in self.running.values()}:
            return 0
        return self.team.places(self.executor) - len(self.running)

    def submit(self, task: Task) -> bool:
        """Give the executor a tile; False if it has died over those that it has."""
        try:
            try:
                future = self.team.submit(self.executor, task)
            except BrokenExecutor:
                if self.running:
                    return False
                self.begin_anew()
                future = self.team.submit(self.executor, task)
        except self.team.lost as error:
            raise _out_of_reach(error) from error
        except (OSError, BrokenExecutor) as error:
            raise SemrsmError(
                f"a process cannot be started ({error}); lower `workers`, and give the command again"
            ) from error
        self.running[future] = task
        return True

    def begin_anew(self) -> None:
        """Start the executor again."""
        self.open.close()
        self.executor = self.open.enter_context(self.team.opened())
        self.running = {}


def match_tiles(
    teams: list[Team],
    tasks: Iterable[Task],
    on_tile: Callable[[Task, TileFile, bool], None],
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Have tiles matched, each once, wherever there is a free place.

    A process that dies costs the tiles it was given, which are given away again, one at a time: so if one
    of them kills a process once more, it is known which.

    Args:
        teams: Where.
        tasks: The tiles, in order.
        on_tile: Told each tile, and whether its pairs have been told already.
        on_ready: Called when matching can begin: processes have been started, files opened.

    Raises:
        SemrsmError: A tile cannot be read or matched; three processes died over one; a cluster is
            out of reach.
    """
    waiting = deque(tasks)
    deaths: Counter[str] = Counter()
    with _at_work(teams) as members:
        _prepare(members)
        on_ready()
        _give(members, waiting, deaths)
        while running := [future for member in members for future in member.running]:
            # A cluster may have grown meanwhile.
            done, _ = wait(running, LOOK_AGAIN if waiting else None, FIRST_COMPLETED)
            taken: list[tuple[Task, TileFile, bool]] = []
            try:
                ended = [(member, f) for member in members for f in member.running if f in done]
                # First what is to be kept, then what may end the run.
                for member, future in sorted(ended, key=lambda pair: _has_failed(pair[1])):
                    if future in member.running:
                        taken += _take(member, future, waiting, deaths)
                # Nobody waits while tiles are written.
                _give(members, waiting, deaths)
            finally:
                for tile in taken:
                    on_tile(*tile)


@contextlib.contextmanager
def _at_work(teams: list[Team]) -> Iterator[list[_Member]]:
    with contextlib.ExitStack() as stack:
        members = []
        for team in teams:
            own = stack.enter_context(contextlib.ExitStack())
            members.append(_Member(team, own.enter_context(team.opened()), own))
        yield members


def _prepare(members: list[_Member]) -> None:
    """Return once one of the processes can match; one that died meanwhile is seen to with its tiles."""
    preparing = [future for m in members for future in m.team.prepare(m.executor)]
    done, _ = wait(preparing, return_when=FIRST_COMPLETED)
    for future in done:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, SemrsmError):
            raise error


def _give(members: list[_Member], waiting: deque[Task], deaths: Counter[str]) -> None:
    """Give tiles away, each to the team that has most places free."""
    free = {k: member.free for k, member in enumerate(members)} if waiting else {}
    while waiting and (most := max(free.values(), default=0)) > 0:
        k = next(k for k, places in free.items() if places == most)
        suspect = deaths[waiting[0].name] > 0
        if suspect and members[k].running:
            free[k] = 0  # perhaps another one has nothing to do
        elif members[k].submit(waiting[0]):
            task = waiting.popleft()
            free[k] -= 1
            if suspect:
                members[k].alone, free[k] = task.name, 0
        else:
            free[k] = 0


def _has_failed(future: Future[TileFile]) -> bool:
    return future.cancelled() or future.exception() is not None


def _take(
    member: _Member,
    future: Future[TileFile],
    waiting: deque[Task],
    deaths: Counter[str],
) -> list[tuple[Task, TileFile, bool]]:
    """Take what has come of a tile: its values, an error, or the death of a process."""
    try:
        tile = future.result()
    except member.team.died as error:
        lost = list(member.running.values())
        # Over one of these; where there are several, each is matched alone from now on.
        deaths.update(task.name for task in lost)
        most = max(lost, key=lambda task: deaths[task.name])
        if deaths[most.name] >= DEATHS:
            raise _death_error(most, DEATHS) from error
        waiting.extendleft(reversed(lost))
        member.begin_anew()
        return []
    except member.team.unfit as error:
        raise SemrsmError(str(error)) from error
    except member.team.gave_up as error:
        raise _death_error(member.running[future], "several") from error
    except member.team.lost as error:
        raise _out_of_reach(error) from error
    return [(member.running.pop(future), tile, member.team.tells_pairs)]


def _death_error(task: Task, deaths: object) -> SemrsmError:
    return SemrsmError(
        f"{deaths} processes died over {task.name}, perhaps for lack of memory; lower `memory` or have"
        " fewer workers, and give the command again"
    )


def _out_of_reach(error: BaseException) -> SemrsmError:
    return SemrsmError(
        f"the Dask scheduler is out of reach ({type(error).__name__}); start it again if it has ended,"
        " and give the command again"
    )
