"""What a shell completes: names of tables, and the layers of the file that the command line names.

`semrsm --install-completion` teaches a shell to ask. Whatever goes wrong, nothing is completed: a
message would stand in the middle of the line that is typed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from semrsm.errors import SemrsmError
from semrsm.in_child import in_child
from semrsm.storage.activations import open_activations
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import is_rsm_file, open_rsm

Completions = list[tuple[str, str]]

LINE = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")
"""Variables in which shells hand over the line, one or the other."""
SECONDS, MEMORY = 5, 1 << 30  # for opening it, in a child process


def complete_layers(incomplete: str) -> Completions:
    """Complete the layers of the first file on the command line that has some.

    The line is read from the environment: the parser knows no argument while a value is missing.
    """
    for word in _words(next(filter(None, map(os.environ.get, LINE)), "")):
        path = address_of(word)[0]
        if path.is_file() and (layers := _layers(path)):
            return _fitting(layers, incomplete)
    return []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation that is not closed yet
        return line.split()


def complete_matchers(incomplete: str) -> Completions:
    """Complete keys of MATCHERS, with which torch is imported."""
    from semrsm.engine.matchers import MATCHERS

    return _fitting(_rows(MATCHERS), incomplete)


def names_of(table: Mapping[str, Any]) -> Callable[[str], Completions]:
    """Return what completes the keys of a table, each with its summary."""

    def complete(incomplete: str) -> Completions:
        return _fitting(_rows(table), incomplete)

    return complete


def _rows(table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return ((name, getattr(row, "summary", str(row))) for name, row in table.items())


def _fitting(names: Iterable[tuple[str, str]], incomplete: str) -> Completions:
    return [(name, summary) for name, summary in names if name.startswith(incomplete)]


def _layers(path: Path) -> Completions:
    """Return the layers of an activation or RSM file; none if it cannot be read."""
    with contextlib.suppress(SemrsmError, OSError):
        return [(name, "") for name in in_child(lambda: _names(path), str(path), SECONDS, MEMORY)]
    return []


def _names(path: Path) -> list[str]:
    if is_rsm_file(path):
        with open_rsm(path) as rsms:
            return rsms.layer_names()
    with open_activations(path) as file:
        return list(file.layers())
