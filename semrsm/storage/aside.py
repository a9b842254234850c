"""Writing a whole file at once: aside, synced, then renamed, so that no reader sees half of it."""

from __future__ import annotations

import os
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.storage.rsm_writer import check_output


def write_aside(out: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, sync it and rename it.

    A file that was there before is replaced only when the new one is complete.

    Args:
        out: Where to.
        content: All of it.

    Raises:
        SemrsmError: `out` is a folder, its folder is missing or not writable, or the disk is full.
    """
    check_output(out, overwrite=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    except OSError as error:
        raise SemrsmError(
            f"{out} cannot be written ({error.strerror}); free space or choose another -o"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
