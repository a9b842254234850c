"""What a terminal, a pipe and a log see: tables, TSV or JSON on stdout; talk on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from semrsm.errors import SemrsmError

LONGEST_SENTENCE, LEFT_OUT = 2000, " [..] "  # characters, and what stands for those cut out


def printable(text: str) -> str:
    r"""Return a text with everything escaped that is no visible character of its line.

    Those are line ends, tabs, the escapes that command a terminal, marks that turn the direction of
    writing, and bytes that are not UTF-8.

    >>> printable("conv\n\x1b[2J"), printable("größe µ")
    ('conv\\n\\x1b[2J', 'größe µ')
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def sentence(text: str) -> str:
    """Return a text as one line that is not too long: the middle is left out where it is.

    >>> len(sentence("a" * 10_000)), sentence("two\\nlines")
    (2000, 'two\\\\nlines')
    """
    line = printable(text)
    if len(line) <= LONGEST_SENTENCE:
        return line
    half = (LONGEST_SENTENCE - len(LEFT_OUT)) // 2
    return f"{line[:half]}{LEFT_OUT}{line[-half:]}"


KEYWORD = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")
FLAGS = {"out": "-o", "path": "-o"}  # of keywords that are not spelled as their flags


def with_flags(text: str) -> str:
    """Return a sentence with the flags of this command line in place of Python's keyword arguments.

    Code that is called from Python, too, names an option in backticks, as a caller writes it there.

    >>> with_flags("leave it out with `exclude='3'`, `overwrite=True` or another `skip_tokens`")
    'leave it out with --exclude 3, --overwrite or another --skip-tokens'
    """
    return KEYWORD.sub(_flag, text)


def _flag(match: re.Match[str]) -> str:
    name, value = match[1], (match[2] or "").strip("'\"")
    flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
    return flag if value in ("", "True") else f"{flag} {value}"


def say(text: str) -> None:
    """Tell a person something in a line on stderr, without markup; nobody listens where it is closed."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # the terminal may be gone, or the disk of the log full
            # In one piece: a signal between a line and its end would have its own message join the line.
            sys.stderr.write(f"{sentence(with_flags(text))}\n")
            sys.stderr.flush()


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    """Print to stdout; raise SemrsmError where it cannot be written to."""
    if sys.stdout is None:
        raise SemrsmError("the result cannot be printed, as stdout is closed; send it somewhere")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough
        raise
    except OSError as error:
        drop_stdout()
        raise SemrsmError(
            f"the result cannot be printed ({error.strerror or error}); send stdout elsewhere"
        ) from error


def flush() -> None:
    """Print what waits to be printed; raise SemrsmError where stdout cannot be written to."""
    if sys.stdout is not None:
        with _printing():
            pass


def drop_stdout() -> None:
    """Let stdout lead nowhere: Python would complain once more about it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Print plain JSON on stdout; a number that is not finite is an error, never a bare NaN."""
    with _printing():
        sys.stdout.write(
            f"{json.dumps(_in_command_line_terms(value), indent=2, allow_nan=False)}\n"
        )


def _in_command_line_terms(value: Any) -> Any:
    """Return a value with flags in the sentences that it holds; a name, which has no space, stays."""
    if isinstance(value, str):
        return with_flags(value) if " " in value else value
    if isinstance(value, dict):
        return {key: _in_command_line_terms(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_in_command_line_terms(part) for part in value]
    return value


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None
) -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated with a header line elsewhere.

    Raises SemrsmError if stdout cannot be written to.
    """
    with _printing():
        _print_table(columns, rows, title)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None) -> None:
    if not sys.stdout.isatty():
        # In one piece: whoever reads it must not take half a table for all of it when a signal comes.
        lines = ["\t".join(_plain(cell) for cell in row) for row in (columns, *rows)]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    console = Console()
    shared, columns, rows = _without_shared(columns, rows)
    table = _drawn(columns, rows, title)
    if shared:
        say(shared)
    if _width(console, table) <= console.width:
        console.print(table, markup=False)
        return
    # Too wide for this terminal: the columns become rows, as many samples beside each other as fit.
    while rows:
        fit = len(rows)
        while fit > 1 and _width(console, _turned(columns, rows[:fit], title)) > console.width:
            fit -= 1
        console.print(_turned(columns, rows[:fit], title), markup=False)
        rows = rows[fit:]


def _without_shared(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[str, list[str], list[list[Any]]]:
    """Return what all of several rows share, in words, and the table without it."""
    same = [len(rows) > 1 and len({str(row[k]) for row in rows}) == 1 for k in range(len(columns))]
    if not rows or all(same):
        return "", list(columns), [list(row) for row in rows]
    facts = [
        f"{name} {_for_people(rows[0][k])}"
        for k, name in enumerate(columns)
        if same[k] and rows[0][k] is not None
    ]
    kept = [k for k in range(len(columns)) if not same[k]]
    return ", ".join(facts), [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None) -> Table:
    # Text holds no markup: a name like "[red]" is shown as it is.
    table = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        table.add_column(
            Text(printable(column)), justify="right" if numbers else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_for_people(cell)) for cell in row))
    return table


def _turned(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None) -> Table:
    first = [printable(columns[0]), *(_for_people(row[0]) for row in rows)]
    table = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for name in first:
        table.add_column(Text(name), overflow="fold")
    for k, column in enumerate(columns[1:], start=1):
        table.add_row(Text(printable(column)), *(Text(_for_people(row[k])) for row in rows))
    return table


def _width(console: Console, table: Table) -> int:
    """Return how many columns of a terminal a table takes when nothing in it is folded."""
    boundless = console.options.update(max_width=100_000)
    return Measurement.get(console, boundless, table).maximum


def _plain(cell: Any) -> str:
    """Return a cell for machines: every digit that counts."""
    if isinstance(cell, float):
        return f"{cell:.10g}"
    return "" if cell is None else printable(str(_in_command_line_terms(cell)))


def _for_people(cell: Any) -> str:
    """Return a cell for people."""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return "-" if cell is None else printable(str(_in_command_line_terms(cell)))


def bytes_for_people(n: int) -> str:
    """Return a size with its unit.

    >>> bytes_for_people(3 * 2**30)
    '3.0 GiB'
    """
    size = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def seconds_for_people(seconds: float) -> str:
    """Return a duration as a person would say it.

    >>> seconds_for_people(0.25), seconds_for_people(75), seconds_for_people(9000)
    ('0.25 s', '1 min 15 s', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
