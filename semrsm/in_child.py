"""Work on files that nobody vouches for, in a child process with limits of memory and time."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from semrsm.errors import SemrsmError

PATIENCE = 10  # seconds by the clock for each second of computing: a slow disk is no endless loop
REMEDY = "it is damaged, or made to do harm; save it again, or have it from somebody else"


def in_child(work: Callable[[], Any], what: str, seconds: int, memory: int) -> Any:
    """Do something in a child process, and return what comes of it.

    A library that is given hostile bytes may crash, loop without end or take all memory: the child
    does, and this process says so. The child is a copy of this process, so that it starts at once.

    Args:
        work: What to do; it returns what JSON holds.
        what: What is worked on, for sentences.
        seconds: Of computing.
        memory: Bytes that the child may take besides those of this process.

    Returns:
        What `work` returned, as JSON gives it back.

    Raises:
        SemrsmError: `work` raised it; or the child died, or exceeded a limit.

    >>> in_child(lambda: {"n": 3}, "a.h5", 60, 1 << 30)
    {'n': 3}
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():  # of forking where there are threads: the child needs none
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _work(work, what, writer, seconds, memory)
    os.close(writer)
    try:
        answer = _read(reader, PATIENCE * seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # it has answered, died or been waited for long enough
        status = os.waitpid(child, 0)[1]
    if answer is None or (not answer and status == signal.SIGXCPU):
        raise SemrsmError(f"{what} takes more than {seconds} s to read: {REMEDY}")
    if not answer:
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "at once"
        raise SemrsmError(f"reading {what} ends the process that does it ({name}): {REMEDY}")
    reply = json.loads(answer)
    if "error" in reply:
        raise SemrsmError(reply["error"])
    return reply["result"]


def _work(work: Callable[[], Any], what: str, writer: int, seconds: int, memory: int) -> NoReturn:
    """Work within limits, write what comes of it as JSON, and end."""
    try:
        try:
            _be_quiet()
            _limit(seconds, memory)
            text = json.dumps({"result": work()})
        except SemrsmError as error:
            text = json.dumps({"error": str(error)})
        except MemoryError:
            text = json.dumps({"error": f"{what} takes more than {memory} bytes to read: {REMEDY}"})
        except Exception as error:
            kind = type(error).__name__
            text = json.dumps({"error": f"{what} cannot be read ({kind}: {error}): {REMEDY}"})
        content = text.encode()
        while content:
            content = content[os.write(writer, content) :]
    finally:
        os._exit(0)


def _be_quiet() -> None:
    """Leave words, signals and core dumps to the process that waits."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.disable()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = os.fdopen(nowhere, "w")


def _limit(seconds: int, memory: int) -> None:
    taken = Path("/proc/self/statm")
    pages = int(taken.read_text().split()[0]) if taken.exists() else 0
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    if pages:
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (most, hard))


def _read(reader: int, seconds: float) -> bytes | None:
    """Return all that is written until the other end is closed; None if that takes longer."""
    parts: list[bytes] = []
    end = time.monotonic() + seconds
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None
