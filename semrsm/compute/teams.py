"""Teams: an executor of `concurrent.futures` and how it is used, so that one loop serves all kinds."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from semrsm.compute.worker import Remote, Task, Worker, match_remotely, prepare_remotely
from semrsm.storage.run_folder import TileFile

DEATHS = 3  # of processes over one tile, after which the run ends
IN_WORK = 2  # tiles of this process: while one ends and is written, the next is read and begun


@dataclass(frozen=True)
class Team:
    """An executor and how it is used.

    Attributes:
        opened: Starts the executor and ends it; opened anew when its process has died.
        submit: Gives it a tile.
        places: How many tiles it has at once, at this moment.
        prepare: Has its processes open the files and load what they need, before it is given a tile.
        died: Says that the executor's one process died, over the oldest tile it has.
        unfit: Says why a worker cannot match.
        gave_up: Says that the executor itself gave a tile up, after several processes died over it.
        lost: Says that the executor is out of reach.
        tells_pairs: It tells how many pairs it has matched while it is at it.
    """

    opened: Callable[[], contextlib.AbstractContextManager[Executor]]
    submit: Callable[[Executor, Task], Future[TileFile]]
    places: Callable[[Executor], int]
    prepare: Callable[[Executor], list[Future[None]]] = lambda executor: []
    died: tuple[type[BaseException], ...] = ()
    unfit: tuple[type[BaseException], ...] = ()
    gave_up: tuple[type[BaseException], ...] = ()
    lost: tuple[type[BaseException], ...] = ()
    tells_pairs: bool = False


def threads_team(worker: Worker) -> Team:
    """Return threads of this process, as many as it has tiles in work at once."""
    in_work = max(IN_WORK, worker.tiles_in_work)

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        pool = ThreadPoolExecutor(in_work)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            worker.close()

    return Team(
        opened, lambda pool, task: pool.submit(worker.match, task), lambda _: in_work,
        tells_pairs=True,
    )  # fmt: skip


def process_team(remote: Remote) -> Team:
    """Return one process of its own: when it dies, the tile that it was at is known, and no other is lost."""

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        # Spawned: a fork of a process with threads may hang.
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin_process)
        try:
            yield pool
        except BaseException:
            # Python waits for its pools when it ends, here for a tile that nobody wants any more.
            for process in (pool._processes or {}).values():
                process.kill()
            raise
        finally:
            # Nothing is in work any more; Python 3.11 may stumble over a pool that it did not wait for.
            pool.shutdown(wait=True, cancel_futures=True)

    def prepare(pool: Executor) -> list[Future[None]]:
        # Where that fails, so does the first tile, and is seen to.
        with contextlib.suppress(OSError):
            return [pool.submit(prepare_remotely, remote)]
        return []

    return Team(
        opened,
        lambda pool, task: pool.submit(match_remotely, remote, task),
        lambda _: IN_WORK,
        prepare,
        died=(BrokenProcessPool,),
    )


def _begin_process() -> None:
    """End with the process that started this one, however it ends; Ctrl-C is its business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
