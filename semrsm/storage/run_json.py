"""What a run is, as run.json holds it: sealed with a digest, and compared with another run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

SEAL = "digest"  # the key of the digest of all the rest


def text_of(run: Mapping[str, Any]) -> str:
    """Return the text of run.json: a run and its digest."""
    return json.dumps({**run, SEAL: _digest(run)}, indent=1)


def run_of(text: str) -> dict[str, Any]:
    """Return the run that run.json holds.

    Raises ValueError if the text is no JSON, or not what `text_of` made; RecursionError if it is
    nested without end.

    >>> run_of(text_of({"matcher": "greedy"}))
    {'matcher': 'greedy'}
    """
    run = json.loads(text)
    if not isinstance(run, dict) or run.pop(SEAL, None) != _digest(run):
        raise ValueError("its digest is missing or another one")
    return run


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
