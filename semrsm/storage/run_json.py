"""run.json: what shapes the tiles of a run, how two of them differ, and what a damaged one lacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

NOTHING = type(None)
DIGEST = "digest"  # the key of the digest of all the rest

# Key -> what it may hold, as FORMAT.md says.
KEYS: Mapping[str, tuple[type, ...]] = {
    "semrsm": (str,),
    "matcher": (str,),
    "permutation": (bool,),
    "diagonal": (str, NOTHING),
    "parameters": (dict,),
    "dtype": (str,),
    "precision": (str,),
    "certify": (bool,),
    "samples": (str, NOTHING),
    "exclude": (str, NOTHING),
    "seed": (int, NOTHING),
    "taken": (dict, NOTHING),
    "column_taken": (dict, NOTHING),
    "layout": (str, NOTHING),
    "bfloat16": (bool,),
    "skip_tokens": (int,),
    "pool": (list, NOTHING),
    "layers": (dict,),
    "sample_ids": (list, NOTHING),
    "column_ids": (list, NOTHING),
    "activations": (dict,),
    "against": (dict, NOTHING),
    "against_layer": (str, NOTHING),
}
LAYER_KEYS: Mapping[str, tuple[type, ...]] = {
    "layout": (str,),
    "n_positions": (int,),
    "n_channels": (int,),
    "n_samples": (int,),
    "n_columns": (int,),
    "storage_mode": (str,),
    "edge": (int,),
}
FILE_KEYS: Mapping[str, tuple[type, ...]] = {"path": (str,), "bytes": (int,), "fingerprint": (str,)}
MOST_TILES = 10_000_000  # of a layer


def problem_of(run: Any) -> str | None:
    """Say in a clause what is wrong with the content of a run.json; None if nothing is.

    >>> problem_of([]), problem_of({"semrsm": 1})
    ('it holds no object', "semrsm is '1', not text")
    """
    if not isinstance(run, dict):
        return "it holds no object"
    if problem := _misfit(run, KEYS, ""):
        return problem
    for key in ("activations", "against"):
        if run[key] is not None and (problem := _misfit(run[key], FILE_KEYS, f"{key}.")):
            return problem
    if not run["layers"]:
        return "it names no layer"
    for name, about in run["layers"].items():
        if problem := _misfit(about, LAYER_KEYS, f"layers.{name}."):
            return problem
        sides = [about[key] for key in ("n_samples", "n_columns", "edge")]
        if min(sides) < 1 or (sides[0] // sides[2] + 1) * (sides[1] // sides[2] + 1) > MOST_TILES:
            return f"layers.{name} has {sides[0]} x {sides[1]} pairs in tiles of {sides[2]}"
    if run.get(DIGEST) != with_digest(run)[DIGEST]:
        return "its digest is missing or another one"
    return None


def with_digest(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of run.json: a run, and a digest of it."""
    return {**run, DIGEST: _digest({key: value for key, value in run.items() if key != DIGEST})}


def _misfit(about: Any, keys: Mapping[str, tuple[type, ...]], where: str) -> str | None:
    if not isinstance(about, dict):
        return f"{where[:-1]} is no object"
    for key, kinds in keys.items():
        value = about.get(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            kind_name = {str: "text", int: "a whole number", bool: "true or false"}.get(kinds[0])
            return f"{where}{key} is '{as_text(value)}', not {kind_name or 'what it must be'}"
    return None


def run_id(run: Mapping[str, Any]) -> str:
    """Return a digest of what shapes the tiles of a run; where its input lies is not part of it."""
    return _digest(comparable(run))


def _digest(value: Mapping[str, Any]) -> str:
    content = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def comparable(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run without what may differ between two machines that work on it."""
    files = ("activations", "against")
    return {key: value for key, value in run.items() if key not in files} | {
        key: {k: v for k, v in run[key].items() if k not in ("path", "modified_ns")}
        for key in files
        if run.get(key)
    }


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what differs between two runs: (name, old value, new value), names joined by dots.

    >>> differing({"matcher": "greedy", "file": {"bytes": 3}}, {"matcher": "greedy", "file": {"bytes": 4}})
    [('file.bytes', 3, 4)]
    """
    flat = [dict(_flat("", comparable(json.loads(json.dumps(run))))) for run in (old, new)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    pairs = [(name, flat[0].get(name), flat[1].get(name)) for name in names]
    return [(name, a, b) for name, a, b in pairs if a != b]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _flat(f"{name}.{key}" if name else key, inner)


def as_text(value: Any) -> str:
    """Return a value as a sentence names it."""
    text = "not given" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
