"""What is known of the samples besides their activations: ids, labels, views, logits.

Arrays come from files of the formats in FORMATS and are never unpickled; text tables are .csv or .tsv.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.sample_numbers import Taken
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.address import address_of
from semrsm.storage.input_files import refuse_more_than_memory
from semrsm.storage.label_sets import LABEL_HEADERS, sets_of_array, sets_of_table
from semrsm.storage.layer import Layer
from semrsm.storage.matrices import Matrix, is_text_table, read_matrices
from semrsm.storage.rsm_file import is_rsm_file
from semrsm.storage.sample_ids import ID_NAMES, near_miss_of_header, read_sample_ids, whole


@dataclass(frozen=True)
class Labels:
    """The labels of each sample: one, several or none.

    Attributes:
        address: Where they come from.
        sets: For each sample the labels as texts; whole numbers without a decimal point.
        samples: Ids of the samples; None where the file holds none.
    """

    address: str
    sets: tuple[frozenset[str], ...]
    samples: list[str] | None

    def __len__(self) -> int:
        return len(self.sets)


@dataclass(frozen=True)
class Scores:
    """The logits or probabilities of each sample.

    Attributes:
        address: Where they come from.
        values: (n, classes) float64, as stored.
        samples: Ids of the samples; None where the file holds none.
    """

    address: str
    values: NDArray[np.float64]
    samples: list[str] | None

    def __len__(self) -> int:
        return len(self.values)


AddressOrArray = (
    str | Path | NDArray[Any] | Sequence[Any]
)  # an address, or what stands there, in memory


def read_labels(
    address: AddressOrArray, what: str = "labels", *, by_position: bool = False
) -> Labels:
    """Read the labels of samples; those in memory, (n,) or multi-hot (n, classes), as well.

    An array (n,) of whole numbers, texts or floats holds one label for each sample. An array (n, classes)
    of 0 and 1 is multi-hot; its labels are the column numbers. A text table has one row for each sample:
    labels are separated by ";" or stand in further columns, an empty cell holds none. Its first line
    is a header if its first cell is empty or in ID_NAMES, and then the first column holds sample ids, or
    in LABEL_HEADERS. Without a header, a first column that names every row otherwise, and nothing that
    stands in further columns, holds ids too. A table of two or more label columns that hold nothing but
    0 and 1 is multi-hot; its labels are the header's words, or the column numbers.

    Args:
        address: `path` or `path::array`; the array may be left out where there is one. Or the labels, a
            row a sample.
        what: The array's name where none is given and there are several.
        by_position: Row i is of sample i: leave out the ids.

    Raises:
        SemrsmError: The file or array is missing or damaged, or holds no labels.

    Example: labels.csv with the lines "sample,labels", "a.png,cat;dog", "b.png,".
        >>> read_labels("labels.csv").sets  # doctest: +SKIP
        (frozenset({'cat', 'dog'}), frozenset())
    """
    if not isinstance(address, str | os.PathLike):
        return _labels_in_memory(np.asarray(address), f"the {what} in memory")
    path, name = address_of(address)
    if is_text_table(path):
        _refuse_name(path, name)
        sets, samples = sets_of_table(path)
    else:
        values, samples = _read_array(path, name, what)
        try:
            sets = sets_of_array(values)
        except SemrsmError as error:
            raise error.within(address) from error
    if not sets:
        raise SemrsmError(f"{address} holds no labels; save one row for each sample")
    return Labels(str(address), tuple(sets), None if by_position else samples)


def _labels_in_memory(values: NDArray[Any], name: str) -> Labels:
    if values.ndim not in (1, 2) or 0 in values.shape or values.dtype.kind not in "biufSUO":
        raise SemrsmError(
            f"{name} have type {values.dtype} and shape {values.shape}; give one for each sample, (n,), as"
            " numbers or texts, or multi-hot (n, classes)"
        )
    try:
        return Labels(name, tuple(sets_of_array(values)), None)
    except SemrsmError as error:
        raise error.within(name) from error


def read_views(address: AddressOrArray, *, by_position: bool = False) -> Labels:
    """Read of which thing each sample is a view, from what `read_labels` reads: one label for each sample.

    Raises SemrsmError as `read_labels` does, and if a sample has no label or several.
    """
    views = read_labels(address, "views", by_position=by_position)
    for sample, labels in enumerate(views.sets):
        if len(labels) != 1:
            raise SemrsmError(
                f"{views.address}: sample {sample} has {len(labels)} ids of a thing; give each sample one"
            )
    return views


def views_beside(address: AddressOrArray) -> str | None:
    """Return the address of the array `views` in the file of some labels; None where it holds none.

    Raises SemrsmError if the file is missing or damaged.
    """
    if not isinstance(address, str | os.PathLike):
        return None
    path, _ = address_of(address)
    if is_text_table(path):
        return None
    with open_activations(path) as file:
        return f"{path}::views" if "views" in file.arrays else None


def read_scores(address: AddressOrArray, *, by_position: bool = False) -> Scores:
    """Read logits or probabilities, (n, classes), from an array or a text table of numbers, or memory.

    `by_position` says that row i is of sample i, and leaves out the ids.

    Raises SemrsmError if the file or array is missing, or is no matrix of two or more columns.
    """
    if not isinstance(address, str | os.PathLike):
        return _scores_in_memory(np.asarray(address))
    path, name = address_of(address)
    _refuse_rsm_file(path, "logits or probabilities")
    matrices = read_matrices(path, name)
    if len(matrices) > 1:
        names = ", ".join(str(matrix.name) for matrix in matrices)
        raise SemrsmError(f"{path} holds several matrices: {names}; name one: {path}::NAME")
    [matrix] = matrices
    if matrix.shape[1] < 2:
        raise SemrsmError(f"{address} has one column; give (n, classes) with two classes or more")
    refuse_more_than_memory(
        str(address), 16 * math.prod(matrix.shape), "save fewer columns or rows"
    )
    ids = None if by_position else _ids_beside(path, matrix)
    return Scores(str(address), np.asarray(matrix.rows(slice(None)), np.float64), ids)


def _scores_in_memory(values: NDArray[Any]) -> Scores:
    name = "the logits or probabilities in memory"
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiu":
        raise SemrsmError(
            f"{name} have type {values.dtype} and shape {values.shape}; give numbers (n, classes) of two"
            " classes or more"
        )
    return Scores(name, values.astype(np.float64), None)


def rows_of(
    table: Labels | Scores,
    n: int,
    samples: Sequence[str] | None,
    whose: str,
    taken: Taken | None = None,
) -> NDArray[np.intp]:
    """Return which row of a file belongs to each of the n samples of an RSM.

    Where both have sample ids, rows are found by them: the file may hold more samples, in another
    order. A file with ids is of no use for an RSM without any, unless they merely count the rows, as
    pandas writes them. A file without ids has a row for each sample of the RSM, or of the activation
    file that the RSM took samples from.

    Args:
        found: What was read.
        n: How many samples.
        samples: Their ids; None where the RSM has none.
        whose: The RSM's address, for errors.
        taken: Which samples of its activation file they are, where that is known.

    Raises:
        SemrsmError: Only the file has ids; those of the file repeat or lack one of the RSM; or the
            lengths differ.

    >>> rows_of(Labels("l.csv", (frozenset("x"), frozenset("y")), ["b", "a"]), 1, ["a"], "r.h5")
    array([1])
    """
    ids = None if _merely_count(table.samples, samples) else table.samples
    if samples is not None and ids is not None:
        return _rows_by_id(table.address, ids, samples, whose)
    if ids is not None:
        raise SemrsmError(
            f"{table.address} has ids of its samples, such as '{ids[0]}', and {whose} has none,"
            " so that it is not known which row belongs to which sample; save ids beside the activations,"
            f" (n,) under the name {ID_NAMES[0]}, and compute again, or say `by_position=True` if row i is of"
            " sample i"
        )
    if len(table) == n:
        return np.arange(n)
    if taken is not None and taken.of == len(table):
        return np.array(taken.numbers, dtype=np.intp)
    of = f" of {taken.of}" if taken is not None and taken.of not in (None, n) else ""
    raise SemrsmError(
        f"{table.address} has {len(table)} rows and {whose} has {n}{of} samples;"
        f" give one row for each sample{_hint(table, n)}"
    )


def _merely_count(ids: Sequence[str] | None, samples: Sequence[str] | None) -> bool:
    """Say whether ids are 0, 1, 2, ... in order, and no ids of the samples."""
    if ids is None or any(entry != str(row) for row, entry in enumerate(ids)):
        return False
    return set(ids).isdisjoint(samples or ())


def _hint(table: Labels | Scores, n: int) -> str:
    """Return what may be wrong with a table that has a row too many: its header is not known as one."""
    if len(table) != n + 1 or not is_text_table(Path(table.address)):
        return ""
    words = table.sets[0] if isinstance(table, Labels) else ()
    near = next(filter(None, map(near_miss_of_header, words)), "")
    return near or " or begin its header with: " + ", ".join((*ID_NAMES, *LABEL_HEADERS))


def _rows_by_id(
    address: str, ids: Sequence[str], samples: Sequence[str], whose: str
) -> NDArray[np.intp]:
    if list(ids) == list(samples):
        return np.arange(len(ids))
    row_of = {sample: row for row, sample in enumerate(ids)}
    if len(row_of) < len(ids):
        twice = next(sample for row, sample in enumerate(ids) if row_of[sample] != row)
        raise SemrsmError(f"{address} has the sample '{twice}' twice; give each sample one row")
    for sample in samples:
        if sample not in row_of:
            raise SemrsmError(
                f"{address} lacks the sample '{sample}' of {whose}; add its row or check the ids"
            )
    return np.array([row_of[sample] for sample in samples], dtype=np.intp)


def _refuse_rsm_file(path: Path, what: str) -> None:
    if is_rsm_file(path):
        raise SemrsmError(f"{path} is an RSM file and holds no {what}; name the file that does")


def _refuse_name(path: Path, name: str | None) -> None:
    if name is not None:
        raise SemrsmError(f"{path} is a text table and holds no array '{name}'; leave ::{name} out")


def _ids_beside(path: Path, matrix: Matrix) -> list[str] | None:
    """Return the ids of a matrix of scores; the header of a text table names classes, not samples."""
    if is_text_table(path):
        return matrix.samples if matrix.has_row_labels else None
    with open_activations(path) as file:
        return read_sample_ids(file, matrix.shape[0])


def _read_array(path: Path, name: str | None, what: str) -> tuple[NDArray[Any], list[str] | None]:
    """Return an array of labels, whole, and the sample ids in the same file."""
    _refuse_rsm_file(path, what)
    with open_activations(path) as file:
        array = array_named(file, name, what)
        address = f"{path}::{array.name}"
        if array.pickled:
            raise SemrsmError(
                f"{address} holds Python objects, which are not unpickled; save texts or numbers"
            )
        if array.dtype.kind not in "biufSUO" or not 1 <= len(array.shape) <= 2:
            raise SemrsmError(
                f"{address} has type {array.dtype} and shape {array.shape}; save labels (n,) as"
                " numbers or texts, or multi-hot (n, classes)"
            )
        values = whole(file, array)
        return values, read_sample_ids(file, len(values)) if array.name not in ID_NAMES else None


def array_named(file: ActivationFile, name: str | None, what: str) -> Layer:
    """Return the array that is named; without a name the one called `what`, or the only one.

    Raises SemrsmError if there is none.
    """
    if name is None and len(file.arrays) == 1:
        return next(iter(file.arrays.values()))
    if (name or what) not in file.arrays:
        hint = "" if name else f"; name the array: {file.path}::NAME"
        raise SemrsmError(f"{file.path}: {no_such(file.arrays, name or what, 'array')}{hint}")
    return file.arrays[name or what]
