"""Writing aside, then renaming: no reader sees half a file, an older one stays until the new is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from semrsm.errors import SemrsmError
from semrsm.storage.temporary_files import (
    free_name,
    remove_leftovers,
    remove_temporary,
    temporary_name,
)

LONGEST_NAME = 255  # bytes of a file's name, on every file system in use

KINDS: Mapping[str, Callable[[int], bool]] = {
    "file": stat.S_ISREG,
    "folder": stat.S_ISDIR,
    "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    "pipe": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
}
# What a file system answers that cannot sync a file, rather than failing to.
CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

_outputs: dict[Path, Path] = {}  # outputs of this process, and the temporary names that they had


def check_output(out: Path, overwrite: bool, keyword: str = "out") -> None:
    """Refuse an output that could not be written or must not be replaced.

    A link is followed: what it leads to is meant. Sentences call it by the caller's `keyword`.

    Raises SemrsmError if its name cannot be that of a file, if it is a folder, a device, a pipe or a
    socket, if it exists and `overwrite` is not set, or if its folder is missing, is no folder or
    cannot be written to.
    """
    check_name(out)
    kind = kind_of(out)
    if kind == "folder":
        raise SemrsmError(f"{out} is a folder; name a file in it with `{keyword}`")
    if kind not in ("file", "nothing"):
        raise SemrsmError(f"{out} is a {kind}, which is not written to; name a file")
    if kind == "file" and not overwrite:
        raise SemrsmError(
            f"{out} exists; replace it with `overwrite=True` or choose another name with `{keyword}`"
        )
    check_folder(_target(out).parent, keyword)


def check_folder(folder: Path, keyword: str = "out") -> None:
    """Raise SemrsmError unless a folder is there and can be written to."""
    if kind_of(folder) != "folder":
        raise SemrsmError(
            f"the folder {folder} does not exist; make it first or choose another `{keyword}`"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SemrsmError(f"the folder {folder} is not writable; choose another `{keyword}`")


def refuse_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the files it is made from, also by another name or a link.

    Nor does it go into a folder that is read: the next command would take it for one of the inputs.

    Raises SemrsmError naming both.
    """
    for path in inputs:
        if path.is_dir() and path.resolve() in out.resolve().parents:
            raise SemrsmError(
                f"{out} lies in {path}, which this command reads; write it to another folder"
            )
        with contextlib.suppress(OSError, ValueError):  # one of them is missing: another error
            if out.samefile(path):
                same = "" if out == path else f" (as {path})"
                raise SemrsmError(
                    f"{out} is an input of this command{same}; choose another name for what it writes"
                )


def check_name(path: Path) -> None:
    """Refuse a name that no file can have, or that no text can hold.

    Raises SemrsmError if there is none, it is no UTF-8, holds control characters or is longer than
    names may be.
    """
    if path.name in ("", ".."):
        raise SemrsmError(f"{path} is a folder; name a file in it")
    try:
        length = len(path.name.encode())
    except UnicodeEncodeError:
        raise SemrsmError(f"the name {path.name} is not UTF-8; choose another one") from None
    if any(unicodedata.category(character) == "Cc" for character in path.name):
        raise SemrsmError(f"the name {path.name} holds control characters; choose another one")
    if length > LONGEST_NAME:
        raise SemrsmError(
            f"the name {path.name} has {length} bytes, and names may have {LONGEST_NAME}; choose a"
            " shorter one"
        )


def kind_of(path: Path) -> str:
    """Return what is at a path, links followed: "file", "folder", "device", …, or "nothing".

    Raises SemrsmError if the system does not tell.

    >>> kind_of(Path("/dev/null"))
    'device'
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SemrsmError(f"{path} cannot be used ({why}); choose another name") from error
    return next((kind for kind, is_one in KINDS.items() if is_one(mode)), "special file")


def open_file(path: Path, mode: str = "rb", flags: int = 0) -> IO[Any]:
    """Open a file as `open` does, unbuffered where bytes are written; never wait at a pipe.

    Args:
        path: Where it is.
        mode: "rb", or "ab" to append or make it.
        flags: More for os.open, such as os.O_NOFOLLOW.

    Raises OSError if it cannot be opened or is no file.
    """
    flags |= os.O_NONBLOCK | (os.O_RDWR | os.O_APPEND | os.O_CREAT if mode == "ab" else os.O_RDONLY)
    descriptor = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return open(descriptor, mode, buffering=0 if mode == "ab" else -1)
    except BaseException:
        os.close(descriptor)
        raise


def _target(out: Path) -> Path:
    """Return the file that an output means: itself, or what a link in its place leads to."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def require_space(needs: Sequence[tuple[str, Path, int]]) -> None:
    """Refuse what finds no room on its disk, before it is made.

    A file system that does not say how much is free, or says none, is taken at its word when it is
    written to.

    Args:
        needs: What is to be written, the folder it goes to, and its bytes; those on one disk add up.

    Raises SemrsmError with the bytes needed and free.
    """
    disks: dict[int, list[tuple[str, Path, int]]] = {}
    for need in needs:
        with contextlib.suppress(OSError):
            disks.setdefault(need[1].stat().st_dev, []).append(need)
    for parts in disks.values():
        folder, needed = parts[0][1], sum(n_bytes for _, _, n_bytes in parts)
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
            if 0 < free < needed:
                what = " and ".join(name for name, _, n_bytes in parts if n_bytes)
                raise SemrsmError(
                    f"there is no room for {what}: {needed:,} bytes are needed in {folder} and {free:,}"
                    " are free; free space or choose another folder"
                )


