"""The lock of a run folder: one process that does all of a run, or several that do parts of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from semrsm.errors import SemrsmError
from semrsm.machine import host
from semrsm.storage.whole_files import open_file

LOCK = "lock"
LONGEST_HOLDER = 1000  # bytes
LOOKS, MOMENT = 4, 0.05  # how often, and after how many seconds, a lock is tried again


@contextlib.contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[None]:
    """Hold the advisory lock of a run folder, which is made if it is missing.

    Where the file system refuses locks the run goes on without one.

    Args:
        path: The run folder.
        shared: One of several processes that work on parts of the run, rather than all of it.

    Raises SemrsmError if another process holds it, named with its host and process.
    """
    with _open_lock(path) as stream:
        try:
            _take(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except BlockingIOError:
            raise SemrsmError(
                f"{path} is in use by {holder(path)}; wait until it has ended, or choose another"
                " output with `out`"
            ) from None
        except OSError:
            pass
        else:
            _write_holder(stream, "shard" if shared else "run")
            if not _is_in_place(stream, path / LOCK):
                raise SemrsmError(f"the run in {path} has just ended; give the command again")
        yield


def _take(stream: IO[bytes], kind: int) -> None:
    """Lock a file; somebody who only looks whether it is locked has it for a moment."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(MOMENT)
    fcntl.flock(stream, kind | fcntl.LOCK_NB)


def _is_in_place(stream: IO[bytes], path: Path) -> bool:
    """Say whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


def _write_holder(stream: IO[bytes], kind: str) -> None:
    """Write who holds the lock; on a full disk it holds without."""
    with contextlib.suppress(OSError):
        stream.truncate(0)
        stream.write(f"{host()} {os.getpid()} {kind}\n".encode())


def _open_lock(path: Path) -> IO[bytes]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return open_file(path / LOCK, "ab", os.O_NOFOLLOW)
    except OSError as error:
        raise SemrsmError(
            f"the run folder {path} cannot be made ({error.strerror or error}); name another one"
            " with `run_folder`"
        ) from error


def holder(path: Path) -> str:
    """Say which process wrote its name into a run folder's lock last."""
    try:
        with open_file(path / LOCK) as stream:
            where, process, kind = stream.read(LONGEST_HOLDER).decode().split()
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {where}" + (" (a shard)" if kind == "shard" else "")


def is_locked(path: Path) -> bool:
    """Say whether a process is at work on a run folder; False where the file system has no locks."""
    try:
        with open_file(path / LOCK, flags=os.O_RDWR | os.O_NOFOLLOW) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
