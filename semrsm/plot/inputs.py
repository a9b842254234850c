"""What pictures read beside RSMs: a label or view for each sample, images, tables of values."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm
from semrsm.sample_numbers import Taken
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.address import address_of
from semrsm.storage.input_files import read_text
from semrsm.storage.labels import (
    AddressOrArray,
    Labels,
    array_named,
    read_labels,
    read_views,
    rows_of,
)
from semrsm.storage.layer import Layer
from semrsm.storage.sample_ids import read_sample_ids

WIDE = {"rsm", "layer", "matcher", "kernel"}  # columns of every table of evaluations
NO_METRICS = {
    "value",
    "seed",
    "queries",
    "excluded",
    "reason",
}  # columns of numbers that are no metrics
READERS: Mapping[str, Callable[..., Labels]] = {"labels": read_labels, "views": read_views}


def read_column(
    address: AddressOrArray, rsm: Rsm, what: str, by_position: bool = False
) -> NDArray[np.generic]:
    """Read what is known of each sample of an RSM, as `semrsm evaluate` does: its label or its view.

    Args:
        address: Array or text table; several labels of a sample become one text.
        rsm: Its samples are found by their ids where both have ids.
        what: A key of READERS.
        by_position: Row i is of sample i, whatever ids there are.

    Returns:
        (n,) whole numbers if all are, else texts.

    Raises:
        SemrsmError: There is no such file or array, or it does not fit the samples.
    """
    label_sets = READERS[what](address, by_position=by_position)
    rows = rows_of(label_sets, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
    texts = [" ".join(sorted(labels)) for labels in label_sets.sets]
    values = np.array([texts[row] for row in rows])
    return values.astype(np.int64) if all(map(_is_whole, texts)) else values


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,18}", text) is not None


def read_images(
    address: AddressOrArray,
    samples: Iterable[int],
    n: int,
    taken: Taken | None = None,
    ids: Sequence[str] | None = None,
) -> dict[int, NDArray[np.generic]]:
    """Read the images of some samples, (H, W), (H, W, 3) or (3, H, W) each; only those are read.

    Args:
        address: `path::array` of (n, ...), or `path` where there is one array or one called "images". Or a
            folder of image files, which the ids name. Or the images.
        samples: Which.
        n: How many samples the RSM has.
        taken: Which samples of the activation file they are, where that is known: there may be an image
            for each sample of that file.
        ids: Of the n samples.

    Raises:
        SemrsmError: There is no such file or array, or it does not hold n images of numbers.
    """
    numbers = sorted(set(samples))
    if not isinstance(address, str | os.PathLike):
        images = np.asarray(address)
        place = _places(images, "the array of images", n, taken)
        return {i: images[place[i]] for i in numbers}
    if os.path.isdir(address):
        return {i: _image_file(Path(address), ids, i) for i in numbers}
    path, name = address_of(address)
    with open_activations(path) as file:
        array = array_named(file, name, "images")
        place = _places(array, f"{path}::{array.name}", n, taken)
        return {i: _read(file, array, slice(place[i], place[i] + 1))[0] for i in numbers}


def read_ids(address: str | Path, n: int) -> Sequence[str] | None:
    """Return the ids of the n samples of an activation file, None if it holds none.

    Args:
        address: `path` or `path::layer`.
        n: How many samples the layer has.

    Raises:
        SemrsmError: The ids cannot be read.
    """
    with open_activations(address_of(address)[0]) as file:
        return read_sample_ids(file, n)


def _image_file(folder: Path, ids: Sequence[str] | None, sample: int) -> NDArray[np.generic]:
    """Read the image of a sample, whose id is its path below the folder, as `semrsm record` has it."""
    from matplotlib.image import imread

    if ids is None:
        raise SemrsmError(
            f"{folder} is a folder of images, and the samples have no ids that name them; give an array,"
            " FILE.h5::images"
        )
    views = ids[sample].rpartition("@")[0]  # of two views of one image, such as a.png@up
    path = next((folder / name for name in (ids[sample], views) if (folder / name).is_file()), None)
    if path is None:
        raise SemrsmError(
            f"{folder} holds no image of sample {sample}, '{ids[sample]}'; give the folder that was recorded"
        )
    try:
        with path.open("rb") as stream:
            image = np.asarray(imread(stream, format=path.suffix.removeprefix(".").lower()))
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: a damaged PNG
        raise SemrsmError(f"{path} cannot be read as an image ({error}); replace it") from error
    if image.dtype.kind == "f":  # a PNG, from 0 to 1
        image = np.round(255 * image).astype(np.uint8)
    return image[..., :3] if image.ndim == 3 else image  # without its transparency


def _places(images: Layer | NDArray[Any], name: str, n: int, taken: Taken | None) -> Sequence[int]:
    """Return where the image of each of n samples stands; raise SemrsmError if they are none."""
    there = images.shape[0] if len(images.shape) in (3, 4) else 0
    if there not in (n, taken and taken.of) or images.dtype.kind not in "uifb":
        raise SemrsmError(
            f"{name} has shape {images.shape} of {images.dtype}; images of the"
            f" {n} samples are needed, ({n}, H, W), ({n}, H, W, 3) or ({n}, 3, H, W)"
        )
    return taken.numbers if taken is not None and there == taken.of else range(n)


def _read(file: ActivationFile, array: Layer, rows: slice) -> NDArray[Any]:
    try:
        return np.asarray(array.take(rows))
    except SemrsmError as error:
        raise error.within(f"{file.path}::{array.name}") from error


def records_of(table: Any) -> list[dict[str, Any]]:
    """Return the records of a table: of a file, or those that `compare` and `evaluate_*` returned.

    >>> records_of([{"layer_a": "l1", "value": 0.5}])
    [{'layer_a': 'l1', 'value': 0.5}]
    """
    return [dict(row) for row in table] if isinstance(table, list) else read_records(Path(table))


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a table as `semrsm compare` and `semrsm evaluate` write: CSV, TSV or JSON.

    Evaluations have a row for each RSM and a column for each metric, or are records in long form.

    Args:
        path: The file; an empty cell or null is a value that could not be computed.

    Returns:
        One dict for each row, by the names of the columns: "value" is a float, all else text; or None.

    Raises:
        SemrsmError: The file is missing, is no such table, or a value is no number or infinite.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SemrsmError(
            f"{path} cannot be read as a table ({error}); give what semrsm compare wrote"
        ) from error
    rows = _read_json(path, text) if text.lstrip()[:1] in ("[", "{") else _read_lines(path, text)
    records = [_record(path, number, row) for number, row in enumerate(rows, start=1)]
    return _in_long_form(records) if records and set(records[0]) >= WIDE else records


def _in_long_form(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a table of evaluations with one record for each metric of each row.

    Columns that say more of another one, as "map-low" of "map", are left out, and what is no number.

    >>> row = dict.fromkeys(WIDE, "a") | {"map": "0.5", "map-low": "0.4"}
    >>> [(record["metric"], record["value"]) for record in _in_long_form([row])]
    [('map', 0.5)]
    """
    if {"metric", "measure"} & set(records[0]):
        return records
    names = [
        name
        for name in records[0]
        if name not in {*WIDE, *NO_METRICS}
        and not any(name.startswith(f"{other}-") for other in records[0])
        and all(_number(row[name]) is not None for row in records if row[name] is not None)
    ]
    shared = [{name: row[name] for name in WIDE} for row in records]
    return [
        {**about, "metric": name, "value": None if row[name] is None else _number(row[name])}
        for row, about in zip(records, shared, strict=True)
        for name in names
    ]


