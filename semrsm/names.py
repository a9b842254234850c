"""Names: looked up in a table, which answers one that is not there with the nearest; and ordered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from semrsm.errors import SemrsmError

Row = TypeVar("Row")


def look_up(table: Mapping[str, Row], name: str, what: str) -> Row:
    """Return `table[name]`; `what` is the kind of thing for the error, such as "kernel".

    Raises SemrsmError if the name is not in the table.

    >>> look_up({"linear": 1, "cosine": 2}, "cosin", "kernel")
    Traceback (most recent call last):
        ...
    semrsm.errors.SemrsmError: there is no kernel 'cosin': did you mean 'cosine'? There are: linear, cosine
    """
    if name in table:
        return table[name]
    raise SemrsmError(no_such(table, name, what))


def no_such(known: Iterable[str], name: str, what: str) -> str:
    """Say in one sentence that `name` is not among `known`, which is nearest and which there are."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f": did you mean '{nearest[0]}'?" if nearest else "."
    return f"there is no {what} '{name}'{hint} There are: {', '.join(known) or 'none'}"


def natural_key(name: str) -> tuple[Any, ...]:
    """Return what names with numbers are sorted by, part by part: block2/x before block10/x.

    >>> sorted(["block10", "block2/mlp", "block2", "block1"], key=natural_key)
    ['block1', 'block2', 'block2/mlp', 'block10']
    """
    return tuple((_pieces(part), part) for part in name.split("/"))


def _pieces(part: str) -> tuple[Any, ...]:
    """Return texts and numbers, in turn; a number of any length stays a text of its digits."""
    pieces = re.split(r"([0-9]+)", part)
    digits = [piece.lstrip("0") for piece in pieces]
    return tuple((len(digits[k]), digits[k]) if k % 2 else piece for k, piece in enumerate(pieces))
