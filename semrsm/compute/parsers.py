"""Checks of options: each takes what a flag, a run file or a caller gave and returns it as it is used."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from semrsm.engine.kernels import KERNELS
from semrsm.engine.positions import LAYOUTS
from semrsm.errors import SemrsmError
from semrsm.names import look_up

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
LARGEST_MEMORY = 2**63
LARGEST_COUNT = 10**9  # more is a slip, and more than some integers hold
WHOLE = r"\d{1,18}"  # a whole number that can be counted to


def parse_names(name: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a parser of one name or several, which gives a tuple."""

    def parse(value: Any) -> tuple[str, ...]:
        names = (value,) if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            raise SemrsmError(f"{name} must be a name or a list of names, got {value!r}")
        return tuple(names)

    return parse


def parse_kernels(value: Any) -> tuple[str, ...]:
    """Return names of kernels, each looked up in KERNELS and named once."""
    names = parse_names("kernel")(value)
    if not names:
        raise SemrsmError(f"no kernel is named; name at least one of {', '.join(KERNELS)}")
    return tuple(dict.fromkeys(look_up(KERNELS, name, "kernel").name for name in names))


def parse_epsilon(value: Any) -> float:
    """Return a positive number.

    >>> parse_epsilon("0.01")
    0.01
    """
    return _positive(value, "epsilon", "a positive number")


def _positive(value: Any, name: str, requirement: str) -> float:
    number = _number(value, name, requirement, float)
    if not 0 < number < float("inf"):
        raise SemrsmError(f"{name} must be {requirement}, got {value}")
    return number


def parse_layout(value: Any) -> str:
    """Return a key of LAYOUTS."""
    look_up(LAYOUTS, str(value), "layout")
    return str(value)


def parse_count(name: str, least: int) -> Callable[[Any], int]:
    """Return a parser of whole numbers of at least `least`."""

    def parse(value: Any) -> int:
        number = _number(value, name, f"a whole number of at least {least}", int)
        if number < least:
            raise SemrsmError(f"{name} must be at least {least}, got {value}")
        if number > LARGEST_COUNT:
            raise SemrsmError(f"{name} must be at most {LARGEST_COUNT}, got {value}")
        return number

    return parse


def _number(value: Any, name: str, requirement: str, kind: type) -> Any:
    try:
        number = kind(str(value))
    except ValueError:
        raise SemrsmError(f"{name} must be {requirement}, got {value!r}") from None
    return number


def parse_pool(value: Any) -> tuple[int, ...]:
    """Return (height, width) of "HxW", or (depth, height, width) of "DxHxW", or of as many numbers.

    >>> parse_pool("7x7"), parse_pool([4, 7, 7])
    ((7, 7), (4, 7, 7))
    """
    text = "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if re.fullmatch(rf"(\s*{WHOLE}\s*[xX]){{1,2}}\s*{WHOLE}\s*", text):
        lengths = tuple(int(part) for part in re.split("[xX]", text))
        if min(lengths) > 0:
            return lengths
    raise SemrsmError(f"pool must be HxW, such as 7x7, or DxHxW of volumes, got {value!r}")


def parse_memory(value: Any) -> int:
    """Return a size in bytes: a number with B, k, M, G, T (1000s) or Ki, Mi, Gi, Ti (1024s), or an int.

    A bare number in a text is refused, and so is an integer below 1024: nobody grants 4 bytes.

    >>> parse_memory("1GiB"), parse_memory("500 MB"), parse_memory(1 << 30)
    (1073741824, 500000000, 1073741824)
    >>> parse_memory("4")
    Traceback (most recent call last):
        ...
    semrsm.errors.SemrsmError: memory must be a size with a unit, got '4'; do you mean 4GiB?
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?b?)\s*", str(value).lower())
    number = float(match[1]) if match else 0.0
    if match and not match[2] and number > 0 and (isinstance(value, str) or number < 1024):
        meant = f"{match[1]}{'GiB' if number < 1024 else 'B'}"
        raise SemrsmError(f"memory must be a size with a unit, got {value!r}; do you mean {meant}?")
    size = number * (UNITS | BINARY_UNITS)[match[2].removesuffix("b")] if match else 0.0
    if not 1 <= size < LARGEST_MEMORY:
        raise SemrsmError(f"memory must be a size such as 4GiB or 500MB, got {value!r}")
    return int(size)


def parse_dtype(value: Any) -> str:
    """Return "float32" or "float64"."""
    if value not in ("float32", "float64"):
        raise SemrsmError(f"dtype must be float32 or float64, got {value!r}")
    return value


def parse_precision(value: Any) -> str:
    """Return "exact" or "fast"."""
    if value not in ("exact", "fast"):
        raise SemrsmError(f"precision must be exact or fast, got {value!r}")
    return value


def parse_device(value: Any) -> str:
    """Return auto, cpu, all, cuda, cuda:N or several of the last, joined by commas.

    >>> parse_device("cuda:0,cuda:2")
    'cuda:0,cuda:2'
    """
    one = r"cuda(:\d{1,4})?"
    if not re.fullmatch(rf"auto|cpu|all|{one}(,{one})*", str(value)):
        raise SemrsmError(
            f"device must be auto, cpu, cuda or cuda:N (or several: cuda:0,cuda:1, or all), got {value!r}"
        )
    return str(value)


def parse_dask(value: Any) -> str:
    """Return the address of a Dask scheduler, or local:N with N of at least 1.

    >>> parse_dask("local:2")
    'local:2'
    """
    text = str(value)
    kind, _, number = text.partition(":")
    if not text or (kind == "local" and not (re.fullmatch(WHOLE, number) and int(number) > 0)):
        raise SemrsmError(
            f"dask must be a scheduler's address such as tcp://host:8786, or local:N, got {value!r}"
        )
    return text


def parse_shard(value: Any) -> tuple[int, int]:
    """Return (part, parts) of "I/N", parts counted from 1, or of this Slurm array task for "auto".

    >>> parse_shard("2/5")
    (2, 5)
    """
    if value == "auto":
        return _part_of_array()
    text = "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    match = re.fullmatch(rf"\s*({WHOLE})\s*/\s*({WHOLE})\s*", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise SemrsmError(
            f"shard must be I/N with I from 1 to N, such as 1/8 to 8/8, or auto, got {value!r}"
        )
    return int(match[1]), int(match[2])


def _part_of_array() -> tuple[int, int]:
    """Return the place of this task in its Slurm array, from 1, and how many tasks the array has."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    texts = [os.environ.get(name, "") for name in names]
    if not all(re.fullmatch(WHOLE, text) for text in texts):
        raise SemrsmError(
            f"shard auto reads {', '.join(names)}, which are not set here; submit a job array with"
            " sbatch --array=1-8, or name the part: `shard='1/8'`"
        )
    task, first, count = (int(text) for text in texts)
    step = int(os.environ.get("SLURM_ARRAY_TASK_STEP", "1") or 1)
    part, beside = divmod(task - first, step)
    if beside or not part < count:
        raise SemrsmError(
            f"the job array has gaps (task {task}, first {first}, {count} tasks); submit it as"
            f" --array=1-{count}, or name the part: `shard='I/{count}'`"
        )
    return part + 1, count


def parse_flag(name: str) -> Callable[[Any], bool]:
    """Return a parser of True and False."""

    def parse(value: Any) -> bool:
        if not isinstance(value, bool):
            raise SemrsmError(f"{name} must be true or false, got {value!r}")
        return value

    return parse
