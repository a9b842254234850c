"""What is known of the samples besides their activations: ids."""

from __future__ import annotations

import numpy as np

from semrsm.storage.activations import ActivationFile

ID_NAMES = ("samples", "sample_ids", "image")  # arrays that are taken for the ids of the samples


def read_sample_ids(file: ActivationFile, n: int) -> list[str] | None:
    """Return the ids of n samples from the first 1-D array of n texts or whole numbers in ID_NAMES.

    None where there is no such array. Nothing is unpickled: object arrays of .npz files are not read.
    """
    for name in ID_NAMES:
        array = file.arrays.get(name)
        if array is None or array.shape != (n,) or array.dtype.kind not in "OSUiu":
            continue
        if array.dtype.kind == "O" and file.format != "hdf5":
            continue
        ids = np.asarray(array.rows(slice(0, n)))
        return [i.decode() if isinstance(i, bytes) else str(i) for i in ids]
    return None
