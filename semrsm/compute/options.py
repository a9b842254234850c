"""Every option of a run: its default, its check, its help; and run files in TOML.

The fields of `RunOptions` are the long flags of `semrsm compute`, the keys of a run file and the
keyword arguments of `semrsm.compute`.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semrsm.compute.parsers import (
    parse_count,
    parse_dask,
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
    parse_shard,
)
from semrsm.compute.sample_choice import SampleChoice, parse_exclude, parse_samples
from semrsm.engine.kernels import KERNELS, parse_sigma
from semrsm.engine.positions import LAYOUTS
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.input_files import refuse_irregular

LONGEST_RUN_FILE = 1 << 20  # bytes
DEEP_KEY = re.compile(
    rb"""(?:\.\s*(?:[\w-]+|"[^"\n]*"|'[^'\n]*')\s*){100}"""
)  # "a.b.c" of so many parts


def _option(
    default: Any,
    parse: Callable[[Any], Any],
    help: str,
    *,
    kind: Any = str,
    short: str | None = None,
    metavar: str | None = None,
) -> Any:
    """Return an option: its default, its check, its help, and how the command line spells its value."""
    about = {"parse": parse, "help": help, "kind": kind, "short": short, "metavar": metavar}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class RunOptions:
    """The options of a run; `options_of` makes one from flags, a run file or keyword arguments."""

    layer: tuple[str, ...] = _option(
        (),
        parse_names("layer"),
        "Compute this layer, or those of a glob such as 'encoder/*'; may be repeated. (default: every map)",
        kind=list[str],
        short="-l",
        metavar="NAME|GLOB",
    )
    kernel: tuple[str, ...] = _option(
        ("cosine",),
        parse_kernels,
        f"Compute this similarity kernel: {', '.join(KERNELS)}; may be repeated. (default: cosine)",
        kind=list[str],
        short="-k",
        metavar="NAME",
    )
    matcher: str = _option(
        "optimal",
        str,
        "Match positions in this way; `semrsm methods` lists all. (default: optimal)",
        short="-m",
        metavar="NAME",
    )
    topk: int | None = _option(
        None,
        parse_count("topk", 1),
        f"topk-greedy: match the K positions of largest norm optimally. (default: {Settings.topk})",
        kind=int,
        metavar="K",
    )
    window: int | None = _option(
        None,
        parse_count("window", 1),
        "batch-optimal: match within windows of W positions, sorted by their norms."
        f" (default: {Settings.window})",
        kind=int,
        metavar="W",
    )
    epsilon: float | None = _option(
        None,
        parse_epsilon,
        "sinkhorn: take this entropy, relative to the range of a pair's affinities."
        f" (default: {Settings.epsilon})",
        kind=float,
        metavar="NUMBER",
    )
    group: int | None = _option(
        None,
        parse_count("group", 1),
        f"coarse: put G similar positions into a group. (default: {Settings.group})",
        kind=int,
        metavar="G",
    )
    sigma: str | float = _option(
        "median",
        parse_sigma,
        "Set the width of rbf: the median of the distances, or a number. (default: median)",
        metavar="median|NUMBER",
    )
    layout: str | None = _option(
        None,
        parse_layout,
        f"Read the axes of the arrays as {', '.join(LAYOUTS)}. (default: ncdhw, nchw, ntd, nd)",
        metavar="AXES",
    )
    skip_tokens: int = _option(
        0,
        parse_count("skip-tokens", 0),
        "Leave out the first K tokens: 1 for a class token, 5 with four register tokens. (default: 0)",
        kind=int,
        metavar="K",
    )
    pool: tuple[int, ...] | None = _option(
        None,
        parse_pool,
        "Average-pool the grid to HxW positions first, such as 7x7; volumes to DxHxW, such as 4x7x7.",
        metavar="[Dx]HxW",
    )
    samples: SampleChoice | None = _option(  # noqa: RUF009  (a field, as the others)
        None,
        parse_samples,
        "Take these samples only, in the order of the file: a slice, a file of ids or numbers (one on"
        " each line, or an array), or K at random. With --against this holds for both files.",
        metavar="START:STOP[:STEP]|FILE|random:K",
    )
    exclude: str | None = _option(
        None,
        parse_exclude,
        "Leave out the samples with these numbers in the file, such as 4,17,30:40.",
        metavar="I,J,…",
    )
    seed: int = _option(
        0,
        parse_count("seed", 0),
        "Draw the samples of --samples random:K with this seed. (default: 0)",
        kind=int,
        metavar="N",
    )
    against: str | None = _option(
        None,
        str,
        "Take the columns of the RSM from this file and the rows from ACTIVATIONS.",
        metavar="FILE",
    )
    device: str = _option(
        "auto",
        parse_device,
        "Match on auto, cpu, cuda, cuda:N, several such as cuda:0,cuda:2, or all GPUs; each has a process."
        " (default: auto)",
        metavar="DEVICE",
    )
    threads: int | None = _option(
        None,
        parse_count("threads", 1),
        "Match pairs in N threads of each process. (default: the cores, shared out)",
        kind=int,
        metavar="N",
    )
    workers: int | None = _option(
        None,
        parse_count("workers", 1),
        "Match in N processes. (default: in this one)",
        kind=int,
        metavar="N",
    )
    dask: str | None = _option(
        None,
        parse_dask,
        "Match on the Dask cluster of this scheduler, or on N local workers.",
        metavar="ADDRESS|local:N",
    )
    shard: tuple[int, int] | None = _option(
        None,
        parse_shard,
        "Match part I of N of the tiles, or the part of this Slurm array task (auto); `semrsm finish`"
        " then writes the file.",
        metavar="I/N|auto",
    )
    run_folder: str | None = _option(
        None,
        str,
        "Keep tiles in this folder until the RSM file is written. (default: OUT.run)",
        metavar="DIR",
    )
    restart: bool = _option(
        False,
        parse_flag("restart"),
        "Throw away what an earlier run left, and begin anew.",
        kind=bool,
    )
    memory: int | None = _option(
        None,
        parse_memory,
        "Stay under this much memory, such as 4GiB; processes share it. (default: half of what there is)",
        metavar="SIZE",
    )
    dtype: str = _option(
        "float32",
        parse_dtype,
        "Compute the products in float32 or float64; sums are float64. (default: float32)",
        metavar="float32|float64",
    )
    precision: str = _option(
        "exact",
        parse_precision,
        "Choose matchings on exact products, or on fast ones (TF32 on a GPU, bfloat16 on a CPU); values"
        " are exact either way. (default: exact)",
        metavar="exact|fast",
    )
    certify: bool = _option(
        False,
        parse_flag("certify"),
        "Also store an upper bound for every pair, which no matching exceeds.",
        kind=bool,
    )
    bfloat16: bool = _option(
        False, parse_flag("bfloat16"), "Read 2-byte arrays as bfloat16.", kind=bool
    )
    overwrite: bool = _option(
        False, parse_flag("overwrite"), "Replace the output if it exists.", kind=bool
    )

    def as_json(self) -> dict[str, Any]:
        """Return the options as plain values for the file's metadata."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["samples"] = self.samples and self.samples.text
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


FIELDS = {f.name: f for f in dataclasses.fields(RunOptions)}


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
    if parsed.get("workers", 1) > 1 and parsed.get("device", "auto") == "auto":
        parsed["device"] = "cpu"  # several processes on one GPU only wait for each other
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
    refuse_irregular(path)
    try:
        with path.open("rb") as stream:
            text = stream.read(LONGEST_RUN_FILE + 1)
        if len(text) > LONGEST_RUN_FILE:
            raise SemrsmError(
                f"the run file {path} has more than {LONGEST_RUN_FILE} bytes; name the right file"
            )
        if DEEP_KEY.search(text):  # the parser takes memory by the square of its parts
            raise RecursionError
        return tomllib.loads(text.decode())
    except OSError as error:
        raise SemrsmError(
            f"the run file {path} cannot be read ({error.strerror}); check the path"
        ) from error
    except RecursionError as error:
        raise SemrsmError(f"the run file {path} is nested too deeply; mend it") from error
    except ValueError as error:  # TOMLDecodeError, or bytes that are no UTF-8
        raise SemrsmError(f"the run file {path} is no TOML ({error}); mend that line") from error
