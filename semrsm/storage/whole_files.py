"""Writing aside, then renaming: no reader sees half a file, an older one stays until the new is whole."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.machine import host, is_running

LEFT_BEHIND = 7 * 24 * 3600.0  # seconds after which another machine's temporary file is a leftover

_counter = itertools.count()


def check_output(out: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written or must not be replaced.

    Raises SemrsmError if it exists and `overwrite` is not set, or if its folder is missing,
    is no folder or cannot be written to.
    """
    if out.is_dir():
        raise SemrsmError(f"{out} is a folder; name a file in it with -o")
    if out.exists() and not overwrite:
        raise SemrsmError(
            f"{out} exists; replace it with --overwrite or choose another name with -o"
        )
    if not out.parent.is_dir():
        raise SemrsmError(
            f"the folder {out.parent} does not exist; make it first or choose another -o"
        )
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise SemrsmError(f"the folder {out.parent} is not writable; choose another -o")


@contextlib.contextmanager
def aside(out: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name in the folder of `out`; what the block put on disk there is then renamed.

    When the block fails, the temporary file is removed and an older `out` is left as it was.

    Raises SemrsmError as `check_output` does, and when the disk is full or the file cannot be written.
    """
    check_output(out, overwrite)
    partial = temporary_name(out)
    try:
        yield partial
        check_output(out, overwrite)
        partial.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        raise SemrsmError(
            f"{out} cannot be written ({error.strerror or error}); free space or choose another -o"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def write_aside(out: Path, content: bytes, overwrite: bool = True) -> None:
    """Write a whole file at once, as `aside` does."""
    with aside(out, overwrite) as partial, partial.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def temporary_name(out: Path) -> Path:
    """Return a name beside `out` that no other process has: with this host, process and a count.

    Processes in containers may share their numbers, so the host is told from others by more than
    its name.
    """
    return out.with_name(f"{_stem(out)}.{host()}.{os.getpid()}.{next(_counter)}.partial")


def _stem(out: Path) -> str:
    """Return how the temporary names of an output begin; a name may not be longer than 255 bytes."""
    return f".{out.name}"[:100]


def remove_leftovers(out: Path) -> None:
    """Remove the temporary files of `out` whose processes have ended without removing them."""
    for partial in out.parent.glob(f"{_literal(_stem(out))}.*.partial"):
        remove_if_left(partial)


def remove_if_left(partial: Path) -> None:
    """Remove a temporary file if its process has ended, as its name says."""
    with contextlib.suppress(OSError, ValueError):
        where, process, _ = partial.name.removesuffix(".partial").rsplit(".", 3)[1:]
        if where == host():
            ended = not is_running(int(process))
        else:
            ended = time.time() - partial.stat().st_mtime > LEFT_BEHIND
        if ended:
            partial.unlink()


def _literal(name: str) -> str:
    """Return a glob that matches a name and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def sync_folder(folder: Path) -> None:
    """Have the system put the entries of a folder on disk; some network file systems refuse that.

    What was renamed is whole either way, and on disk a little later.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
