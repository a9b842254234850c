"""A file whose writes count when they are committed: killed at any moment, it is as the last commit left it.

HDF5 changes its tables in place, so that a process that dies while it writes leaves a file that nobody
can read. Here everything new goes behind the end of the file, and what changes is kept in memory, page by
page, until it is committed: then the pages are written behind the end, too, and only when they are whole
into their places. Whoever opens a file with pages behind its end puts them into their places first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semrsm.errors import SemrsmError

PAGE = 1024  # bytes that are changed together
FOOTER = struct.Struct(
    "<16sQQ16s"
)  # at the very end: MAGIC, number of pages, size without them, digest
MAGIC = b"semrsm:pages:1\r\n"
SUPERBLOCK = struct.Struct(
    "<8sB19xQ"
)  # of HDF5, version 2 or 3: signature, version, end of the file
SIGNATURE = b"\x89HDF\r\n\x1a\n"


class CommittedFile(io.RawIOBase):
    """A file for h5py that is written to in commits, and locked for this process while it is open.

    A write that fails is kept quiet until `commit`: HDF5 crashes the process when it learns of one.
    """

    def __init__(self, path: Path, new: bool) -> None:
        """Make a file where none is, or open one as its last commit left it.

        Raises SemrsmError if another process has it open, OSError if it cannot be opened.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if new else 0)
        self._descriptor = os.open(path, flags, 0o666)
        try:
            _lock(self._descriptor, path)
            settle_descriptor(self._descriptor)
            self._committed = _end_of_hdf5(self._descriptor)
            os.ftruncate(self._descriptor, self._committed)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._pages: dict[int, bytearray] = {}
        self._size, self._position = self._committed, 0
        self._failure: BaseException | None = None
        self._discards = False

    def commit(self) -> None:
        """Have all writes since the last commit count.

        Raises what a write failed with, and OSError if the disk is full; nothing counts then.
        """
        if self._failure is not None:
            raise self._failure
        os.ftruncate(self._descriptor, self._size)
        if self._pages:
            numbers = sorted(self._pages)
            content = b"".join(self._pages[number] for number in numbers)
            _append_pages(self._descriptor, self._size, numbers, content)
            _put_pages(self._descriptor, self._size, numbers, content)
        self._committed = self._size
        self._pages.clear()

    def discard(self) -> None:
        """Ignore what is written from now on, until `restore`: what wants to be tidy is closed in between."""
        self._discards = True

    def restore(self) -> None:
        """Return to the last commit."""
        self._pages.clear()
        settle_descriptor(self._descriptor)  # of a commit that failed when its pages were whole
        os.ftruncate(self._descriptor, self._committed)
        self._size, self._failure, self._discards = self._committed, None, False

    def sync(self) -> None:
        """Have the system put the file on disk; raises OSError if it fails to."""
        os.fsync(self._descriptor)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; the end is that of what was written, committed or not."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read as if all writes were in the file."""
        view = memoryview(buffer).cast("B")
        start, n = self._position, len(view)
        content = os.pread(self._descriptor, n, start)
        view[: len(content)] = content
        view[len(content) :] = bytes(n - len(content))
        for number in range(start // PAGE, -(-(start + n) // PAGE)) if self._pages else ():
            if number in self._pages:
                first, last = max(start, number * PAGE), min(start + n, (number + 1) * PAGE)
                page = memoryview(self._pages[number])
                view[first - start : last - start] = page[
                    first % PAGE : first % PAGE + last - first
                ]
        self._position += n
        return n

    def write(self, data: Any) -> int:
        """Write behind the last commit, or change pages in memory."""
        view = memoryview(data).cast("B")
        start, n = self._position, len(view)
        self._position += n
        if self._failure is not None or self._discards:
            return n
        try:
            border = (
                -(-self._committed // PAGE) * PAGE
            )  # the page at the end of a commit is its own
            inside = max(0, min(n, border - start))
            self._change(start, view[:inside])
            _write_at(self._descriptor, start + inside, view[inside:])
            self._size = max(self._size, start + n)
        except BaseException as error:
            self._failure = error
        return n

    def truncate(self, size: int | None = None) -> int:
        """Set the size; what is committed is cut with the next commit only."""
        size = self._position if size is None else size
        if not self._discards:
            self._size = size
        return size

    def close(self) -> None:
        """Close it and give the lock back; what was not committed is gone."""
        if not self.closed:
            super().close()
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._committed)
            os.close(self._descriptor)

    def _change(self, start: int, view: memoryview) -> None:
        done = 0
        while done < len(view):
            number, offset = divmod(start + done, PAGE)
            n = min(PAGE - offset, len(view) - done)
            if number not in self._pages:
                content = os.pread(self._descriptor, PAGE, number * PAGE)
                self._pages[number] = bytearray(content.ljust(PAGE, b"\0"))
            self._pages[number][offset : offset + n] = view[done : done + n]
            done += n


def settle(path: Path) -> None:
    """Finish the commit that a process began that was killed then; of any other file nothing changes.

    Raises SemrsmError if there is one and the file cannot be written to.
    """
    with contextlib.suppress(OSError), path.open("rb") as stream:
        if _pages_behind(stream.fileno()) is None:
            return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SemrsmError(
            f"{path} was left in the middle of a write and cannot be put in order ({error.strerror});"
            " open it where it can be written to"
        ) from error
    try:
        _lock(descriptor, path)
        settle_descriptor(descriptor)
    finally:
        os.close(descriptor)


def settle_descriptor(descriptor: int) -> None:
    """Put the whole pages behind the end of a file into their places, and cut them off."""
    if pages := _pages_behind(descriptor):
        _put_pages(descriptor, *pages)


def _put_pages(descriptor: int, size: int, numbers: Sequence[int], content: bytes) -> None:
    start = 0
    for place, number in enumerate(numbers, start=1):  # pages beside each other are written at once
        if place == len(numbers) or numbers[place] != number + 1:
            part = memoryview(content)[start * PAGE : place * PAGE]
            offset = numbers[start] * PAGE
            _write_at(descriptor, offset, part[: max(0, size - offset)])
            start = place
    os.ftruncate(descriptor, size)


def _append_pages(descriptor: int, size: int, numbers: Sequence[int], content: bytes) -> None:
    body = struct.pack(f"<{len(numbers)}Q", *numbers) + content
    footer = FOOTER.pack(MAGIC, len(numbers), size, _digest(size, body))
    _write_at(descriptor, size, memoryview(body + footer))


def _pages_behind(descriptor: int) -> tuple[int, tuple[int, ...], bytes] | None:
    """Return the size of the file without the pages behind its end, their numbers and them; None if none."""
    end = os.fstat(descriptor).st_size - FOOTER.size
    footer = os.pread(descriptor, FOOTER.size, end) if end >= 0 else b""
    if not footer.startswith(MAGIC) or len(footer) < FOOTER.size:
        return None
    _, n, size, digest = FOOTER.unpack(footer)
    n_bytes = n * (8 + PAGE)
    if size + n_bytes != end:
        return None
    body = os.pread(descriptor, n_bytes, size)
    if len(body) != n_bytes or _digest(size, body) != digest:
        return None
    return size, struct.unpack_from(f"<{n}Q", body), body[8 * n :]


def _digest(size: int, body: bytes) -> bytes:
    return hashlib.blake2b(size.to_bytes(8, "little") + body, digest_size=16).digest()


def _end_of_hdf5(descriptor: int) -> int:
    """Return where an HDF5 file says that it ends: what lies behind was never committed."""
    content = os.pread(descriptor, SUPERBLOCK.size, 0)
    size = os.fstat(descriptor).st_size
    if len(content) < SUPERBLOCK.size:
        return size
    signature, version, end = SUPERBLOCK.unpack(content)
    return min(size, end) if signature == SIGNATURE and version in (2, 3) else size


def _write_at(descriptor: int, offset: int, view: memoryview) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _lock(descriptor: int, path: Path) -> None:
    """Lock a file for this process, where the file system can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SemrsmError(
            f"{path} is being written by another process; wait until it has ended, or choose another file"
        ) from None
    except OSError:
        pass
