"""Writing aside, then renaming: no reader sees half a file, an older one stays until the new is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from semrsm.errors import SemrsmError


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
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        yield partial
        check_output(out, overwrite)
        partial.replace(out)
        _sync_folder(out.parent)
    except OSError as error:
        raise SemrsmError(
            f"{out} cannot be written ({error.strerror or error}); free space or choose another -o"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def write_aside(out: Path, content: bytes, overwrite: bool = True) -> None:
    """Write a whole file at once, as `aside` does."""
    with aside(out, overwrite) as partial, partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the system put the entries of a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
