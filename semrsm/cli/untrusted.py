"""Files from somebody else: read in a child process first, so that what harms a reader harms the child."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from semrsm.in_child import in_child
from semrsm.machine import default_memory
from semrsm.storage.address import address_of
from semrsm.storage.whole_read import read_whole

SECONDS = 30  # of computing, for opening a file
BYTES_A_SECOND = 10_000_000  # that are read at least, unpacked or not
FILES_A_SECOND = 100  # that are opened at least
MEMORY = 2 << 30  # bytes, for opening a file

Untrusted = Annotated[
    bool,
    typer.Option(
        "--untrusted",
        help="Read every file whole in a process of its own first, with limits of memory and time.",
    ),
]


def read_first(first: bool, *addresses: str | Path | None) -> None:
    """Read files whole in a child process, if `first` is true.

    Raises SemrsmError for the first that cannot be read, or that a child does not survive.
    """
    paths = dict.fromkeys(address_of(address)[0] for address in addresses if address is not None)
    for path in paths if first else ():
        work = functools.partial(read_whole, path)
        in_child(work, str(path), seconds_for(path), default_memory())


def seconds_for(path: Path) -> int:
    """Return how long a file may be computed on that is read whole."""
    files = [path] if path.is_file() else [*path.rglob("*")]
    size = sum(file.stat().st_size for file in files if file.is_file())
    return SECONDS + size // BYTES_A_SECOND + len(files) // FILES_A_SECOND
