"""Tables in long form, as pictures draw them: what a row must hold, and what its parts are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semrsm.errors import SemrsmError

RSM_KINDS: Mapping[str, str] = {
    "identity": "spatio-semantic (identity)",
    "optimal": "semantic (optimal)",
}

Record = Mapping[str, Any]
COMPARED = ("a", "layer_a", "b", "layer_b", "kernel", "measure", "value")
EVALUATED = ("rsm", "layer", "matcher", "kernel", "metric", "value")


def file_name(path: Any) -> str:
    """Return the name of a file without its folder and suffixes.

    >>> file_name("out/resnet.rsm.h5"), file_name("out/v1.5.npy")
    ('resnet', 'v1.5')
    """
    name = Path(str(path or "")).name
    return name.removesuffix(".rsm.h5") if name.endswith(".rsm.h5") else Path(name).stem


def method_title(matcher: object, kernel: object) -> str:
    """Say what an RSM was made by, in a title.

    >>> method_title("optimal", "cosine"), method_title(None, None)
    ('semantic (optimal), cosine kernel', '')
    """
    parts = [matching(str(matcher)) if matcher else "", f"{kernel} kernel" if kernel else ""]
    return ", ".join(filter(None, parts))


def matching(matcher: str) -> str:
    """Return what a matcher is called in a title.

    >>> matching("identity"), matching("greedy")
    ('spatio-semantic (identity)', 'greedy matcher')
    """
    return RSM_KINDS.get(matcher, f"{matcher} matcher")


def common(records: Sequence[Record], *keys: str) -> list[Any]:
    """Return, for each key, the value that all records have there; None where they differ or lack it."""
    per_key = [{record.get(key) for record in records} for key in keys]
    return [next(iter(values)) if len(values) == 1 else None for values in per_key]


def number_of(value: Any) -> float:
    """Return a value of a table; one that could not be computed is NaN."""
    return math.nan if value is None or value == "" else float(value)


def grouped(rows: Sequence[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """Return rows by a key, in their order.

    >>> grouped([1, 2, 3], lambda n: n % 2)
    {1: [1, 3], 0: [2]}
    """
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def check_records(records: Sequence[Record], keys: Sequence[str], what: str) -> None:
    """Raise SemrsmError if a table has no rows, or a row lacks one of the keys."""
    if not records:
        raise SemrsmError(f"a table of {what} is needed, this one is empty; compute it again")
    missing = [key for key in keys if not all(key in record for record in records)]
    if missing:
        raise SemrsmError(
            f"a table of {what} has the columns {', '.join(keys)}, this one lacks"
            f" {', '.join(missing)}; make one with: semrsm compare A B `out='table.csv'`"
        )
