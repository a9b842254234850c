"""What may be stored of each sample beside its activations: ids, labels, logits, views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

# Name -> what the array holds; the names are those that readers look for.
SAMPLE_ARRAYS: dict[str, str] = {
    "samples": "(n,) texts",
    "labels": "(n,) whole numbers or texts, or (n, classes) of 0 and 1",
    "logits": "(n, classes) numbers",
    "views": "(n,) whole numbers or texts",
}


def as_sample_array(name: str, values: Any) -> NDArray[Any]:
    """Return ids, labels, logits or views as they are stored: texts as objects, int64 or float32.

    Raises SemrsmError if their type or shape is another one than SAMPLE_ARRAYS says.

    >>> as_sample_array("labels", [3, 1]).dtype, as_sample_array("samples", [7]).tolist()
    (dtype('int64'), ['7'])
    """
    if name == "samples" or (isinstance(values, Iterable) and not hasattr(values, "shape")):
        values = list(values)
    if name == "samples":
        return np.array([_text(value) for value in values], dtype=object)
    array = np.asarray(values)
    form = SAMPLE_ARRAYS[name]
    if name == "logits":
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise SemrsmError(
                f"logits have type {array.dtype} and shape {array.shape}; give {form}"
            )
        return array.astype("<f4")
    texts = array.dtype.kind in "OSU" and array.ndim == 1
    numbers = array.dtype.kind in "biu" and 1 <= array.ndim <= (1 if name == "views" else 2)
    if not texts and not numbers:
        raise SemrsmError(f"{name} have type {array.dtype} and shape {array.shape}; give {form}")
    return np.array([_text(v) for v in array], dtype=object) if texts else array.astype("<i8")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
