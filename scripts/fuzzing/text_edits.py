"""Structural edits of text files: JSON, CSV, TOML."""

from __future__ import annotations

import copy
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing.mutation import Mutation
from fuzzing.odd_things import NAMES, NOT_FINITE, NUMBERS, TEXTS, pick

Rng = np.random.Generator
VALUES = (None, True, False, [], {}, [[]], *NUMBERS, *NOT_FINITE, *TEXTS, "\ud800")


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += _nodes(value[key])
    return found


def json_content(text: str, rng: Rng) -> tuple[str, str]:
    """Return another text in place of one that is JSON, and what was done."""
    if rng.random() < 0.15:
        raw = pick(
            rng, ("", "null", "3", "[]", "[" * 200_000, '{"a":' * 50_000, text[:-1], text * 2)
        )
        return raw, f"text {raw[:30]!r}"
    value = copy.deepcopy(json.loads(text))
    nodes = _nodes(value)
    if not nodes:
        return "[]", "an empty list"
    holder, key = pick(rng, nodes)
    what = pick(rng, ("value", "value", "value", "remove", "rename", "wrap", "twice"))
    if what == "remove":
        del holder[key]
    elif what == "rename" and isinstance(holder, dict):
        holder[pick(rng, NAMES)] = holder.pop(key)
    elif what == "wrap":
        holder[key] = [holder[key]]
    elif what == "twice":
        again = json.dumps({"again": pick(rng, VALUES[:20])})[1:-1]
        return json.dumps(value)[:-1] + f", {again}" + json.dumps(value)[-1], "a key more"
    else:
        holder[key] = pick(rng, VALUES)
    return _dumped(value), f"{what} of {key!r}, now {str(value)[:30]!r}"


def _dumped(value: Any) -> str:
    """Return JSON with integers of any length in it."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value)
    finally:
        sys.set_int_max_str_digits(limit)


def edit_json(path: Path, rng: Rng) -> Mutation:
    """Change a JSON file."""
    content, text = json_content(path.read_text(), rng)
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    return Mutation(text)


CELLS = (*TEXTS, "nan", "inf", "-inf", "1e400", "9" * 140_000, '"', "a;b", ";", "\x00", "1,5", "½")


def edit_csv(path: Path, rng: Rng) -> Mutation:
    """Change cells, rows, columns, separators or the encoding of a table."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row = pick(rng, rows)
    column = int(rng.integers(len(row)))
    what = pick(rng, ("cell", "cell", "cell", "row", "column", "short", "long", "twice", "raw"))
    encoding = pick(rng, ("utf-8", "utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig"))
    if what == "cell":
        row[column] = pick(rng, CELLS)
    elif what == "row":
        rows.remove(row)
    elif what == "column":
        rows = [[cell for k, cell in enumerate(r) if k != column] for r in rows]
    elif what == "short":
        del row[column:]
    elif what == "long":
        row += ["1"] * int(rng.integers(1, 5000))
    elif what == "twice":
        rows.append(list(row))
    stream = io.StringIO()
    if what == "raw":
        stream.write(
            pick(rng, ("", "\n" * 50, ",,,\n" * 9, '"', "a\rb\rc", "\t" * 900, rows[0][0]))
        )
    else:
        delimiter = pick(rng, (",", ",", ",", "\t", ";"))
        quoting = pick(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        end = pick(rng, ("\n", "\n", "\r\n", "\r"))
        csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    path.write_bytes(stream.getvalue().encode(encoding, "surrogatepass"))
    return Mutation(f"{what} at {column} in {encoding}: {str(row)[:40]}")


TOML_VALUES = (
    *("true", "-1", "0", "1e400", "nan", "-inf", "3.5", "1979-05-27", "07:32:00", "[]", "{}"),
    *('"optimal"', '"*"', '["a", 3]', "[[[[1]]]]", "{a = {b = 1}}", '"""\nlines\n"""', '"\\u0000"'),
    *("9" * 30, "9" * 5000, "[" * 50_000, "[" * 900 + "]" * 900, '"' + "x" * 99_999 + '"'),
    *(
        '"\\u001b[31m"',
        "0x" + "f" * 99,
        '"1/2"',
        '"local:1"',
        '"all"',
        '"²x2"',
        '"0:99999999999999"',
    ),
)


def edit_toml(path: Path, rng: Rng) -> Mutation:
    """Change a line of a TOML file."""
    lines = path.read_text().splitlines()
    k = int(rng.integers(len(lines)))
    key = lines[k].partition("=")[0]
    value = pick(rng, TOML_VALUES)
    odd = pick(rng, NAMES).replace("\n", "\\n").replace("\x1b", "\\u001b").replace("\r", "")
    lines[k] = pick(
        rng,
        (
            *(f"{key} = {value}",) * 4,
            lines[k] + "\n" + lines[k],
            f'"{odd}" = 1',
            f"[{key}]\na = 1",
            f"[[{key}]]",
            ".".join(["a"] * 5000) + " = 1",
            f"{key} = {value} # \x07",
            "]]",
        ),
    )
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return Mutation(f"line {k}: {lines[k][:50]!r}")
