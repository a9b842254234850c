"""Addresses: `path` or `path::layer`, how a file and one array in it are named everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from semrsm.errors import SemrsmError

MARK = "::"


def require_path(value: Any, name: str, otherwise: str) -> None:
    """Raise SemrsmError for what is no path; `otherwise` is what to do.

    >>> require_path([1, 2], "out", "name a file")
    Traceback (most recent call last):
    semrsm.errors.SemrsmError: out must be a path, got one of type list; name a file
    """
    if not isinstance(value, str | os.PathLike):
        kind = type(value).__name__
        raise SemrsmError(f"{name} must be a path, got one of type {kind}; {otherwise}")


def address_of(address: str | Path) -> tuple[Path, str | None]:
    """Split `path::layer` into its parts; the layer is None where there is none.

    Names of folders and files may hold "::" as well: the longest path at which there is a file is
    meant, or else one in the innermost folder that there is.

    >>> address_of("dump.h5::encoder/layer4")
    (PosixPath('dump.h5'), 'encoder/layer4')
    """
    text = str(address)
    ends = [k for k in range(len(text)) if text.startswith(MARK, k)]
    for end in (len(text), *reversed(ends)):
        if os.path.exists(text[:end]) and not os.path.isdir(text[:end]):
            return _parts(text, end)
    if os.path.isdir(text):
        return Path(text), None
    folder = next((k for k in _slashes(text) if os.path.isdir(text[:k])), 0)
    return _parts(text, next((end for end in ends if end > folder), len(text)))


def _slashes(text: str) -> list[int]:
    return [k + 1 for k in reversed(range(len(text))) if text[k] == os.sep]


def _parts(text: str, end: int) -> tuple[Path, str | None]:
    return Path(text[:end]), text[end + len(MARK) :].strip("/") or None
