"""A case in a forked child, under limits of memory and time; what became of it."""

from __future__ import annotations

import json
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.calls import call, values_of
from fuzzing.cases import Case, prepare

CPU_SECONDS = 20  # of a case; the usual one takes a fifth of a second
WALL_SECONDS = (
    120  # after these a child that waits for something is ended; others may need the cores
)
MOST_MEMORY = 512 << 20  # bytes that a case may take beyond what was there when it began
ADDRESSES = 3 << 30  # bytes of address space beyond that: allocations that are never touched
LARGEST_FILE = 256 << 20
UNPREPARED = 99  # exit code of a child whose mutation failed: a fault of the fuzzer

Before = Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: It.
        folder: Where it ran.
        mutation: In words.
        valid: The mutated file is a valid one of other content.
        code: Exit code; None if a signal ended the child.
        signal: That ended it, or None.
        stdout, stderr: What it wrote.
        values: What came out, where the exit code is 0; or the fault that was found when reading it.
        memory: Peak beyond what was there when it began, in bytes.
        seconds: Of CPU.
    """

    case: Case
    folder: Path
    mutation: str
    valid: bool
    code: int | None
    signal: int | None
    stdout: str
    stderr: str
    values: str | None
    memory: int
    seconds: float


@dataclass
class _Child:
    case: Case
    folder: Path
    process: int
    began: float = field(default_factory=time.monotonic)


def run_cases(
    cases: Iterable[Case], work: Path, jobs: int, before: Before | None = None
) -> Iterator[Outcome]:
    """Run cases, `jobs` at a time, and yield what became of each, in the order in which they end.

    This process must not have started threads, and should have imported all that the cases need.

    Args:
        cases: Which.
        work: A folder with the valid files in `valid`; the cases run in folders beside it, which
            whoever takes the outcome may remove.
        jobs: Children at a time.
        before: Called in every child, after the mutation and before the command.
    """
    waiting = iter(cases)
    with selectors.DefaultSelector() as selector:
        for case in waiting:
            _start(selector, case, work, before)
            while len(selector.get_map()) >= jobs:
                yield from _ended(selector, work)
        while selector.get_map():
            yield from _ended(selector, work)


def _start(selector: selectors.BaseSelector, case: Case, work: Path, before: Before | None) -> None:
    folder = work / "cases" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        _be_child(case, work, folder, before)
    selector.register(os.pidfd_open(process), selectors.EVENT_READ, _Child(case, folder, process))


def _ended(selector: selectors.BaseSelector, work: Path) -> Iterator[Outcome]:
    """Wait until a child ends, or one has had its time; yield what became of those that ended."""
    for key, _ in selector.select(timeout=1.0):
        child: _Child = key.data
        _, status, used = os.wait4(child.process, 0)
        selector.unregister(key.fileobj)
        os.close(int(key.fd))
        yield _outcome(child, work, status, used)
    for key in selector.get_map().values():
        if time.monotonic() - key.data.began > WALL_SECONDS:
            os.kill(key.data.process, signal.SIGKILL)


def _be_child(case: Case, work: Path, folder: Path, before: Before | None) -> None:
    code = UNPREPARED
    reports = work / "reports" / case.name
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(reports / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout.reconfigure(encoding="utf-8", errors="strict")
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
        made = prepare(case, work / "valid", folder)
        about = {"mutation": made.text, "valid": made.valid, "peak": _peak()}
        (reports / "about").write_text(json.dumps(about))
        os.chdir(folder)
        _limit()
        if before is not None:
            before()
        code = call(case.arguments())
        sys.stdout.flush()
        sys.stderr.flush()
        if code == 0:
            _write_values(reports, folder)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _peak() -> int:
    """Return the peak of resident memory in KiB; a child begins with what it was forked with."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for which, limit in (
        (resource.RLIMIT_AS, size + ADDRESSES),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))  # SIGXCPU, then SIGKILL


def _write_values(reports: Path, folder: Path) -> None:
    try:
        text = values_of(folder, (reports / "stdout").read_bytes())
    except Exception as error:
        text = f"unreadable: {error}"
    (reports / "values").write_text(text, encoding="utf-8", errors="backslashreplace")


def _outcome(child: _Child, work: Path, status: int, used: resource.struct_rusage) -> Outcome:
    reports = work / "reports" / child.case.name
    texts = {
        name: (reports / name).read_text(encoding="utf-8", errors="backslashreplace")
        for name in ("stdout", "stderr", "about", "values")
        if (reports / name).exists()
    }
    shutil.rmtree(reports, ignore_errors=True)
    about = json.loads(texts.get("about") or '{"mutation": "none", "valid": false}')
    return Outcome(
        case=child.case,
        folder=child.folder,
        mutation=about["mutation"],
        valid=about["valid"],
        code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        stdout=texts.get("stdout", ""),
        stderr=texts.get("stderr", ""),
        values=texts.get("values"),
        memory=max(0, used.ru_maxrss - about.get("peak", 0)) << 10,
        seconds=used.ru_utime + used.ru_stime,
    )
