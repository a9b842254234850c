"""Files that are read: regular ones only, and each noticed when it is written to meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.machine import job_memory
from semrsm.storage.damage import WrittenError

Stamp = tuple[int, int, int]  # inode, bytes and time of the last change of a file

CELL_BYTES = 70  # that a cell of a text table takes in memory, about
PIECE = 8 << 20  # bytes that are asked of the system at once

KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_irregular(path: Path) -> None:
    """Refuse a pipe, a socket or a device, before it is opened, which might never end.

    A file that is missing, or a folder, is left to whoever opens it. Raises SemrsmError.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise SemrsmError(
                f"{path} is {name}, not a file; save what it gives and name that file"
            )


def stamp_of(file: int | Path) -> Stamp:
    """Return what tells a file, by its descriptor or path, from itself once it has been written to.

    A file that is gone has a stamp that no other file has.
    """
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def refuse_written(opened: Iterable[tuple[int | Path, Stamp]]) -> None:
    """Raise WrittenError if a file is not what it was when it was opened."""
    for file, then in opened:
        now = stamp_of(file)
        if now[1] < then[1]:
            raise WrittenError(f"the file has {now[1]} bytes, and had {then[1]} when it was opened")
        if now != then:
            raise WrittenError("the file was written to since it was opened")


def read_at(descriptor: int, offset: int, into: np.ndarray) -> None:
    """Fill a contiguous array with the bytes of an open file from `offset` on.

    Nothing is mapped: of a mapped file that is cut short, reading ends the process. Raises ValueError
    if the file ends before.
    """
    if not into.nbytes:
        return
    buffer, done = into.reshape(-1).view(np.uint8), 0
    while done < len(buffer):
        piece = os.pread(descriptor, min(PIECE, len(buffer) - done), offset + done)
        if not piece:
            raise ValueError(f"it ends at byte {offset + done} of {offset + len(buffer)}")
        buffer[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)


def read_text(path: Path) -> str:
    """Return the text of a table, UTF-8 with or without a mark at its front.

    Raises:
        SemrsmError: It is a pipe or the like, or its text and its cells take more memory than there is.
        OSError, UnicodeDecodeError: It cannot be read, or is no UTF-8.
    """
    refuse_irregular(path)
    otherwise = "save it as .npy or HDF5"
    refuse_more_than_memory(f"{path} as text", 2 * path.stat().st_size, otherwise)
    text = path.read_text(encoding="utf-8-sig")
    cells = sum(map(text.count, ",\t\n"))
    refuse_more_than_memory(f"{path} as text", 2 * len(text) + CELL_BYTES * cells, otherwise)
    return text


def refuse_more_than_memory(what: str, n_bytes: int, otherwise: str) -> None:
    """Refuse what takes more memory than this job may have, before it is taken.

    Raises SemrsmError with both numbers.
    """
    if n_bytes > job_memory():
        raise SemrsmError(
            f"{what} takes {n_bytes} bytes of memory and this job may take {job_memory()}; {otherwise}"
        )
