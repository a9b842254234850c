"""Every option of a run: its default, its check, its help; and run files in TOML.

The fields of `RunOptions` are the long flags of `semrsm compute`, the keys of a run file and the
keyword arguments of `semrsm.compute`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semrsm.engine.kernels import KERNELS
from semrsm.engine.positions import LAYOUTS
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError
from semrsm.names import look_up, no_such

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
LARGEST_MEMORY = 2**63


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


def parse_sigma(value: Any) -> str | float:
    """Return "median" or a positive number.

    >>> parse_sigma("0.5")
    0.5
    """
    if value == "median":
        return "median"
    return _positive(value, "sigma", "'median' or a positive number")


def parse_epsilon(value: Any) -> float:
    """Return a positive number.

    >>> parse_epsilon("0.01")
    0.01
    """
    return _positive(value, "epsilon", "a positive number")


def _positive(value: Any, name: str, wanted: str) -> float:
    number = _number(value, name, wanted, float)
    if not 0 < number < float("inf"):
        raise SemrsmError(f"{name} must be {wanted}, got {value}")
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
        return number

    return parse


def _number(value: Any, name: str, wanted: str, kind: type) -> Any:
    try:
        number = kind(str(value))
    except ValueError:
        raise SemrsmError(f"{name} must be {wanted}, got {value!r}") from None
    return number


def parse_pool(value: Any) -> tuple[int, int]:
    """Return (height, width) of "HxW" or of a pair.

    >>> parse_pool("7x7")
    (7, 7)
    """
    text = "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    match = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if match and int(match[1]) > 0 and int(match[2]) > 0:
        return int(match[1]), int(match[2])
    raise SemrsmError(f"pool must be HxW, such as 7x7, got {value!r}")


def parse_samples(value: Any) -> str:
    """Return START:STOP[:STEP] as it is, once it is seen to be one.

    >>> parse_samples("0:100:2")
    '0:100:2'
    """
    parts = str(value).split(":")
    if len(parts) not in (2, 3) or not all(re.fullmatch(r"(-?\d+)?", part) for part in parts):
        raise SemrsmError(
            f"samples must be START:STOP or START:STOP:STEP, such as 0:1000, got {value!r}"
        )
    if len(parts) == 3 and parts[2] and int(parts[2]) < 1:
        raise SemrsmError(f"the STEP of samples must be at least 1, got {value!r}")
    return str(value)


def sample_range(samples: str | None, n: int) -> range:
    """Return which of n samples are meant; raise SemrsmError if none is.

    >>> sample_range("10:20:5", 100)
    range(10, 20, 5)
    """
    parts = [int(part) if part else None for part in (samples or ":").split(":")]
    chosen = range(n)[slice(*parts)]
    if not chosen:
        raise SemrsmError(f"--samples {samples} leaves none of {n} samples; choose others")
    return chosen


def parse_memory(value: Any) -> int:
    """Return a size in bytes: a number, or one with k, M, G, T (1000s) or Ki, Mi, Gi, Ti (1024s).

    >>> parse_memory("1GiB"), parse_memory("500 MB")
    (1073741824, 500000000)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", str(value).lower())
    size = float(match[1]) * (UNITS | BINARY_UNITS)[match[2] or ""] if match else 0.0
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
    """Return auto, cpu, cuda or cuda:N."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
        raise SemrsmError(f"device must be auto, cpu, cuda or cuda:N, got {value!r}")
    return str(value)


def parse_flag(name: str) -> Callable[[Any], bool]:
    """Return a parser of True and False."""

    def parse(value: Any) -> bool:
        if not isinstance(value, bool):
            raise SemrsmError(f"{name} must be true or false, got {value!r}")
        return value

    return parse


def _option(default: Any, parse: Callable[[Any], Any], help: str) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help})


@dataclass(frozen=True)
class RunOptions:
    """The options of a run; `options_of` makes one from flags, a run file or keyword arguments."""

    layer: tuple[str, ...] = _option(
        (),
        parse_names("layer"),
        "Layer to compute, or a glob such as 'encoder/*'; may be repeated. (default: every map)",
    )
    kernel: tuple[str, ...] = _option(
        ("cosine",),
        parse_kernels,
        f"Similarity kernel: {', '.join(KERNELS)}; may be repeated. (default: cosine)",
    )
    matcher: str = _option(
        "optimal", str, "How positions are matched; `semrsm methods` lists all. (default: optimal)"
    )
    topk: int | None = _option(
        None,
        parse_count("topk", 1),
        "topk-greedy: so many positions of largest norm are matched optimally."
        f" (default: {Settings.topk})",
    )
    window: int | None = _option(
        None,
        parse_count("window", 1),
        f"batch-optimal: positions in a window of equal norms. (default: {Settings.window})",
    )
    epsilon: float | None = _option(
        None,
        parse_epsilon,
        "sinkhorn: entropy, relative to the range of a pair's affinities."
        f" (default: {Settings.epsilon})",
    )
    group: int | None = _option(
        None,
        parse_count("group", 1),
        f"coarse: positions in a group of similar ones. (default: {Settings.group})",
    )
    sigma: str | float = _option(
        "median",
        parse_sigma,
        "Width of rbf: 'median' of the distances, or a number. (default: median)",
    )
    layout: str | None = _option(
        None, parse_layout, f"Axes of the arrays: {', '.join(LAYOUTS)}. (default: nchw, ntd, nd)"
    )
    skip_tokens: int = _option(
        0,
        parse_count("skip-tokens", 0),
        "Leave out so many tokens at the front (class token: 1). (default: 0)",
    )
    pool: tuple[int, int] | None = _option(
        None, parse_pool, "Average-pool the grid to HxW positions first, such as 7x7."
    )
    samples: str | None = _option(None, parse_samples, "Only these samples: START:STOP[:STEP].")
    against: str | None = _option(
        None, str, "Rectangular RSM: rows from ACTIVATIONS, columns from this file."
    )
    device: str = _option("auto", parse_device, "auto, cpu, cuda or cuda:N. (default: auto)")
    threads: int | None = _option(
        None, parse_count("threads", 1), "Threads that solve pairs. (default: the cores at hand)"
    )
    memory: int | None = _option(
        None,
        parse_memory,
        "Memory to stay under, such as 4GiB. (default: half of what the machine has)",
    )
    dtype: str = _option(
        "float32",
        parse_dtype,
        "Of the products: float32 or float64; sums are float64. (default: float32)",
    )
    precision: str = _option(
        "exact",
        parse_precision,
        "Of products: exact, or fast (TF32 on a GPU, bfloat16 on a CPU; m is exact). (default: exact)",
    )
    certify: bool = _option(
        False,
        parse_flag("certify"),
        "Also store, for every pair, an upper bound of what any matching reaches.",
    )
    bfloat16: bool = _option(False, parse_flag("bfloat16"), "Read 2-byte arrays as bfloat16.")
    overwrite: bool = _option(False, parse_flag("overwrite"), "Replace the output if it exists.")

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values for the file's metadata."""
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()
        }


