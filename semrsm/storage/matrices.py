"""Plain matrices from elsewhere: .npy, .npz::name, .csv (with or without labels), .h5::/path."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.activations import open_activations


@dataclass(frozen=True)
class Matrix:
    """A matrix in a file.

    Attributes:
        name: Its name in the file; None where a file holds one matrix without a name.
        shape: (rows, columns).
        samples: The labels of its rows; None where there are none.
        rows: Gives some of its rows, (k, columns) float.
    """

    name: str | None
    shape: tuple[int, int]
    samples: list[str] | None
    rows: Callable[[slice], NDArray[np.floating]]


def read_matrices(path: Path, name: str | None = None) -> list[Matrix]:
    """Return the matrices of a file: all of them, or the one called `name`.

    Rows are read from the file when they are asked for, so a matrix larger than memory is no matter
    (a .csv and a compressed .npz are held whole).

    Raises SemrsmError if the file cannot be read, or holds no matrix of real numbers (of that name).
    """
    if path.suffix.lower() in (".csv", ".tsv"):
        return [_read_csv(path)]
    with open_activations(path) as file:
        found = {
            n: a for n, a in file.arrays.items() if len(a.shape) == 2 and a.dtype.kind in "fiu"
        }
        if name is not None and name not in found:
            raise SemrsmError(f"{path}: {no_such(found, name, 'matrix')}")
        if not found:
            held = ", ".join(f"{n} {a.shape}" for n, a in file.arrays.items()) or "nothing"
            raise SemrsmError(f"{path} holds no matrix of real numbers but {held}; save one")
        names = list(found) if name is None else [name]
    only = len(found) == 1 and file.format == "npy"
    return [_matrix(path, n, found[n].shape, None if only else n) for n in names]


def _matrix(path: Path, array: str, shape: tuple[int, ...], name: str | None) -> Matrix:
    def rows(wanted: slice) -> NDArray[np.floating]:
        # Opened anew for every block: no file stays open, whoever holds the matrix.
        with open_activations(path) as file:
            block = np.asarray(file.arrays[array].rows(wanted))
        return block if block.dtype in (np.float32, np.float64) else block.astype(np.float64)

    return Matrix(name, (shape[0], shape[1]), None, rows)


def _read_csv(path: Path) -> Matrix:
    """Read a table of numbers; a first row and a first column that are no numbers are labels."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SemrsmError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise SemrsmError(
            f"{path} is no text ({error.reason}); save it as comma-separated values"
        ) from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    cells = [
        row
        for row in csv.reader(text.splitlines(), delimiter=delimiter)
        if any(c.strip() for c in row)
    ]
    # With labels on both sides, the corner is empty or any word: a number stands at (1, 1) only.
    header = bool(cells) and not all(_is_number(cell) for cell in cells[0][1:])
    body = cells[1:] if header else cells
    labelled = bool(body) and not all(_is_number(row[0]) for row in body)
    samples = [row[0] for row in body] if labelled else cells[0] if header else None
    try:
        values = np.array([row[labelled:] for row in body], dtype=np.float64)
    except ValueError as error:
        raise SemrsmError(
            f"{path} is no table of numbers ({error}); mend that cell or row"
        ) from error
    if values.ndim != 2 or not values.size:
        raise SemrsmError(
            f"{path} holds no matrix (shape {values.shape}); save rows of equal length"
        )
    if samples is not None and len(samples) != len(values):
        samples = samples[1:] if len(samples) == len(values) + 1 else None
    return Matrix(None, (values.shape[0], values.shape[1]), samples, values.__getitem__)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
