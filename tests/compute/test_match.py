"""Matching with executors that fail: teams of fakes whose tiles end as a test says, and real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import select
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from semrsm.compute import match, worker
from semrsm.compute.match import _give, _Member, match_tiles
from semrsm.compute.options import RunOptions
from semrsm.compute.plan import open_plan
from semrsm.compute.process_executor import ThreadsOfProcess
from semrsm.compute.scan import digests_of
from semrsm.compute.teams import Team, process_team
from semrsm.compute.worker import Remote, Task, match_remotely, prepare_remotely
from semrsm.engine.tiles import Tile
from semrsm.errors import SemrsmError
from semrsm.storage.run_folder import TileFile
from tests.helpers import write_h5


def task(row: int) -> Task:
    digests = np.zeros((1, 16), np.uint8)
    return Task("layer", (row, 0), Tile(range(1), range(1), True), digests, digests)


def found_for(task: Task) -> TileFile:
    return TileFile(np.full((1, 1), float(task.place[0])), None, {})


class FakeProcess(Executor):
    """A process that matches a tile at once, or dies over it."""

    def __init__(self, deadly: dict[int, int], given: list[int]) -> None:
        self._deadly, self._given, self._died = deadly, given, False

    def match(self, task: Task) -> Future[TileFile]:
        if self._died:
            raise BrokenProcessPool("it died before")
        row, future = task.place[0], Future[TileFile]()
        self._given.append(row)
        if self._deadly.get(row, 0):
            self._deadly[row] -= 1
            self._died = True
            future.set_exception(BrokenProcessPool("it died"))
        else:
            future.set_result(found_for(task))
        return future


def fake_process(deadly: dict[int, int], given: list[int] | None = None) -> Team:
    """A team of one such process, with two places; `deadly` says how often a tile kills it."""
    given = [] if given is None else given
    return Team(
        lambda: contextlib.nullcontext(FakeProcess(deadly, given)),
        lambda executor, task: executor.match(task),
        lambda executor: 2,
        died=(BrokenProcessPool,),
    )


def fake_team(submit: Callable[[Executor, Task], Future[TileFile]], **options: object) -> Team:
    return Team(lambda: contextlib.nullcontext(Executor()), submit, lambda executor: 2, **options)


class Tiles:
    """What was delivered, by row of the tile."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, task: Task, found: TileFile, told: bool) -> None:
        assert found.matched == task.place[0]
        self.rows.append(task.place[0])


@pytest.mark.parametrize("deadly", [{0: 1}, {3: 1}, {4: 2}, {1: 2, 2: 2, 4: 1}])
def test_a_tile_over_which_a_process_died_is_given_again(deadly: dict[int, int]) -> None:
    tiles = Tiles()
    match_tiles([fake_process(deadly)], [task(row) for row in range(5)], tiles)
    assert sorted(tiles.rows) == [0, 1, 2, 3, 4]


def test_other_processes_go_on_when_one_dies() -> None:
    tiles, given = Tiles(), ([], [])
    teams = [fake_process(dict.fromkeys(range(8), 1), given[0]), fake_process({}, given[1])]
    match_tiles(teams, [task(row) for row in range(8)], tiles)
    assert sorted(tiles.rows) == list(range(8))


def test_three_deaths_over_one_tile_end_the_run_and_name_it() -> None:
    tiles, given = Tiles(), []
    with pytest.raises(SemrsmError, match="3 processes died over tile 2-0 of layer"):
        match_tiles([fake_process({2: 9}, given)], [task(row) for row in range(3)], tiles)
    assert sorted(tiles.rows) == [0, 1]
    assert given.count(2) == 3


def test_tiles_over_which_a_process_may_have_died_are_matched_alone() -> None:
    tasks = [task(row) for row in range(4)]
    deaths = Counter(t.name for t in tasks[:1])
    submit = lambda executor, task: Future()  # noqa: E731
    members = [_Member(fake_team(submit), Executor(), contextlib.ExitStack()) for _ in range(2)]
    waiting = deque(tasks)
    _give(members, waiting, deaths)
    assert [[t.place[0] for t in m.running.values()] for m in members] == [[0], [1, 2]]
    # Whoever is at work is given no suspect; who has nothing to do is, and nothing else.
    waiting.appendleft(tasks[0])
    members[0].running.clear()
    members[0].submit(task(5))
    _give(members, waiting, deaths)
    assert [t.place[0] for t in waiting] == [0, 3]