def _number(text: str) -> float | None:
    """Return a finite number, or None where a text is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _record(path: Path, number: int, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row of a table with its value as a number and all else as texts, or None where empty."""
    if None in row:
        raise SemrsmError(f"row {number} of {path} has more cells than the header; mend that row")
    for name, cell in row.items():
        if isinstance(cell, list | dict):
            raise SemrsmError(f"row {number} of {path} has no text or number as {name}; mend it")
    texts = {name: None if cell in ("", None) else str(cell) for name, cell in row.items()}
    try:
        value = None if texts.get("value") is None else float(row["value"])
    except (ValueError, OverflowError):
        value = math.inf
    if value is not None and math.isinf(value):
        raise SemrsmError(
            f"row {number} of {path} has a value that is no number ({str(texts['value'])[:60]}); mend it"
        )
    return {**texts, "value": None if value is None or math.isnan(value) else value}


def _read_lines(path: Path, text: str) -> list[dict[str, Any]]:
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    try:
        return list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    except csv.Error as error:
        raise SemrsmError(f"{path} is no table ({error}); write it again") from error


def _read_json(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SemrsmError(f"{path} is no JSON ({error}); write the table again") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SemrsmError(
            f"{path} holds no list of records; give what semrsm compare prints as JSON"
        )
    return rows
