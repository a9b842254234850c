"""Where tiles are matched: threads of this process, processes, one process a GPU, a Dask cluster.

Each is an executor of `concurrent.futures`, so that one loop serves all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from semrsm.compute.options import RunOptions
from semrsm.compute.worker import Remote, Task, Worker, match_remotely
from semrsm.errors import SemrsmError
from semrsm.storage.run_folder import TileFile

IN_WORK = 2  # tiles of this process: while one ends and is written, the next is read and begun


@dataclass(frozen=True)
class Team:
    """An executor and how it is used.

    Attributes:
        opened: Starts the executor and ends it; opened anew when its process has died.
        submit: Gives it a tile.
        places: How many tiles it has at once, at this moment.
        died: Says that the executor's one process died, over the oldest tile it has.
        gave_up: Says that the executor itself gave a tile up, after several processes died over it.
        lost: Says that the executor is out of reach.
        tells_pairs: It tells how many pairs it has matched while it is at it.
    """

    opened: Callable[[], contextlib.AbstractContextManager[Executor]]
    submit: Callable[[Executor, Task], Future[TileFile]]
    places: Callable[[Executor], int]
    died: tuple[type[BaseException], ...] = ()
    gave_up: tuple[type[BaseException], ...] = ()
    lost: tuple[type[BaseException], ...] = ()
    tells_pairs: bool = False


def teams_of(activations: str, options: RunOptions, worker: Worker) -> list[Team]:
    """Return where the options of a run have its tiles matched.

    Args:
        activations: Activation file or address.
        options: `workers`, `dask` and `device` are used.
        worker: The one of this process.

    Raises SemrsmError if the options contradict each other.
    """
    from semrsm.engine.devices import devices_of

    devices = devices_of(options.device)
    if options.dask is not None:
        if options.workers is not None or len(devices) > 1:
            raise SemrsmError("--dask brings its own workers; leave --workers and devices out")
        return [_dask(options.dask, activations, options)]
    if options.workers is not None and options.workers > 1:
        if devices[0].startswith("cuda"):
            raise SemrsmError(
                "--workers are processes on the CPU; for several GPUs use --device all"
            )
        devices = ["cpu"] * options.workers
    if len(devices) > 1:
        return [
            _process(Remote(activations, _own(options, device), len(devices))) for device in devices
        ]
    return [_threads(worker)]


def n_processes(options: RunOptions) -> int:
    """Return how many processes of a run share this machine."""
    from semrsm.engine.devices import devices_of

    if options.dask is not None:
        local = _local_workers(options.dask)
        return local or 1
    return max(options.workers or 1, len(devices_of(options.device)))


def _own(options: RunOptions, device: str) -> RunOptions:
    """Return the options of one process of several."""
    return dataclasses.replace(options, device=device, workers=None, dask=None)


def _threads(worker: Worker) -> Team:
    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        pool = ThreadPoolExecutor(IN_WORK)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            worker.close()

    return Team(
        opened, lambda pool, task: pool.submit(worker.match, task), lambda _: IN_WORK,
        tells_pairs=True,
    )  # fmt: skip


def _process(remote: Remote) -> Team:
    """One process of its own: when it dies, the tile that it was at is known, and no other is lost."""

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        # Spawned: a fork of a process with threads may hang.
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin_process)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return Team(
        opened,
        lambda pool, task: pool.submit(match_remotely, remote, task),
        lambda _: IN_WORK,
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


def _dask(address: str, activations: str, options: RunOptions) -> Team:
    """Return a Dask cluster, one that is running or `local:N`; its workers may come and go."""
    try:
        import distributed
    except ImportError:
        raise SemrsmError(
            "--dask needs Dask, which is not installed; pip install 'semrsm[dask]'"
        ) from None
    workers = _local_workers(address)
    remote = Remote(activations, _own(options, options.device), workers or 1)

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        with contextlib.ExitStack() as stack:
            if workers:
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, dashboard_address=None
                    )
                )
            try:
                client = stack.enter_context(
                    distributed.Client(cluster if workers else address, timeout=20)
                )
            except (OSError, ValueError, TimeoutError) as error:
                raise SemrsmError(
                    f"no Dask scheduler answers at {address} ({error}); check the address, or use"
                    " --dask local:N"
                ) from error
            executor = client.get_executor(pure=False)
            yield executor
            executor.shutdown(wait=False)

    def places(executor: Any) -> int:
        threads = executor._client.scheduler_info(n_workers=-1)["workers"].values()
        return IN_WORK * max(1, sum(worker["nthreads"] for worker in threads))

    return Team(
        opened,
        lambda executor, task: executor.submit(match_remotely, remote, task),
        places,
        gave_up=(distributed.KilledWorker,),
        lost=(distributed.CancelledError, CancelledError, distributed.comm.CommClosedError),
    )


def _local_workers(address: str) -> int | None:
    """Return N of `local:N`; None for the address of a scheduler."""
    kind, _, number = address.partition(":")
    return int(number) if kind == "local" else None