def test_a_process_has_several_things_in_work(tmp_path: Path) -> None:
    """What one thread writes into a pipe, the other one reads: one after the other would never end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    executor = ThreadsOfProcess(2)
    with executor:
        read, written = (
            executor.submit(call, fifo, *given)
            for call, given in ((Path.read_bytes, ()), (Path.write_bytes, (b"both",)))
        )
        assert (read.result(timeout=60), written.result(timeout=60)) == (b"both", 4)
        assert executor.submit(os.getpid).result(timeout=60) != os.getpid()
        missing = executor.submit(Path.read_bytes, tmp_path / "none")
        with pytest.raises(FileNotFoundError) as error:
            missing.result(timeout=60)
        assert "read_bytes" in error.value.__notes__[0]
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            executor.submit(lambda: None)


def test_all_that_a_process_had_in_work_fails_with_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    executor = ThreadsOfProcess(2)
    with executor:
        in_work = [executor.submit(Path.read_bytes, fifo), executor.submit(os._exit, 3)]
        for future in in_work:
            with pytest.raises(BrokenProcessPool):
                future.result(timeout=60)
        with pytest.raises(BrokenProcessPool):
            executor.submit(os.getpid)


def test_few_tiles_are_spread_over_all_processes() -> None:
    tiles, given = Tiles(), ([], [], [])
    match_tiles([fake_process({}, g) for g in given], [task(row) for row in range(3)], tiles)
    assert [len(g) for g in given] == [1, 1, 1]


def test_a_process_that_died_while_it_had_nothing_to_do_is_started_again() -> None:
    tiles, given = Tiles(), []
    broken = FakeProcess({}, given)
    broken._died = True
    executors = iter([broken, FakeProcess({}, given)])
    team = Team(
        lambda: contextlib.nullcontext(next(executors)),
        lambda executor, task: executor.match(task),
        lambda executor: 1,
        died=(BrokenProcessPool,),
    )
    match_tiles([team], [task(0)], tiles)
    assert tiles.rows == [0]


@pytest.mark.parametrize(
    "error", [BlockingIOError(11, "no more processes"), BrokenProcessPool("x")]
)
def test_a_process_that_cannot_be_started_is_said_in_a_sentence(error: Exception) -> None:
    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        raise error

    with pytest.raises(SemrsmError, match="cannot be started"):
        match_tiles([fake_team(submit, died=(BrokenProcessPool,))], [task(0)], Tiles())


class GivenUpError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (GivenUpError("dask says something long"), "several processes died over tile 1-0 of layer"),
        (CancelledError(), "the Dask scheduler is out of reach"),
        (ImportError("a worker has semrsm none"), "^a worker has semrsm none$"),
        (SemrsmError("a.h5: sample 3 has changed"), "^a.h5: sample 3 has changed$"),
    ],
)
def test_what_a_cluster_reports_is_said_in_a_sentence(error: Exception, says: str) -> None:
    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        future = Future[TileFile]()
        if task.place[0] == 0:
            future.set_result(found_for(task))
        else:
            future.set_exception(error)
        return future

    tiles = Tiles()
    team = fake_team(submit, gave_up=(GivenUpError,), lost=(CancelledError,), unfit=(ImportError,))
    with pytest.raises(SemrsmError, match=says):
        match_tiles([team], [task(0), task(1)], tiles)
    assert tiles.rows == [0]


def test_a_tile_that_ends_the_run_costs_none_that_ended_at_the_same_time() -> None:
    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        future = Future[TileFile]()
        if task.place[0] == 0:
            future.set_exception(SemrsmError("sample 3 has changed"))
        else:
            future.set_result(found_for(task))
        return future

    tiles = Tiles()
    with pytest.raises(SemrsmError, match="has changed"):
        match_tiles([fake_team(submit), fake_team(submit)], [task(row) for row in range(4)], tiles)
    assert sorted(tiles.rows) == [1, 2, 3]


def test_the_next_tile_is_given_before_one_is_written() -> None:
    given: list[int] = []
    team = dataclasses.replace(fake_process({}, given), places=lambda executor: 1)
    seen: list[list[int]] = []
    match_tiles([team], [task(row) for row in range(3)], lambda *_: seen.append(list(given)))
    assert seen == [[0, 1], [0, 1, 2], [0, 1, 2]]


def test_a_cluster_that_is_lost_before_it_has_a_tile_is_said_in_a_sentence() -> None:
    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        raise ConnectionResetError("closed")  # an OSError too

    with pytest.raises(SemrsmError, match="the Dask scheduler is out of reach"):
        match_tiles([fake_team(submit, lost=(ConnectionResetError,))], [task(0)], Tiles())


def test_places_that_come_while_a_tile_is_matched_are_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(match, "LOOK_AGAIN", 0.01)
    places, futures, tasks = iter([1, 1, 1]), [], [task(0), task(1)]

    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        futures.append(Future[TileFile]())
        if task.place[0] == 1:  # only now does the first one end
            for future, of in zip(futures, tasks, strict=True):
                future.set_result(found_for(of))
        return futures[-1]

    team = Team(
        lambda: contextlib.nullcontext(Executor()), submit, lambda executor: next(places, 2)
    )
    tiles = Tiles()
    match_tiles([team], tasks, tiles)
    assert sorted(tiles.rows) == [0, 1]


def test_the_clock_starts_when_the_first_process_is_ready() -> None:
    ready: list[str] = []
    prepared = Future[None]()

    def prepare(executor: Executor) -> list[Future[None]]:
        prepared.set_result(None)
        return [prepared, Future()]

    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        assert ready == ["ready"]
        future = Future[TileFile]()
        future.set_result(found_for(task))
        return future

    match_tiles(
        [fake_team(submit, prepare=prepare)], [task(0)], Tiles(), lambda: ready.append("ready")
    )
    assert prepared.done()


def test_an_error_of_preparing_ends_the_run_before_a_tile_is_given() -> None:
    def prepare(executor: Executor) -> list[Future[None]]:
        future = Future[None]()
        future.set_exception(SemrsmError("a.h5 is not there"))
        return [future]

    def submit(executor: Executor, task: Task) -> Future[TileFile]:
        raise AssertionError("a tile was given")

    with pytest.raises(SemrsmError, match="not there"):
        match_tiles([fake_team(submit, prepare=prepare)], [task(0)], Tiles())


@pytest.fixture
def maps(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_h5(tmp_path / "a.h5", layer=rng.normal(size=(6, 3, 2, 2)).astype(np.float32))


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    with worker._opening:
        worker._let_go_of(worker._sittings)


def whole_task(path: Path) -> Task:
    with open_plan(path, RunOptions()) as plan:
        layer = plan.layers["layer"]
        digests = digests_of(layer.rows.read(range(6)))
        return Task("layer", (0, 0), layer.grid.tiles[0], digests, digests)


def test_a_worker_with_another_version_is_refused_with_both(maps: Path) -> None:
    remote = Remote(str(maps), RunOptions(), version="0.0.7")
    with pytest.raises(SemrsmError, match=rf"has semrsm {worker.__version__}, the run 0\.0\.7"):
        match_remotely(remote, whole_task(maps))


@pytest.mark.parametrize("which", ["activations", "against"])
def test_a_worker_that_cannot_see_a_file_names_it(maps: Path, which: str) -> None:
    gone = str(maps.with_name("gone.h5"))
    options = RunOptions(against=gone if which == "against" else None)
    remote = Remote(gone if which == "activations" else str(maps), options)
    with pytest.raises(SemrsmError, match=r"gone\.h5 is not there on .* read the activation file"):
        prepare_remotely(remote)
    assert not worker._sittings


def test_a_process_serves_two_runs_at_once_and_lets_go_of_what_it_does_not_use(maps: Path) -> None:
    wanted, runs = whole_task(maps), [Remote(str(maps), RunOptions(), sitting=x) for x in "abc"]
    with worker._worker_of(runs[0]) as one:
        prepare_remotely(runs[1])
        # The file of the first run is in use, and must stay open.
        np.testing.assert_array_equal(
            one.match(wanted).matched, match_remotely(runs[1], wanted).matched
        )
        assert list(worker._sittings) == runs[:2]
        prepare_remotely(runs[2])
        assert list(worker._sittings) == [runs[0], runs[2]]
    worker._end_sitting(runs[0])
    worker._end_sitting(runs[2])
    assert not worker._sittings


def test_a_file_that_was_replaced_between_two_sittings_is_opened_anew(
    maps: Path, rng: np.random.Generator
) -> None:
    match_remotely(Remote(str(maps), RunOptions(), sitting="a"), whole_task(maps))
    maps.unlink()
    write_h5(maps, layer=rng.normal(size=(6, 3, 2, 2)).astype(np.float32))
    wanted = whole_task(maps)
    match_remotely(Remote(str(maps), RunOptions(), sitting="b"), wanted)


def test_a_process_lets_go_of_a_run_for_which_no_tile_comes(
    maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE", 0.01)
    remote = Remote(str(maps), RunOptions())
    prepare_remotely(remote)
    for timer in [t for t in threading.enumerate() if isinstance(t, threading.Timer)]:
        timer.join(timeout=30)
    assert not worker._sittings


@pytest.mark.skipif(not hasattr(signal, "pidfd_send_signal"), reason="no pidfd")
def test_a_process_in_the_middle_of_a_tile_ends_with_a_run_that_failed() -> None:
    team = process_team(Remote("a.h5", RunOptions()))
    opened = team.opened()
    pool = opened.__enter__()
    descriptor = os.pidfd_open(pool.submit(os.getpid).result(timeout=60))
    pool.submit(signal.pause)
    error = SemrsmError("the disk is full")
    assert not opened.__exit__(SemrsmError, error, None)
    assert select.select([descriptor], [], [], 60)[0], "it outlived its run"
    os.close(descriptor)
