"""Ids of samples: under which names they are found beside arrays and in tables, and lists of samples."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.address import address_of
from semrsm.storage.formats import SUFFIXES
from semrsm.storage.input_files import read_text, refuse_more_than_memory
from semrsm.storage.layer import Layer

# What arrays of ids, and columns of ids in text tables, are called; of several the first counts.
ID_NAMES = ("samples", "sample_ids", "sample", "sample_id", "id", "image")
# What is not taken for ids, but may be meant for them.
NEAR_NAMES = (
    *("ids", "name", "names", "file", "files", "filename", "filenames", "file_name", "file_names"),
    *(
        "path",
        "paths",
        "image_id",
        "image_ids",
        "image_name",
        "image_names",
        "images",
        "key",
        "keys",
    ),
    *("index", "stimulus", "stimuli", "uid", "uids"),
)
NUMBER = re.compile(r"[0-9]{1,18}")  # of a sample, as a text
LONGEST_TEXT = 1 << 16  # bytes; a few compressed ones of a file may be as large as memory
TEXT_BYTES = 500  # that an id or a label takes in memory, about


def read_sample_ids(file: ActivationFile, n: int) -> list[str] | None:
    """Return the ids of n samples from the first 1-D array of n texts or whole numbers in ID_NAMES.

    None where there is no such array. Nothing is unpickled: object arrays of .npz files are not read.

    Raises SemrsmError if it cannot be read.
    """
    array = ids_array(file, n)
    return None if array is None else texts_of(whole(file, array))


def ids_array(file: ActivationFile, n: int) -> Layer | None:
    """Return the array that holds the ids of n samples; None where there is none."""
    arrays = (file.arrays.get(name) for name in ID_NAMES)
    return next((a for a in arrays if a is not None and _may_be_ids(a, n)), None)


def near_miss(file: ActivationFile, n: int) -> str | None:
    """Say which array may be meant for the ids of n samples, where none is taken for them.

    It has another name than those of ID_NAMES, or lies in a group.
    """
    if ids_array(file, n) is not None:
        return None
    for name, array in file.arrays.items():
        own = name.rpartition("/")[2].lower()
        if own in (*ID_NAMES, *NEAR_NAMES) and _may_be_ids(array, n):
            return (
                f"{file.path} holds an array '{name}', which is not read as ids of the samples; if it holds"
                f" them, call it {ID_NAMES[0]}"
            )
    return None


def near_miss_of_header(cell: str) -> str:
    """Return a hint for the first cell of a table's header that may be meant for a column of ids."""
    if cell.strip().lower() not in NEAR_NAMES:
        return ""
    return f"; if its column '{cell.strip()}' holds ids, call it {ID_NAMES[0]}"


def number_of_sample(
    sample: int | str, n: int, ids: Callable[[], Sequence[str] | None], address: str
) -> int:
    """Return the number of one of n samples; a text is its number if there is such a sample, else its id.

    Args:
        sample: Its number, from 0, or its id.
        n: How many there are.
        ids: Reads the ids of all; None where there are none.
        address: Where the samples are, for errors.

    Raises:
        SemrsmError: There is no such sample, or several have the id.

    Example:
        >>> ids = lambda: ["7", "a.png", "b.png"]
        >>> [number_of_sample(sample, 3, ids, "acts.h5") for sample in ("a.png", "2", "7", 1)]
        [1, 2, 0, 1]
    """
    is_id = isinstance(sample, str) and not NUMBER.fullmatch(sample)
    number = -1 if is_id else int(sample)
    if 0 <= number < n:
        return number
    known = (ids() or []) if isinstance(sample, str) else []
    if known.count(sample) > 1:
        raise SemrsmError(
            f"{address} has several samples with the id '{sample}'; give the number of one"
        )
    if sample in known:
        return known.index(sample)
    numbers = f"a number of 0 to {n - 1}"
    if not is_id:
        raise SemrsmError(f"{address} has no sample {sample}; give {numbers}")
    if not known:
        names = ", ".join(ID_NAMES)
        raise SemrsmError(
            f"{address} has no sample '{sample}', as it holds no ids ({names}); give {numbers}"
        )
    raise SemrsmError(f"{no_such(known, str(sample), 'sample')}; or give {numbers}").within(address)


def _may_be_ids(array: Layer, n: int) -> bool:
    return array.shape == (n,) and array.dtype.kind in "OSUiu" and not array.pickled


def texts_of(values: NDArray[Any]) -> list[str]:
    """Return ids as texts.

    >>> texts_of(np.array([b"a.png", b"b.png"])), texts_of(np.arange(2))
    (['a.png', 'b.png'], ['0', '1'])
    """
    return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]


def whole(file: ActivationFile, array: Layer) -> NDArray[Any]:
    """Return a small array, whole, unless it and the texts made of it take too much memory."""
    address = f"{file.path}::{array.name}"
    if array.dtype.kind in "SU" and array.dtype.itemsize > LONGEST_TEXT:
        raise SemrsmError(
            f"{address} holds texts of {array.dtype.itemsize} bytes each, and at most {LONGEST_TEXT} are"
            " read; save shorter ones"
        )
    n_bytes = array.n_bytes + TEXT_BYTES * math.prod(array.shape)
    refuse_more_than_memory(address, n_bytes, "save fewer or shorter ones")
    try:
        return np.asarray(array.take(slice(None)))
    except SemrsmError as error:
        raise error.within(address) from error


def read_sample_list(address: str) -> list[str]:
    """Return the ids or numbers of samples that a file lists: an array (n,), or a text, one on each line.

    Of a text table the first column counts; a header in ID_NAMES is left out, and so are blank lines.

    Raises SemrsmError if it cannot be read, holds none, or names one twice.
    """
    path, name = address_of(address)
    ids = _of_array(path, name) if name or path.suffix in SUFFIXES else _of_text(path)
    if not ids:
        raise SemrsmError(
            f"{address} names no sample; write ids or numbers into it, one on each line"
        )
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise SemrsmError(f"{address} names the sample '{twice}' twice; name each once")
    return ids


def _of_array(path: Path, name: str | None) -> list[str]:
    with open_activations(path) as file:
        names = [name] if name else [n for n in (*ID_NAMES, *file.arrays) if n in file.arrays]
        array = file.arrays.get(names[0]) if names else None
        if array is None or not _may_be_ids(array, *array.shape[:1] or (0,)):
            what = f"'{names[0]}' is none" if names else "it is empty"
            raise SemrsmError(
                f"{path} holds no list of samples ({what}); save texts or whole numbers (n,)"
            )
        return texts_of(whole(file, array))


def _of_text(path: Path) -> list[str]:
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    try:
        lines = read_text(path).splitlines()
        if delimiter:
            lines = [row[0] for row in csv.reader(lines, delimiter=delimiter) if row]
    except OSError as error:
        raise SemrsmError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except (ValueError, csv.Error) as error:
        raise SemrsmError(
            f"{path} is no text ({error}); write ids or numbers of samples into it, one on each line"
        ) from error
    ids = [line.strip() for line in lines if line.strip()]
    return ids[1:] if ids and ids[0].lower() in ID_NAMES else ids