@contextlib.contextmanager
def aside(out: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `out`, where nothing stands; what the block put there is then renamed.

    The block opens it exclusively ("x"). When the block fails, the temporary file is removed and an
    older `out` is left as it was. What earlier processes left of `out` is removed first.

    Raises SemrsmError as `check_output` does, and when the disk is full or the file cannot be written.
    """
    check_output(out, overwrite)
    target = _target(out)
    remove_leftovers(target)
    partial = temporary_name(target)
    try:
        yield partial
        put_in_place(partial, out, overwrite)
    except OSError as error:
        _outputs.pop(out, None)
        raise SemrsmError(
            f"{out} cannot be written ({error.strerror or error}); free space or choose another `out`"
        ) from error
    finally:
        if os.path.lexists(partial):
            _outputs.pop(out, None)
        remove_temporary(partial)


@contextlib.contextmanager
def aside_folder(
    out: Path, overwrite: bool = True, marks: Sequence[str] = ("zarr.json", ".zgroup")
) -> Iterator[Path]:
    """Give a temporary name beside `out` for a folder, which is then renamed; as `aside` for files.

    A folder that is there is only replaced if it is empty or holds one of `marks`: no other is thrown
    away, whatever was named by mistake.

    Raises SemrsmError if it must not be replaced, or cannot be written.
    """
    check_name(out)
    kind = kind_of(out)
    if kind == "folder" and not any((out / mark).exists() for mark in marks) and any(out.iterdir()):
        raise SemrsmError(f"{out} is a folder of something else; choose another `out`")
    if kind not in ("folder", "nothing"):
        raise SemrsmError(f"{out} is a {kind}, and a folder is to be written; choose another `out`")
    if kind == "folder" and not overwrite:
        raise SemrsmError(
            f"{out} exists; replace it with `overwrite=True` or choose another name with `out`"
        )
    target = _target(out)
    check_folder(target.parent)
    remove_leftovers(target)
    partial, old = temporary_name(target), free_name(target)
    try:
        yield partial
        if kind == "folder":
            target.replace(old)
        partial.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise SemrsmError(
            f"{out} cannot be written ({error.strerror or error}); free space or choose another `out`"
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.replace(target)
        remove_temporary(partial)
        shutil.rmtree(old, ignore_errors=True)


def put_in_place(partial: Path, out: Path, overwrite: bool = True, keyword: str = "out") -> None:
    """Rename a whole file to the output that it is, and have the system put that on disk.

    Raises SemrsmError as `check_output` does, OSError if it cannot be renamed.
    """
    check_output(out, overwrite, keyword)
    target = _target(out)
    _outputs[out] = partial
    partial.replace(target)
    sync_folder(target.parent)


def outputs_of_process() -> list[Path]:
    """Return the outputs that this process has written, asked at any moment.

    A signal may come just when a file is renamed: it is whole and in its place if the temporary name
    is gone.
    """
    return [out for out, partial in _outputs.items() if not os.path.lexists(partial)]


def forget_outputs() -> None:
    """Forget which outputs were written: another command begins."""
    _outputs.clear()


def write_aside(out: Path, content: bytes, overwrite: bool = True) -> None:
    """Write a whole file at once, as `aside` does."""
    with aside(out, overwrite) as partial, partial.open("xb") as stream:
        stream.write(content)
        sync_file(stream)


def sync_file(stream: IO[bytes] | IO[str]) -> None:
    """Have the system put a file on disk, where the file system can; it is whole to readers either way.

    Raises OSError if it fails to, as on a full disk.
    """
    stream.flush()
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


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
