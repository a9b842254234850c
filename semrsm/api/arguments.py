"""What callers give, as the workflows take it: one name or several, sizes, RSMs in memory, resamples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.options import FIELDS
from semrsm.compute.parsers import parse_memory, parse_names
from semrsm.errors import SemrsmError
from semrsm.measures.inference import USUAL_RESAMPLES, Inference
from semrsm.measures.intervals import INTERVALS
from semrsm.names import look_up
from semrsm.rsms import Rsm, rsm_in_memory
from semrsm.storage.address import address_of
from semrsm.storage.whole_files import refuse_inputs

Names = str | Sequence[str]  # one name or glob, or several
RsmLike = str | Path | Rsm | NDArray[Any]  # a file, path::layer, or a matrix in memory
Progress = Callable[[str, int, int], None]


class Records(list[dict[str, Any]]):
    """A list of records, one dict each, which `pandas.DataFrame(...)` takes as it is.

    Attributes:
        notes: Sentences about how they were made that a person should know.

    >>> Records([{"value": 1.0}], ["nothing shows that these are the same samples"]).notes
    ('nothing shows that these are the same samples',)
    """

    def __init__(self, records: Iterable[dict[str, Any]] = (), notes: Iterable[str] = ()) -> None:
        super().__init__(records)
        self.notes = tuple(notes)


def options_in(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a function's arguments that are options of a run.

    >>> options_in({"activations": "a.h5", "matcher": "greedy"})
    {'matcher': 'greedy'}
    """
    return {name: value for name, value in arguments.items() if name in FIELDS}


def rsms_in(rsms: Sequence[Any]) -> list[str | Path | Rsm]:
    """Return RSMs as workflows open them: several arguments, or one list of them.

    A matrix in memory, numpy or torch, becomes an RSM called "RSM 1", "RSM 2", … by its place.

    Raises SemrsmError if there is none, or one is no RSM.
    """
    flat: list[Any] = []
    for one in rsms:
        flat += one if isinstance(one, list | tuple) else [one]
    if not flat:
        raise SemrsmError("no RSM is named; give RSM files, plain matrices or arrays (n, n)")
    return [rsm_in(one, f"RSM {place}") for place, one in enumerate(flat, start=1)]


def rsm_in(rsm: Any, name: str) -> str | Path | Rsm:
    """Return one RSM as workflows open it."""
    if isinstance(rsm, Rsm | str | Path):
        return rsm
    if isinstance(rsm, os.PathLike):
        return Path(rsm)
    if not hasattr(rsm, "shape"):
        raise SemrsmError(
            f"{name} is of type {type(rsm).__name__}; give the path of an RSM file, or an array (n, n)"
        )
    return rsm_in_memory(np.asarray(rsm.detach().cpu() if hasattr(rsm, "detach") else rsm), name)


def keep_inputs(out: Path, *inputs: Any) -> None:
    """Raise SemrsmError if an output is one of the files that are read, by whatever name."""
    flat = [part for one in inputs for part in (one if isinstance(one, list | tuple) else [one])]
    addresses = [one for one in flat if isinstance(one, str | os.PathLike)]
    refuse_inputs(out, [address_of(str(address))[0] for address in addresses])


def names_in(names: Names | None, what: str) -> tuple[str, ...]:
    """Return one name or several as a tuple.

    >>> names_in("layer4", "layer"), names_in(None, "layer"), names_in(["a", "b"], "layer")
    (('layer4',), (), ('a', 'b'))
    """
    return () if names is None else parse_names(what)(names)


def bytes_in(memory: str | int | None) -> int | None:
    """Return a size such as "4GiB", or a number of bytes, as bytes."""
    return None if memory is None else parse_memory(memory)


def inference_in(bootstrap: int, permutations: int, seed: int, interval: str | None) -> Inference:
    """Return which intervals and p-values are asked for.

    Raises SemrsmError for an interval that there is not, or a number below 0.

    >>> inference_in(0, 0, 7, "bca").n_resamples
    1000
    """
    for name, number in (("bootstrap", bootstrap), ("permutations", permutations), ("seed", seed)):
        if not isinstance(number, int | np.integer) or number < 0:
            raise SemrsmError(f"{name} must be a whole number of at least 0, got {number!r}")
    if interval is not None:
        look_up(INTERVALS, interval, "interval")
        bootstrap = bootstrap or USUAL_RESAMPLES
    return Inference(bootstrap, permutations, seed, interval or "corrected")
