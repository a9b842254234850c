"""What a reader of a format gives of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semrsm.storage.layer import Layer


@dataclass(frozen=True)
class Contents:
    """What an open activation file, or a folder of them, holds.

    Attributes:
        arrays: Every array by name, layers or not, in order.
        close: Closes the file.
        unnamed: It holds one array, which has no name but the file's.
        batches: Arrays of which those in `arrays` are joined, by name: they are read where they are named.
        notes: How it was read where that was a guess, a sentence each.
        files: The files that it consists of; none means the one that was opened.
    """

    arrays: Mapping[str, Layer]
    close: Callable[[], None] = lambda: None
    unnamed: bool = False
    batches: Mapping[str, Layer] | None = None
    notes: Sequence[str] = ()
    files: Sequence[Path] = ()
