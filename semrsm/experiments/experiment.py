"""What an experiment is made of: the keys of its run file, what it evaluates, tables and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from semrsm.compute.options import parse_count, parse_kernels, parse_names
from semrsm.data import digits_path
from semrsm.engine.matchers import MATCHERS
from semrsm.errors import SemrsmError
from semrsm.evaluate.results import Evaluation
from semrsm.names import look_up, no_such

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = TypeVar("Record")
EMBEDDED = "digits"  # what a run file calls the embedded example


@dataclass(frozen=True)
class Table:
    """A table of an experiment; a cell of None is a value that is undefined.

    Attributes:
        name: Of its file, without .csv.
        title: What it shows.
        columns: Names.
        rows: A cell for each column.
        compared: Pairs of columns (before, after): the page sets the second in bold where it is worse.
        larger_is_better: For these pairs.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    compared: tuple[tuple[int, int], ...] = ()
    larger_is_better: bool = True


def key(parse: Callable[[Any], Any], **default: Any) -> Any:
    """Return a dataclass field that is a key of a run file, checked by `parse`."""
    return dataclasses.field(metadata={"parse": parse}, **default)


def checked(kind: type[Record], values: Mapping[str, Any], what: str) -> Record:
    """Make a dataclass of `key` fields from values by name.

    Raises SemrsmError for a name that there is not, one that is missing, or a value that does not fit.

    >>> checked(Network, {"layer": "conv*"}, "key")
    Traceback (most recent call last):
        ...
    semrsm.errors.SemrsmError: there is no key 'layer': did you mean 'layers'? There are: layers, skip_tokens
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise SemrsmError(no_such(fields, name, what))
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in values:
            raise SemrsmError(f"the {what} '{name}' is missing; add it")
    return kind(**{name: fields[name].metadata["parse"](value) for name, value in values.items()})


def parse_text(name: str) -> Callable[[Any], str]:
    """Return a parser of texts that are not empty."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise SemrsmError(f"{name} must be a name, got {value!r}")
        return value

    return parse


def parse_activations(value: Any) -> str:
    """Return the path of an activation file; `digits` is the embedded example."""
    text = parse_text("activations")(value)
    return str(digits_path()) if text == EMBEDDED else text


def parse_matchers(value: Any) -> tuple[str, ...]:
    """Return names of at least two matchers; the others are compared with the first.

    >>> parse_matchers(["identity", "optimal"])
    ('identity', 'optimal')
    """
    names = tuple(dict.fromkeys(parse_names("matchers")(value)))
    if len(names) < 2:
        raise SemrsmError(
            f"matchers must be at least two, to compare, such as identity and optimal, got {value!r}"
        )
    return tuple(look_up(MATCHERS, name, "matcher").name for name in names)


def parse_table(name: str) -> Callable[[Any], dict[str, Any]]:
    """Return a parser of tables that are not empty, such as [networks.NAME]."""

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise SemrsmError(f"{name} must be a table with a row for each network, got {value!r}")
        return value

    return parse


@dataclass(frozen=True)
class Network:
    """One network of the activation file: which layers, and how many tokens at the front are skipped."""

    layers: tuple[str, ...] = key(parse_names("layers"))
    skip_tokens: int = key(parse_count("skip_tokens", 0), default=0)


def parse_networks(value: Any) -> dict[str, Network]:
    """Return the networks by name.

    >>> parse_networks({"vit": {"layers": "vit/block*", "skip_tokens": 1}})
    {'vit': Network(layers=('vit/block*',), skip_tokens=1)}
    """
    return {
        name: checked(Network, parse_table(name)(keys), f"key of [networks.{name}]")
        for name, keys in parse_table("networks")(value).items()
    }


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """The keys that the run file of every experiment has."""

    activations: str = key(parse_activations)
    networks: Mapping[str, Network] = key(parse_networks)
    matchers: tuple[str, ...] = key(parse_matchers)
    kernels: tuple[str, ...] = key(parse_kernels)

    def address(self, array: str) -> str:
        """Return `path::array` of an array of the activation file."""
        return f"{self.activations}::{array}"


@dataclass(frozen=True)
class Cell:
    """The place of one RSM in the tables."""

    network: str
    layer: str
    matcher: str
    kernel: str


Cells = Mapping[Cell, Evaluation]


@dataclass(frozen=True)
class Experiment:
    """A row of EXPERIMENTS.

    Attributes:
        name: The value of the key `experiment` of its run files.
        summary: One line.
        paper: Where in the paper it stands.
        reading: How to read its tables, a paragraph.
        run_file: The dataclass of its keys.
        evaluate: (run file, name of a network, its RSM files) -> an Evaluation for each RSM.
        tables: What is printed, in the paper's layout.
        pictures: (run file, cells) -> (suffix of the file's name, figure).
    """

    name: str
    summary: str
    paper: str
    reading: str
    run_file: type[RunFile]
    evaluate: Callable[[Any, str, Sequence[Path]], Iterator[Evaluation]]
    tables: Callable[[Any, Cells], list[Table]]
    pictures: Callable[[Any, Cells], Iterator[tuple[str, Figure]]]
