"""Several arrays as one, joined along their samples."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.layer import Gap, Layer

Places = Sequence[str]  # what sentences call the arrays: files, or names in a file


def join(name: str, parts: Sequence[Layer], places: Places) -> Layer:
    """Return arrays as one that holds the samples of all of them, one behind the other.

    Args:
        name: Of the whole.
        parts: Arrays of one type and, but for the number of samples, one shape.
        places: What each is called in sentences.

    Raises SemrsmError naming the first that does not fit the one before all.
    """
    first = parts[0]
    dtype = np.result_type(*{part.dtype for part in parts}) if _are_texts(parts) else first.dtype
    for part, place in zip(parts, places, strict=True):
        if part.shape[1:] != first.shape[1:] or not part.shape:
            raise SemrsmError(
                f"{place} has {name} of shape {part.shape} and {places[0]} of {first.shape}, so"
                " that they are no samples of one layer; save them apart"
            )
        if (part.dtype, part.bfloat16) != (first.dtype, first.bfloat16) and not _are_texts(parts):
            raise SemrsmError(
                f"{place} has {name} of type {part.dtype} and {places[0]} of {first.dtype};"
                " save them in one type"
            )
    ends = list(itertools.accumulate(part.shape[0] for part in parts))
    starts = [0, *ends[:-1]]

    def cut(samples: range) -> list[tuple[int, slice, slice]]:
        """Return which parts hold some samples: the part, which of it, and where they go."""
        cuts = []
        low = bisect_right(ends, samples[0]) if samples else len(ends)
        for k in range(low, bisect_left(starts, samples[-1] + 1) if samples else 0):
            begin = max(0, -((samples.start - starts[k]) // samples.step))
            end = min(len(samples), max(0, -((samples.start - ends[k]) // samples.step)))
            if begin < end:
                of = slice(
                    samples[begin] - starts[k], samples[end - 1] - starts[k] + 1, samples.step
                )
                cuts.append((k, of, slice(begin, end)))
        return cuts

    def rows(span: slice) -> NDArray[Any]:
        samples = range(*span.indices(ends[-1]))
        block = np.empty((len(samples), *first.shape[1:]), dtype)
        for k, of, into in cut(samples):
            block[into] = parts[k].rows(of)
        return block

    def refuse_written(span: slice) -> None:
        for k, of, _ in cut(range(*span.indices(ends[-1]))):
            parts[k].refuse_written(of)

    def gaps() -> list[Gap]:
        return [
            Gap(range(gap.samples.start + start, gap.samples.stop + start), f"{place}: {gap.why}")
            for part, start, place in zip(parts, starts, places, strict=True)
            for gap in part.find_gaps()
        ]

    return replace(
        first,
        name=name,
        shape=(ends[-1], *first.shape[1:]),
        dtype=dtype,
        rows=rows,
        loaded_bytes=max(part.loaded_bytes for part in parts),
        find_gaps=gaps,
        find_sources=lambda: [file for part in parts for file in part.find_sources()],
        refuse_written=refuse_written,
    )


def _are_texts(parts: Sequence[Layer]) -> bool:
    return all(part.dtype.kind in "US" for part in parts)


def join_sets(sets: Sequence[Mapping[str, Layer]], places: Places) -> dict[str, Layer]:
    """Join the arrays of equal names of several sets, each of which holds some samples of every layer.

    Raises SemrsmError naming the first set that lacks a layer, or has one more, or one that does not fit.
    """
    names = [name for name, array in sets[0].items() if array.problem() is None]
    for arrays, place in zip(sets, places, strict=True):
        layers = [name for name, array in arrays.items() if array.problem() is None]
        if missing := [name for name in names if name not in arrays]:
            raise SemrsmError(
                f"{place} lacks the layer '{missing[0]}' that {places[0]} holds; add it"
            )
        if extra := [name for name in layers if name not in names]:
            raise SemrsmError(
                f"{place} holds '{extra[0]}', which {places[0]} lacks; keep files of other kinds elsewhere"
            )
    beside = [n for n in sets[0] if n not in names and all(n in s and s[n].shape for s in sets)]
    joined = {}
    for name in sets[0]:
        if name in names or name in beside:
            joined[name] = join(name, [arrays[name] for arrays in sets], places)
    return joined


def as_one_sample(array: Layer) -> Layer:
    """Return an array of one sample that was saved without an axis of samples."""
    return replace(
        array,
        shape=(1, *array.shape),
        rows=lambda span: array.rows(slice(None))[None][span],
        refuse_written=lambda _: array.refuse_written(slice(None)),
    )
