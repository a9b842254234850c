"""Every option of a run: its default, its check, its help; and run files in TOML.

The fields of `RunOptions` are the long flags of `semrsm compute`, the keys of a run file and the
keyword arguments of `semrsm.compute`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semrsm.compute.parsers import (
    parse_count,
    parse_device,
    parse_dtype,
    parse_epsilon,
    parse_flag,
    parse_kernels,
    parse_layout,
    parse_memory,
    parse_names,
    parse_pool,
    parse_precision,
    parse_samples,
)
from semrsm.engine.kernels import KERNELS, parse_sigma
from semrsm.engine.positions import LAYOUTS
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError
from semrsm.names import no_such


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
    samples: str | None = _option(
        None, parse_samples, "Only these samples, of both files with --against: START:STOP[:STEP]."
    )
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
