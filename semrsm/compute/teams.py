"""Teams: an executor of `concurrent.futures` and how it is used, so that one loop serves all kinds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from semrsm.compute.process_executor import ThreadsOfProcess
from semrsm.compute.worker import Remote, Task, Worker, match_remotely, prepare_remotely
from semrsm.storage.run_folder import TileFile

DEATHS = 3  # of processes over one tile, after which the run ends
IN_WORK = 2  # tiles of a process: while one ends and is written, the next is read and begun


@dataclass(frozen=True)
class Team:
    """An executor and how it is used.

    Attributes:
        opened: Starts the executor and ends it; opened anew when its process has died.
        submit: Gives it a tile.
        places: How many tiles it has at once, at this moment.
        prepare: Has its processes open the files and load what they need, before it is given a tile.
        died: Says that the executor's one process died, over one of the tiles it has.
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


def process_team(remote: Remote, in_work: int = IN_WORK) -> Team:
    """Return one process of its own, which has several tiles in work at once.

    When it dies, all that it had in work is known, and no other is lost.
    """

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        pool = ThreadsOfProcess(in_work)
        try:
            yield pool
        except BaseException:
            pool.kill()  # it may be at a tile that nobody wants any more
            raise
        finally:
            pool.shutdown(wait=True)

    def prepare(pool: Executor) -> list[Future[None]]:
        # Where that fails, so does the first tile, and is seen to.
        with contextlib.suppress(OSError):
            return [pool.submit(prepare_remotely, remote)]
        return []

    return Team(
        opened,
        lambda pool, task: pool.submit(match_remotely, remote, task),
        lambda _: in_work,
        prepare,
        died=(BrokenProcessPool,),
    )
