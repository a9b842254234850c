"""Look a name up in a table; a name that is not there is answered with the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

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
