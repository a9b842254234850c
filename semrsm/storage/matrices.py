"""Plain matrices from elsewhere: .npy, .npz::name, .csv (with or without labels), .h5::/path."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.damage import WrittenError, remedy_of
from semrsm.storage.input_files import Stamp, read_text, refuse_written, stamp_of
from semrsm.storage.sample_ids import ID_NAMES, read_sample_ids


@dataclass(frozen=True)
class Matrix:
    """A matrix in a file.

    Attributes:
        name: Its name in the file; None where a file holds one matrix without a name.
        shape: (rows, columns).
        samples: The labels of its rows, or of its columns where only they have any; None without.
        rows: Gives some of its rows, (k, columns) float.
        has_row_labels: The labels in `samples` stand beside its rows.
        n_named: How many samples the file names, if they are those of rows and columns alike.
    """

    name: str | None
    shape: tuple[int, int]
    samples: list[str] | None
    rows: Callable[[slice], NDArray[np.floating]]
    has_row_labels: bool = False
    n_named: int | None = None


def read_matrices(path: Path, name: str | None = None) -> list[Matrix]:
    """Return the matrices of a file: all of them, the one called `name`, or those that it globs.

    Rows are read from the file when they are asked for, so a matrix larger than memory is no matter
    (a .csv and a compressed .npz are held whole).

    Raises SemrsmError if the file cannot be read, or holds no matrix of real numbers (of that name).
    """
    if is_text_table(path):
        if name is not None:
            raise SemrsmError(f"{path} is a text table and holds no '{name}'; leave ::{name} out")
        return [_matrix_of_table(path, read_cells(path))]
    with open_activations(path) as file:
        stamp = stamp_of(path)
        matrices = {
            n: a
            for n, a in file.arrays.items()
            if len(a.shape) == 2 and 0 not in a.shape and a.dtype.kind in "fiu" and not a.bfloat16
        }
        names = list(matrices)
        if name is not None:
            names = [name] if name in matrices else fnmatch.filter(matrices, name)
        if not names and matrices:
            raise SemrsmError(f"{path}: {no_such(matrices, str(name), 'matrix')}")
        if not matrices:
            content = ", ".join(f"{n} {a.shape}" for n, a in file.arrays.items()) or "nothing"
            raise SemrsmError(f"{path} holds no matrix of real numbers but {content}; save one")
        only = file.contents.unnamed
        named = _n_named(file)
        ids = {n: read_sample_ids(file, n) for n in {named} if n is not None}
    return [
        _matrix(
            path,
            stamp,
            n,
            matrices[n].shape,
            None if only else n,
            named,
            ids.get(matrices[n].shape[0]),
        )
        for n in names
    ]


def refuse_activations(path: Path, name: str | None) -> None:
    """Raise SemrsmError for a file of activations, unless a square matrix in it is named."""
    with open_activations(path) as file:
        maps = [a for a in file.arrays.values() if a.problem() is None and len(a.shape) > 2]
        named = file.arrays.get(name or "")
        square = named is not None and len(named.shape) == 2 and len(set(named.shape)) == 1
    if maps and not square:
        first = f"{maps[0].name} of shape {maps[0].shape}"
        raise SemrsmError(
            f"{path} holds activations ({first}), not RSMs; make them with: semrsm compute {path}"
            " `out='OUT.rsm.h5'`"
        )


def _n_named(file: ActivationFile) -> int | None:
    """Return how many ids of samples a file holds."""
    arrays = [file.arrays[name] for name in ID_NAMES if name in file.arrays]
    return next((a.shape[0] for a in arrays if len(a.shape) == 1 and a.dtype.kind in "OSUiu"), None)


def _matrix(
    path: Path,
    stamp: Stamp,
    array: str,
    shape: tuple[int, ...],
    name: str | None,
    named: int | None,
    ids: list[str] | None,
) -> Matrix:
    def rows(span: slice) -> NDArray[np.floating]:
        # Opened anew for every block: no file stays open, whoever holds the matrix.
        with open_activations(path) as file:
            try:
                refuse_written([(path, stamp)])
                block = np.asarray(file.arrays[array].take(span))
            except WrittenError as error:
                raise SemrsmError(f"{path}::{array}: {error}; {remedy_of(error)}") from error
            except SemrsmError as error:
                raise error.within(f"{path}::{array}") from error
        return block if block.dtype in (np.float32, np.float64) else block.astype(np.float64)

    return Matrix(name, (shape[0], shape[1]), ids, rows, n_named=named)


def is_text_table(path: Path) -> bool:
    """Say whether a file is a text table by its name.

    >>> is_text_table(Path("labels.CSV"))
    True
    """
    return path.suffix.lower() in (".csv", ".tsv")


def read_cells(path: Path) -> list[list[str]]:
    """Return the cells of a text table, a list for each line; a blank line is an empty list.

    They are separated by tabs where the first line holds one, else by commas.

    Raises SemrsmError if the file cannot be read or is no text.
    """
    try:
        text = read_text(path)
        delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except OSError as error:
        raise SemrsmError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SemrsmError(f"{path} is no text table ({error}); save it as such") from error


def _matrix_of_table(path: Path, lines: list[list[str]]) -> Matrix:
    """Read a table of numbers; a first row and a first column that are no numbers are labels.

    Numbers are labels too in a column below an empty cell or a word in ID_NAMES, in the row that
    begins with it, and whole numbers in a first column that is one too many for a square.
    """
    cells = [row for row in lines if any(cell.strip() for cell in row)]
    header = cells[0] if cells and _is_header(cells[0]) else None
    body = cells[1:] if header else cells
    labelled = bool(body) and _has_labels(body, header)
    samples = [row[0] for row in body] if labelled else header
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
    shape = values.shape[0], values.shape[1]
    named = None if samples is None else len(samples)
    if header and labelled and not set(samples or ()) <= set(header):
        named = None  # rows and columns are not the same samples
    elif header:
        named = shape[1]
    if samples is not None and len(samples) != len(values):
        samples = None
    return Matrix(None, shape, samples, values.__getitem__, labelled, named)


def _is_header(row: list[str]) -> bool:
    return _is_corner(row[0]) or not all(_is_number(cell) for cell in row[1:])


def _has_labels(body: list[list[str]], header: list[str] | None) -> bool:
    if header and _is_corner(header[0]):
        return True
    if header and all(len(row) == len(body) + 1 and _is_whole(row[0]) for row in body):
        return True
    return not all(_is_number(row[0]) for row in body)


def _is_corner(cell: str) -> bool:
    return cell.strip().lower() in ("", *ID_NAMES)


def _is_whole(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdigit()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
