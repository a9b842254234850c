"""Where tiles are matched: threads of this process, processes, one process a GPU, a Dask cluster.

The scheduling of a cluster is Dask's own business; here is only how its executor is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pickle
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from semrsm.compute.options import RunOptions
from semrsm.compute.teams import DEATHS, IN_WORK, Team, process_team, threads_team
from semrsm.compute.worker import Remote, Task, Worker, match_remotely, prepare_remotely
from semrsm.errors import SemrsmError
from semrsm.machine import cores, default_memory
from semrsm.storage.address import address_of
from semrsm.storage.run_folder import TileFile
from semrsm.version import __version__

CONNECT = 20.0  # seconds in which a scheduler must answer


def teams_of(
    activations: str,
    options: RunOptions,
    worker: Worker,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[Team]:
    """Return where the options of a run have its tiles matched.

    Args:
        activations: Activation file or address.
        options: `workers`, `dask` and `device` are used.
        worker: The one of this process.
        on_note: Told that a cluster has no worker yet.

    Raises SemrsmError if the options contradict each other.
    """
    from semrsm.engine.backends import BACKENDS
    from semrsm.engine.devices import devices_of

    devices = devices_of(options.device)
    if options.dask is not None:
        if options.workers is not None or len(devices) > 1:
            raise SemrsmError("`dask` brings its own workers; leave `workers` and devices out")
        return [_dask(options.dask, _remote(activations, options), on_note)]
    if options.workers is not None and options.workers > 1:
        named = BACKENDS.get(devices[0].partition(":")[0])
        if named is not None and not named.serves_workers:
            raise SemrsmError(
                "`workers` are processes on the CPU; for several GPUs use `device='all'`"
            )
        devices = ["cpu"] * options.workers
    if len(devices) > 1:
        in_work = max(IN_WORK, worker.tiles_in_work)
        return [
            process_team(_remote(activations, options, device, len(devices)), in_work)
            for device in devices
        ]
    return [threads_team(worker)]


def n_processes(options: RunOptions) -> int:
    """Return how many processes of a run share this machine."""
    from semrsm.engine.devices import devices_of

    if options.dask is not None:
        local = _local_workers(options.dask)
        return local or 1
    return max(options.workers or 1, len(devices_of(options.device)))


def _remote(
    activations: str, options: RunOptions, device: str | None = None, processes: int = 1
) -> Remote:
    """Return what one process of several needs to know; it may have another working folder."""
    against = options.against and _absolute(options.against)
    own = dataclasses.replace(
        options, device=device or options.device, against=against, workers=None, dask=None
    )
    return Remote(_absolute(activations), own, processes, uuid.uuid4().hex)


def _absolute(address: str) -> str:
    path, layer = address_of(address)
    return str(path.absolute()) + (f"::{layer}" if layer else "")


def _dask(address: str, remote: Remote, on_note: Callable[[str], None]) -> Team:
    """Return a Dask cluster, one that is running or `local:N`; its workers may come and go."""
    try:
        import distributed
    except ImportError:
        raise SemrsmError(
            "`dask` needs Dask, which is not installed; pip install 'semrsm[dask]'"
        ) from None
    n_local = _local_workers(address)
    if n_local:
        options = remote.options
        threads = options.threads or max(1, cores() // n_local)
        memory = (options.memory or default_memory()) // n_local
        remote = _with(remote, threads, memory)

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        with _quiet(), contextlib.ExitStack() as stack:
            where = stack.enter_context(_local_cluster(n_local)) if n_local else address
            client = stack.enter_context(_client_of(where, address))
            executor = client.get_executor(pure=False)
            stack.callback(executor.shutdown, wait=False)
            if not threads_of(executor):
                on_note(f"{address} has no worker yet; tiles are matched as soon as one comes")
            yield executor

    def threads_of(executor: Any) -> dict[str, int]:
        """Return how many threads each worker has; a lost scheduler is seen to with its tiles."""
        with contextlib.suppress(OSError):
            return dict(executor._client.nthreads())
        return {}

    def places(executor: Executor) -> int:
        # None waits behind another: Dask blames all that a worker has for its death.
        return max(1, sum(threads_of(executor).values()))

    run = _by_value()

    def submit(executor: Any, task: Task | None) -> Future[Any]:
        return executor.submit(run, __version__, pickle.dumps((remote, task)))

    def prepare(executor: Any) -> list[Future[None]]:
        workers = threads_of(executor)
        if not workers:
            return [submit(executor, None)]
        return [
            submit(
                executor._client.get_executor(pure=False, workers=[w], allow_other_workers=True),
                None,
            )
            for w in workers
        ]

    return Team(
        opened,
        submit,
        places,
        prepare,
        unfit=(ImportError,),
        gave_up=(distributed.KilledWorker,),
        lost=(
            CancelledError,
            distributed.CancelledError,
            distributed.client.ClosedClientError,
            distributed.comm.CommClosedError,
        ),
    )


def _by_value() -> Callable[[str, bytes], TileFile | None]:
    """Return what Dask is given: a local function, which travels as code.

    Dask ends a worker that cannot load what it is sent, and waits for another one, for ever. So what
    it is sent needs nothing of semrsm, neither on a worker nor on the scheduler.
    """

    def semrsm_tile(version: str, content: bytes) -> TileFile | None:
        import pickle
        import platform

        try:
            from semrsm.compute.executors import match_on_dask

            remote, task = pickle.loads(content)
        except (ImportError, AttributeError) as error:
            try:
                from semrsm.version import __version__ as own
            except ImportError:
                own = "none"
            raise ImportError(
                f"a worker on {platform.node()} has semrsm {own}, the run {version} ({error});"
                " install one version everywhere"
            ) from None
        return match_on_dask(remote, task)

    return semrsm_tile


def match_on_dask(remote: Remote, task: Task | None) -> TileFile | None:
    """Match a tile in a Dask worker, or only prepare to.

    It takes the worker's threads and half of its memory unless the options say otherwise.
    """
    import distributed

    worker, options = distributed.get_worker(), remote.options
    limit = worker.memory_manager.memory_limit
    half = min(limit // 2, default_memory()) if limit else None
    remote = _with(remote, options.threads or worker.state.nthreads, options.memory or half)
    if task is None:
        prepare_remotely(remote)
        return None
    return match_remotely(remote, task)


def _with(remote: Remote, threads: int, memory: int | None) -> Remote:
    options = dataclasses.replace(remote.options, threads=threads, memory=memory)
    return dataclasses.replace(remote, options=options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log to itself: what ends a run is said in a sentence."""
    loggers = [
        logging.getLogger(name)
        for name in ("distributed", "distributed.client", "tornado", "asyncio")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """Give a cluster of worker processes of this machine; their memory is the run's own business."""
    import dask
    import distributed

    with (
        tempfile.TemporaryDirectory(prefix="semrsm-", ignore_cleanup_errors=True) as folder,
        dask.config.set(
            {
                "temporary-directory": folder,
                "distributed.scheduler.allowed-failures": DEATHS - 1,
                "distributed.worker.profile.enabled": False,
                # What Dask watches itself with takes some percent of two cores.
                "distributed.admin.tick.interval": "1s",
                "distributed.admin.system-monitor.interval": "10s",
                "distributed.scheduler.work-stealing": False,
                # In place of Dask's own, which makes the system take back memory after every use.
                "distributed.nanny.pre-spawn-environ": {"DASK_LOGGING__DISTRIBUTED": "critical"},
            }
        ),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            # No dashboard; the web server that comes all the same is seen by this machine only.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def _client_of(where: Any, address: str) -> Iterator[Any]:
    import distributed

    try:
        client = distributed.Client(where, timeout=CONNECT)
    except (OSError, TypeError, ValueError) as error:
        raise SemrsmError(
            f"no Dask scheduler answers at {address} ({error}); check the address, or use"
            " `dask='local:N'`"
        ) from error
    with client:
        yield client


def _local_workers(address: str) -> int | None:
    """Return N of `local:N`; None for the address of a scheduler."""
    kind, _, number = address.partition(":")
    return int(number) if kind == "local" else None
