"""What is known of the samples besides their activations: ids."""

from __future__ import annotations

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.storage.activations import ActivationFile
from semrsm.storage.layer import DAMAGE

ID_NAMES = ("samples", "sample_ids", "image")  # arrays that are taken for the ids of the samples


def read_sample_ids(file: ActivationFile, n: int) -> list[str] | None:
    """Return the ids of n samples from the first 1-D array of n texts or whole numbers in ID_NAMES.

    None where there is no such array. Nothing is unpickled: object arrays of .npz files are not read.

    Raises SemrsmError if it cannot be read.
    """
    for name in ID_NAMES:
        array = file.arrays.get(name)
        if array is None or array.shape != (n,) or array.dtype.kind not in "OSUiu":
            continue
        if array.dtype.kind == "O" and file.format != "hdf5":
            continue
        try:
            ids = np.asarray(array.rows(slice(0, n)))
        except DAMAGE as error:
            raise SemrsmError(
                f"{file.path}::{name} cannot be read ({error}): the file is damaged or cut short;"
                " save or copy it again"
            ) from error
        return [i.decode(errors="replace") if isinstance(i, bytes) else str(i) for i in ids]
    return None