FIELDS = {f.name: f for f in dataclasses.fields(RunOptions)}


def help_of(name: str) -> str:
    """Return the help text of an option."""
    return FIELDS[name].metadata["help"]


def options_of(values: Mapping[str, Any]) -> RunOptions:
    """Make the options of a run from values by name; None means: not given.

    Raises SemrsmError for an unknown name or a value that does not fit.

    >>> options_of({"kernel": "rbf", "sigma": "2", "pool": None}).sigma
    2.0
    """
    parsed = {}
    for name, value in values.items():
        if name not in FIELDS:
            raise SemrsmError(no_such(FIELDS, name, "option"))
        if value is not None:
            parsed[name] = FIELDS[name].metadata["parse"](value)
    return RunOptions(**parsed)


def read_run_file(path: Path) -> dict[str, Any]:
    """Return the options of a TOML run file by name; "skip-tokens" and "skip_tokens" are the same.

    Raises SemrsmError if the file is missing, no TOML, or names an option that there is not.
    """
    values = {name.replace("-", "_"): value for name, value in read_toml(path).items()}
    for name, value in values.items():
        try:
            options_of({name: value})
        except SemrsmError as error:
            raise error.within(path) from None
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; raise SemrsmError if it is missing or no TOML."""
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SemrsmError(
            f"the run file {path} cannot be read ({error.strerror}); check the path"
        ) from error
    except ValueError as error:  # TOMLDecodeError, or bytes that are no UTF-8
        raise SemrsmError(f"the run file {path} is no TOML ({error}); mend that line") from error


def default_threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory() -> int:
    """Return half of the machine's memory, or of the limit of this job's control group, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [physical]
    for limit in (
        Path("/sys/fs/cgroup/memory.max"),
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ):
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits) // 2
