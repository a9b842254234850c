"""Names: looked up in a table, which answers one that is not there with the nearest; and ordered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from semrsm.errors import SemrsmError

Row = TypeVar("Row")

MANY = 40  # names are all listed up to here
NEAREST = 8  # are listed of more
GLOB_MARKS = "*?["


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
    """Say in one sentence that a name is none of `known`, or a glob matches none, and which there are.

    Capital letters do not count for what is near. Of more than MANY names only the nearest are listed.

    >>> no_such(["cka", "rsa"], "CKA", "measure")
    "there is no measure 'CKA': did you mean 'cka'? There are: cka, rsa"
    >>> no_such(["conv1", "conv2"], "layer*", "module")
    "no module matches 'layer*'. There are: conv1, conv2"
    """
    known = list(known)
    is_glob = any(mark in name for mark in GLOB_MARKS)
    start = f"no {what} matches '{name}'" if is_glob else f"there is no {what} '{name}'"
    near = _nearest(known, name)
    hint = f": did you mean '{near[0]}'?" if near and not is_glob else "."
    if len(known) <= MANY:
        return f"{start}{hint} There are: {', '.join(known) or 'none'}"
    # In the order of the table, which people know it by.
    listed = [one for one in known if one in near] or known[:NEAREST]
    return f"{start}{hint} There are {len(known)}, such as: {', '.join(listed)}, …"


def _nearest(known: list[str], name: str) -> list[str]:
    """Return the names that are most like one, the nearest first; none where none is."""
    by_lower: dict[str, list[str]] = {}
    for one in known:
        by_lower.setdefault(one.lower(), []).append(one)
    near = difflib.get_close_matches(name.lower(), by_lower, n=NEAREST, cutoff=0.5)
    return [one for lower in near for one in by_lower[lower]][:NEAREST]


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
