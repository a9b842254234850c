"""Reading all that a file holds, to see whether it can be read."""

from __future__ import annotations

import math
from pathlib import Path

import h5py

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.layer import Layer
from semrsm.storage.rsm_file import is_rsm_file, open_rsm

BLOCK_BYTES = 32 << 20  # of samples that are read at a time


def read_whole(path: Path) -> None:
    """Read every array of an activation file, RSM file or matrix; tables of text are left out.

    Raises SemrsmError at the first thing that cannot be read.
    """
    if path.suffix.lower() in (".csv", ".tsv", ".json"):  # no library in C reads them
        return
    if is_rsm_file(path):
        with open_rsm(path) as rsms:
            rsms.layers()
            rsms.samples()
            rsms.samples("column_samples")
    with open_activations(path) as file:
        for array in file.arrays.values():
            # Objects that are no texts are never read by any command.
            if array.dtype.hasobject and h5py.check_string_dtype(array.dtype) is None:
                continue
            try:
                _read_array(array)
            except SemrsmError as error:
                raise error.within(f"{path}::{array.name}") from error


def _read_array(array: Layer) -> None:
    row_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, array.n_samples, step):
        array.take(slice(start, start + step))
