"""Arrays that may be samples or batches of one layer, rather than layers: told by names and shapes.

A guess is noted, so that it is said; and each array can still be named to be read by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.formats.contents import Contents
from semrsm.storage.formats.joined import as_one_sample, join
from semrsm.storage.layer import Layer

NUMBERS = re.compile(r"\d+")
SPAN = re.compile(r"(\d+)-(\d+)$")  # features_0-32, features_32-64, as thingsvision names batches
BATCH = re.compile(
    r"(arr|batch|batches|chunk|part|split|shard|features|image|img|sample)[-_ ]?\d+", re.I
)
LAYER = re.compile(r"layer|block|stage|conv|encoder|decoder|attn|mlp|norm|features\.", re.I)
COUNTED = re.compile(r"batch|chunk|part|split|shard", re.I)  # files that hold several samples
SHOWN = 3  # names at the front of a list, in a note


def layers_of(arrays: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the arrays that can be computed with."""
    return {name: array for name, array in arrays.items() if array.problem() is None}


def in_order(names: Sequence[str]) -> str:
    """Show the order of names: the first ones and the last.

    >>> in_order(["a1", "a2", "a3", "a10", "a20"])
    'a1, a2, a3, … a20'
    """
    few = len(names) <= SHOWN + 1
    return ", ".join(names) if few else f"{', '.join(names[:SHOWN])}, … {names[-1]}"


def texts(name: str, values: Sequence[str]) -> Layer:
    """Return an array of texts that no file holds, such as ids taken from names."""
    array: NDArray[Any] = np.array(values)
    return Layer(name, array.shape, array.dtype, array.__getitem__)


def are_alike(parts: Sequence[Layer]) -> bool:
    """Say whether arrays have one type and, but for their samples, one shape."""
    return len({(part.shape[1:], part.dtype, part.bfloat16) for part in parts}) == 1


def are_single(parts: Sequence[Layer]) -> bool:
    """Say whether each of several arrays holds one sample: alone it is no layer that has an RSM."""
    return len(parts) > 1 and all(part.shape[0] == 1 for part in parts)


def are_batches(names: Sequence[str], parts: Sequence[Layer]) -> bool:
    """Say whether arrays that are alike look like batches of one layer: numbered, and not called layers."""
    if len(parts) < 2 or len({NUMBERS.sub("#", name) for name in names}) > 1:
        return False
    counts = {part.shape[0] for part in parts}
    if len(counts) == 1:
        square = len(parts[0].shape) == 2 and parts[0].shape[1:] == (*counts,)
        return not square and not any(map(LAYER.search, names))
    return True


def refuse_missing(names: Sequence[str]) -> None:
    """Refuse numbered batches of which one is missing; the numbers may count batches or samples.

    Raises SemrsmError naming its neighbours.
    """
    spans = [SPAN.search(name) for name in names]
    if all(spans):
        ends = [(int(span[1]), int(span[2])) for span in spans if span]
        gaps = [k for k, (a, b) in enumerate(pairwise(ends)) if a[1] not in (b[0], b[0] - 1)]
    else:
        numbers = [[int(n) for n in NUMBERS.findall(name)] for name in names]
        steps = [sum(b) - sum(a) for a, b in pairwise(numbers)]
        usual = min(steps, default=1)
        gaps = [k for k, step in enumerate(steps) if step != usual]
    if gaps:
        a, b = names[gaps[0]], names[gaps[0] + 1]
        raise SemrsmError(
            f"between {a} and {b} a batch is missing; add it, or number them in a row"
        )


def common_name(names: Sequence[str], otherwise: str) -> str:
    """Return what numbered names have in common, before their numbers.

    >>> common_name(["arr_0", "arr_1"], "acts"), common_name(["0", "1"], "acts")
    ('arr', 'acts')
    """
    return NUMBERS.split(names[0])[0].rstrip("_-. /[") or otherwise


def gather(contents: Contents, stem: str) -> Contents:
    """Return what a file holds with arrays joined that are samples or batches of one layer.

    Args:
        contents: As its reader gives it.
        stem: What a layer is called whose arrays are called after samples.
    """
    layers = layers_of(contents.arrays)
    names, parts = list(layers), list(layers.values())
    if len(parts) < 2 or len(parts[0].shape) < 2 or not are_alike(parts):
        return contents
    ids: dict[str, Layer] = {}
    if are_single(parts) and not any(map(LAYER.search, names)):
        name, what = stem, "one sample each"
        ids = {"samples": texts("samples", names)} if "samples" not in contents.arrays else {}
    elif all(map(BATCH.fullmatch, names)) and are_batches(names, parts) and _have_maps(parts):
        refuse_missing(names)
        name, what = common_name(names, stem), "batches of one layer"
    else:
        return contents
    joined = join(name, parts, names)
    others = {n: a for n, a in contents.arrays.items() if n not in layers}
    note = f"{len(names)} arrays are read as {what}, joined to '{name}' in this order: {in_order(names)}"
    return replace(
        contents,
        arrays={name: joined, **others, **ids},
        batches=layers,
        notes=(*contents.notes, note),
        unnamed=False,
    )


def _have_maps(parts: Sequence[Layer]) -> bool:
    """Say whether arrays are maps, or vectors in batches of different size: matrices are none of these."""
    return len(parts[0].shape) > 2 or len({part.shape[0] for part in parts}) > 1


def odd_one(names: Sequence[str], parts: Sequence[Layer]) -> int | None:
    """Return which of many numbered arrays alone differs from the others; None if none does, or several do.

    Layers of a network differ from each other; of samples or batches one is odd that does not belong there.
    """
    numbered = len({NUMBERS.sub("#", name) for name in names}) == 1
    if len(parts) < 4 or not numbered or any(map(LAYER.search, names)):
        return None
    shapes = Counter((part.shape[1:], part.dtype) for part in parts)
    odd = [k for k, part in enumerate(parts) if shapes[part.shape[1:], part.dtype] == 1]
    return odd[0] if len(shapes) == 2 and len(odd) == 1 else None


def lack_samples_axis(names: Sequence[str], sets: Sequence[Mapping[str, Layer]]) -> bool:
    """Say whether files hold one sample each without an axis of samples: vectors, or maps (c, side, side)."""

    def lacks(array: Layer) -> bool:
        if len(array.shape) == 3:
            return array.shape[1] == array.shape[2] > 1 != array.shape[0] != array.shape[1]
        return len(array.shape) == 1

    numbers = [[a for a in batch.values() if _is_number(a)] for batch in sets]
    if (
        len(sets) < 2
        or any(map(COUNTED.search, names))
        or not all(arrays and all(map(lacks, arrays)) for arrays in numbers)
    ):
        return False
    return len({tuple(a.shape for a in arrays) for arrays in numbers}) == 1


def _is_number(array: Layer) -> bool:
    return array.bfloat16 or array.dtype.kind == "f"


def with_samples_axis(arrays: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the arrays of one sample with an axis of samples."""
    return {name: as_one_sample(array) for name, array in arrays.items() if array.shape}
