"""Runs on Dask: a cluster of this machine, one given by its address, and what may happen to both."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semrsm
from semrsm.compute import executors
from semrsm.compute.options import RunOptions
from semrsm.compute.worker import Remote, Task
from semrsm.machine import cores, default_memory
from semrsm.storage.run_folder import run_folder_of
from tests.compute.test_faults import Arrays, arrays_of, assert_equal, children_of, tiles
from tests.helpers import fail, start, write_h5

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("-k", "cosine", "-k", "rbf")
N_TILES = 6


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of six tiles: some seconds in one thread."""
    rng = np.random.default_rng(20241)
    x = rng.normal(size=(24, 4, 28, 28)).astype(np.float32)
    return write_h5(tmp_path_factory.mktemp("dask") / "a.h5", layer=x)


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> Arrays:
    out = source.parent / "undisturbed.rsm.h5"
    semrsm.compute(source, out, kernel=["cosine", "rbf"], threads=1)
    return arrays_of(out)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "o.rsm.h5"


class Processes:
    """Processes of Dask and runs, which are killed when a test ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[subprocess.Popen] = []

    def begin(self, *args: object, **options: Any) -> subprocess.Popen:
        """Begin a run; it need not have done anything yet."""
        process = start("compute", *args, *OPTIONS, **options)
        self._all.append(process)
        return process

    def scheduler(self, port: int = 0, **variables: str) -> tuple[subprocess.Popen, str]:
        """Start a scheduler; return it and its address."""
        process, log = self._dask("scheduler", "--port", port, **variables)
        until(lambda: "Scheduler at:" in log.read_text(), process)
        return process, log.read_text().split("Scheduler at:")[1].split()[0]

    def worker(self, address: str, *args: object, **variables: str) -> subprocess.Popen:
        """Start a worker of one thread, and return once the scheduler knows it."""
        process, log = self._dask("worker", address, "--nthreads", 1, *args, **variables)
        until(lambda: "Registered to:" in log.read_text(), process)
        return process

    def _dask(self, kind: str, *args: object, **variables: str) -> tuple[subprocess.Popen, Path]:
        log = self._folder / f"{kind}{len(self._all)}.log"
        common = ("--host", "127.0.0.1", "--no-dashboard")
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *args, *common]
        with log.open("w") as stream:
            process = subprocess.Popen(
                list(map(str, command)),
                stderr=stream,
                stdout=stream,
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            )
        self._all.append(process)
        return process, log

    def end(self) -> None:
        for process in self._all:
            process.kill()  # a worker under it ends with it
            process.communicate()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    folder = tmp_path / "dask"
    folder.mkdir()
    found = Processes(folder)
    yield found
    found.end()


def until(condition: Callable[[], object], process: subprocess.Popen) -> None:
    """Return once a condition holds, which a process brings about."""
    descriptor = os.pidfd_open(process.pid)
    try:
        for _ in range(6000):
            if condition():
                return
            # Waits for the end of the process, for a moment, and looks again.
            ended = select.select([descriptor], [], [], 0.02)[0]
            assert not ended or condition(), process.args
    finally:
        os.close(descriptor)
    raise AssertionError("it does not come about")


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def well_ended(process: subprocess.Popen) -> str:
    """Wait for a run that must end well; return what it said on stderr."""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stdout.startswith("layer\t")
    return stderr


def failed(process: subprocess.Popen) -> str:
    """Wait for a run that must fail as documented; return its sentence."""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    assert stdout == ""
    sentence = stderr.splitlines()[-1] + "\n"
    assert sentence.startswith("semrsm: "), stderr
    return sentence


# A run on a cluster of this machine.


def test_a_small_run_on_this_machine_says_nothing_and_leaves_nothing(
    out: Path, tmp_path: Path, processes: Processes
) -> None:
    rng = np.random.default_rng(20241)
    maps = write_h5(tmp_path / "a.h5", layer=rng.normal(size=(6, 3, 2, 2)).astype(np.float32))
    plain, scratch, work = (tmp_path / name for name in ("plain.rsm.h5", "scratch", "work"))
    scratch.mkdir()
    work.mkdir()
    semrsm.compute(maps, plain, kernel=["cosine", "rbf"], threads=1)
    process = processes.begin(
        *("../a.h5", "-o", out, "--dask", "local:1"),
        cwd=work,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)},
    )
    assert well_ended(process) == f"wrote {out}\n"
    assert_equal(out, arrays_of(plain))
    assert not list(scratch.iterdir())
    assert not list(work.iterdir())


@pytest.mark.slow
def test_two_workers_of_this_machine_make_the_same_file(
    source: Path, out: Path, undisturbed: Arrays, processes: Processes
) -> None:
    process = processes.begin(source, "-o", out, "--dask", "local:2")
    assert well_ended(process) == f"wrote {out}\n"
    assert_equal(out, undisturbed)


# Kills every worker that begins the last tile of six, at once.
DEADLY = """
import os
from semrsm.compute.worker import Worker
def deadly(worker, task, match=Worker.match):
    if task.place == (2, 2):
        os._exit(9)
    return match(worker, task)
