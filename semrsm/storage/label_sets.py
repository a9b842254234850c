"""The labels that arrays and text tables hold for each sample, as sets of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.matrices import read_cells
from semrsm.storage.sample_ids import ID_NAMES

LABEL_HEADERS = ("label", "labels", "class", "classes", "view", "views")
SEPARATOR = ";"  # between the labels in one cell of a text table


def sets_of_array(values: NDArray[Any]) -> list[frozenset[str]]:
    """Return the labels of each sample of an array (n,), (n, 1) or, multi-hot, (n, classes).

    Raises SemrsmError if there is a value that is no label.

    >>> sets_of_array(np.array([[1, 0], [0, 0]]))
    [frozenset({'0'}), frozenset()]
    """
    if values.ndim == 2 and values.shape[1] > 1:
        return _sets_of_multi_hot(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        sample = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
        raise SemrsmError(f"the label of sample {sample} is not finite; give every sample one")
    return [frozenset((_text(value),)) for value in values.ravel().tolist()]


def _sets_of_multi_hot(values: NDArray[Any]) -> list[frozenset[str]]:
    if values.dtype.kind not in "biuf":
        raise SemrsmError(
            f"multi-hot labels must be 0 or 1, these are {values.dtype}; save numbers"
        )
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        sample, column = np.argwhere(wrong)[0]
        raise SemrsmError(
            f"multi-hot labels must be 0 or 1, sample {sample} has {values[sample, column]};"
            " save one label for each sample as (n,)"
        )
    return [frozenset(str(column) for column in np.flatnonzero(row)) for row in values]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise SemrsmError(f"the label {value!r} is no UTF-8 text; save it as such") from error
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def sets_of_table(path: Path) -> tuple[list[frozenset[str]], list[str] | None]:
    """Return the labels in each row of a text table, and the ids in its first column if it has them."""
    rows = [[cell.strip() for cell in row] for row in read_cells(path)]
    while rows and not rows[-1]:
        rows.pop()
    first = rows[0][0].lower() if rows and rows[0] else ""
    wide = bool(rows) and len(rows[0]) > 1
    headed = first in ID_NAMES or (first == "" and wide)  # so pandas heads its index
    header = rows.pop(0) if headed or first in LABEL_HEADERS else None
    with_ids = headed or (header is None and _begin_with_ids(rows))
    samples = [row[0] if row else "" for row in rows] if with_ids else None
    cells = [row[with_ids:] for row in rows]
    if _is_multi_hot(cells):
        names = header[with_ids:] if header else [str(column) for column in range(len(cells[0]))]
        return [_named(row, names) for row in cells], samples
    return [_split(row) for row in cells], samples


def _begin_with_ids(rows: list[list[str]]) -> bool:
    """Say whether the first cells name every row otherwise, and nothing that the other cells hold.

    Rows of numbers alone are labels.
    """
    if len(rows) < 2 or any(len(row) < 2 or not row[0] for row in rows):
        return False
    first = {row[0] for row in rows}
    others = {label for row in rows for label in _split(row[1:])}
    numbers = all(label.lstrip("+-").isdigit() for label in first | others)
    return len(first) == len(rows) and not first & others and not numbers


def _is_multi_hot(cells: list[list[str]]) -> bool:
    widths = {len(row) for row in cells}
    return len(widths) == 1 and min(widths) > 1 and all(c in ("0", "1") for r in cells for c in r)


def _named(row: list[str], names: list[str]) -> frozenset[str]:
    return frozenset(name for name, cell in zip(names, row, strict=True) if cell == "1")


def _split(row: list[str]) -> frozenset[str]:
    labels = (label.strip() for cell in row for label in cell.split(SEPARATOR))
    return frozenset(label for label in labels if label)
