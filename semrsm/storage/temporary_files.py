"""Temporary names beside outputs: no other process has them, and none of them outlives its process."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from pathlib import Path

from semrsm.machine import host, is_running

LEFT_BEHIND = 7 * 24 * 3600.0  # seconds after which another machine's temporary file is a leftover
LONGEST_STEM = 100  # bytes of an output's name that its temporary names begin with

_counter = itertools.count()
_temporary: set[Path] = set()  # temporary names in use


def temporary_name(out: Path) -> Path:
    """Return a free name beside `out`, to be given to `remove_temporary` when it is renamed or failed."""
    partial = free_name(out)
    _temporary.add(partial)
    return partial


def remove_temporary(partial: Path) -> None:
    """Remove what is at a temporary name, if anything is."""
    with contextlib.suppress(OSError):  # such as of a folder that could not be made
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
    _temporary.discard(partial)


def remove_all_temporary() -> None:
    """Remove what this process has at temporary names: a signal ends it, maybe while it cleans up."""
    for partial in tuple(_temporary):
        remove_temporary(partial)


def free_name(out: Path) -> Path:
    """Return a free name beside `out` that no other process has: with this host, process and a count.

    Processes in containers may share their numbers, so the host is told from others by more than
    its name. What an earlier process of the same number left is stepped over.
    """
    while True:
        name = f"{_stem(out)}.{host()}.{os.getpid()}.{next(_counter)}.partial"
        if not os.path.lexists(partial := out.with_name(name)):
            return partial


def _stem(out: Path) -> str:
    """Return how the temporary names of an output begin; a name may not be longer than 255 bytes."""
    return os.fsencode(f".{out.name}")[:LONGEST_STEM].decode(errors="ignore")


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
        if ended and partial.is_dir():
            shutil.rmtree(partial)
        elif ended:
            partial.unlink()


def _literal(name: str) -> str:
    """Return a glob that matches a name and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