Worker.match = deadly
"""


@pytest.mark.slow
def test_a_tile_that_kills_three_workers_ends_the_run_and_is_named(
    source: Path, out: Path, undisturbed: Arrays, processes: Processes, tmp_path: Path
) -> None:
    preload = tmp_path / "deadly.py"
    preload.write_text(DEADLY)
    process = processes.begin(
        *(source, "-o", out, "--dask", "local:2"),
        env=os.environ | {"DASK_DISTRIBUTED__WORKER__PRELOAD": str([str(preload)])},
    )
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 1, stderr
    assert stderr.startswith("semrsm: several processes died over tile 2-2 of layer, "), stderr
    assert stderr.count("\n") == 1, stderr
    there = len(tiles(out))
    assert f"is kept in {run_folder_of(out)}" in stderr
    assert 1 <= there < N_TILES
    said = well_ended(processes.begin(source, "-o", out))
    assert f"going on, {there} of {N_TILES} tiles are there" in said
    assert_equal(out, undisturbed)


# A cluster given by its address.


@pytest.mark.slow
def test_workers_come_and_go(
    source: Path, out: Path, undisturbed: Arrays, processes: Processes
) -> None:
    _, address = processes.scheduler()
    process = processes.begin(source, "-o", out, "--dask", address)
    assert "has no worker yet" in process.stderr.readline()
    first = processes.worker(address, "--no-nanny")
    until(lambda: tiles(out), process)
    second = processes.worker(address, "--no-nanny")
    kill(first)  # it has a tile: there are more than two, and it had the first
    well_ended(process)
    assert second.poll() is None
    assert_equal(out, undisturbed)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_the_same_cluster(
    source: Path, out: Path, undisturbed: Arrays, processes: Processes
) -> None:
    _, address = processes.scheduler()
    processes.worker(address)
    process = processes.begin(source, "-o", out, "--dask", address)
    until(lambda: len(tiles(out)) >= 2, process)
    kill(process)
    there = len(tiles(out))
    said = well_ended(processes.begin(source, "-o", out, "--dask", address))
    assert f"going on, {there} of {N_TILES} tiles are there" in said
    assert_equal(out, undisturbed)


@pytest.mark.slow
def test_a_scheduler_that_dies_in_the_middle_costs_no_tile_that_was_matched(
    source: Path, out: Path, undisturbed: Arrays, processes: Processes
) -> None:
    scheduler, address = processes.scheduler()
    processes.worker(address)
    process = processes.begin(source, "-o", out, "--dask", address)
    until(lambda: tiles(out), process)
    kill(scheduler)
    sentence = failed(process)
    assert "the Dask scheduler is out of reach" in sentence
    assert f"is kept in {run_folder_of(out)}" in sentence
    there = len(tiles(out))
    assert 1 <= there < N_TILES
    _, address = processes.scheduler()
    processes.worker(address)
    said = well_ended(processes.begin(source, "-o", out, "--dask", address))
    assert f"going on, {there} of {N_TILES} tiles are there" in said
    assert_equal(out, undisturbed)


@pytest.mark.slow
def test_a_cluster_without_semrsm_is_refused_in_a_sentence(
    source: Path, out: Path, processes: Processes, tmp_path: Path
) -> None:
    # Another package of the name, in front of it: neither the scheduler nor the worker can import ours.
    package = tmp_path / "elsewhere" / "semrsm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    hidden = {"PYTHONPATH": str(package.parent)}
    _, address = processes.scheduler(**hidden)
    processes.worker(address, **hidden)
    sentence = failed(processes.begin(source, "-o", out, "--dask", address))
    assert f"has semrsm none, the run {semrsm.__version__}" in sentence
    assert "install one version everywhere" in sentence
    assert not list(out.parent.iterdir())


@pytest.mark.slow
def test_a_worker_that_cannot_see_the_activation_file_says_so(
    out: Path, source: Path, processes: Processes, tmp_path: Path
) -> None:
    # As on a machine without that file system.
    preload = tmp_path / "elsewhere.py"
    preload.write_text(
        "from pathlib import Path\n"
        "def exists(path, exists=Path.exists):\n"
        f"    return path.name != {source.name!r} and exists(path)\n"
        "Path.exists = exists\n"
    )
    _, address = processes.scheduler()
    processes.worker(address, "--preload", preload)
    sentence = failed(processes.begin(source, "-o", out, "--dask", address))
    assert f"{source} is not there on the worker" in sentence
    assert "read the activation file themselves" in sentence


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nonsense", "http://a:1", "tls://127.0.0.1:1"]
)
def test_a_scheduler_that_is_not_there_is_said_in_a_sentence(
    address: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "CONNECT", 0.2)
    rng = np.random.default_rng(20241)
    maps = write_h5(tmp_path / "a.h5", layer=rng.normal(size=(6, 3, 2, 2)).astype(np.float32))
    sentence = fail("compute", maps, "-o", out, "--dask", address)
    assert f"no Dask scheduler answers at {address} (" in sentence
    assert "--dask local:N" in sentence
    assert not list(out.parent.iterdir())


# What a worker is given.


def test_without_dask_the_sentence_says_what_to_install(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = write_h5(tmp_path / "a.h5", layer=np.eye(4, dtype=np.float32))
    monkeypatch.setitem(sys.modules, "distributed", None)  # as if it were not installed
    assert "pip install 'semrsm[dask]'" in fail("compute", maps, "-o", out, "--dask", "local:2")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int | None, int | None]]:
    """Return the threads and the memory with which a Dask worker matches."""
    seen: list[RunOptions] = []
    monkeypatch.setattr(
        executors, "match_remotely", lambda remote, task: seen.append(remote.options)
    )

    def match(nthreads: int, limit: int | None, **options: Any) -> tuple[int | None, int | None]:
        worker = types.SimpleNamespace(
            state=types.SimpleNamespace(nthreads=nthreads),
            memory_manager=types.SimpleNamespace(memory_limit=limit),
        )
        monkeypatch.setattr(distributed, "get_worker", lambda: worker)
        task = Task("layer", (0, 0), None, None, None)
        executors.match_on_dask(Remote("a.h5", RunOptions(**options)), task)
        return seen[-1].threads, seen[-1].memory

    return match


def test_a_worker_matches_with_its_own_threads_and_half_of_its_memory(
    given: Callable[..., tuple[int | None, int | None]],
) -> None:
    assert given(3, 1 << 20) == (3, 1 << 19)
    assert given(3, 1 << 60) == (3, default_memory())
    assert given(3, None) == (3, None)
    assert given(3, 1 << 20, threads=5, memory=1 << 30) == (5, 1 << 30)


@pytest.mark.parametrize(
    ("options", "threads", "memory"),
    [
        ({}, max(1, cores() // 2), default_memory() // 2),
        ({"threads": 7, "memory": 1 << 30}, 7, 1 << 29),
    ],
)
def test_workers_of_this_machine_share_it(
    options: dict[str, int], threads: int, memory: int
) -> None:
    team = executors._dask("local:2", Remote("a.h5", RunOptions(**options)), lambda note: None)
    sent: list[bytes] = []

    class Catching:
        def submit(self, run: object, version: str, content: bytes) -> None:
            sent.append(content)

    team.submit(Catching(), Task("layer", (0, 0), None, None, None))
    remote, _ = pickle.loads(sent[0])
    assert (remote.options.threads, remote.options.memory) == (threads, memory)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_this_machine_end_with_their_run(
    sent: signal.Signals, source: Path, out: Path, undisturbed: Arrays, processes: Processes
) -> None:
    process = processes.begin(
        *(source, "-o", out, "--dask", "local:2"),
        env=os.environ | {"TMPDIR": str(out.parent.parent)},
    )
    until(lambda: tiles(out), process)
    workers = [os.pidfd_open(child) for child in children_of(process)]
    assert len(workers) == 2
    process.send_signal(sent)
    process.communicate(timeout=60)
    for descriptor in workers:
        assert select.select([descriptor], [], [], 60)[0], "a worker outlived its run"
        os.close(descriptor)
    well_ended(processes.begin(source, "-o", out, "--threads", 2))
    assert_equal(out, undisturbed)
