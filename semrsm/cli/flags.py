"""Flags made from the table of options, so that a command, a run file and Python name the same ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from semrsm.cli.completion import Completions, complete_layers, complete_matchers, names_of
from semrsm.compute.options import FIELDS
from semrsm.compute.parsers import parse_memory
from semrsm.engine.kernels import KERNELS
from semrsm.engine.positions import LAYOUTS

COMPLETED: dict[str, Callable[..., Completions]] = {
    "layer": complete_layers,
    "kernel": names_of(KERNELS),
    "matcher": complete_matchers,
    "layout": names_of(LAYOUTS),
}
"""Options of a run whose values a shell completes."""

ByPosition = Annotated[
    bool,
    typer.Option(
        "--by-position", help="Take row i for sample i everywhere, whatever ids and records say."
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "-l",
        "--layer",
        metavar="NAME|GLOB",
        help="Take this layer, or those of a glob; may be repeated. (default: all)",
        autocompletion=complete_layers,
    ),
]
OneKernel = Annotated[
    str | None,
    typer.Option(
        "-k",
        "--kernel",
        metavar="NAME",
        help=f"Take this kernel: {', '.join(KERNELS)}; it is finished where it is not stored."
        " (default: the first that is stored)",
        autocompletion=names_of(KERNELS),
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(metavar="FILE[::name]", help="Order and colour the samples by these labels."),
]
Views = Annotated[
    str | None,
    typer.Option(metavar="FILE[::name]", help="Read here which thing each sample is a view of."),
]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="FILE[::name]|DIR",
        help="Show these images, one for each sample, or those of a folder that the ids name.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Stay under this much memory, such as 4GiB. (default: half of what there is)",
    ),
]
JsonRecords = Annotated[bool, typer.Option("--json", help="Print JSON, one record for each value.")]

Command = TypeVar("Command", bound=Callable[..., Any])


def takes_options(*names: str) -> Callable[[Command], Command]:
    """Give a command the flags of some options; it gets those that were given as `**options`.

    The command's own last parameter is `**options`; typer sees the flags in its stead.
    """

    def decorate(command: Command) -> Command:
        own, flags = _own(command), [_parameter(name) for name in names]
        # An argument stands before the flags, the other flags of the command behind them.
        first = [p for p in own if p.default is p.empty]
        return _seen_with(command, [*first, *flags, *own[len(first) :]])

    return decorate


def takes_flags_of(shared: Callable[..., Any]) -> Callable[[Command], Command]:
    """Give a command the flags that are the keyword-only parameters of `shared`, behind its own.

    The command's own last parameter is `**flags`, which it hands on.
    """
    parameters = inspect.signature(shared, eval_str=True).parameters.values()
    flags = [
        p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in parameters if p.kind is p.KEYWORD_ONLY
    ]
    return lambda command: _seen_with(command, [*_own(command), *flags])


def _own(command: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return [p for p in parameters if p.kind is not p.VAR_KEYWORD]


def _seen_with(command: Command, parameters: list[inspect.Parameter]) -> Command:
    """Have typer see these parameters instead of the command's own."""
    signature = inspect.signature(command).replace(parameters=parameters)
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ |= {p.name: p.annotation for p in parameters}
    return command


def chosen_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, not those that are None, an empty list or False."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and value != []
    }


def bytes_of(memory: str | None) -> int | None:
    """Return what --memory grants, in bytes; None where it was not given."""
    return None if memory is None else parse_memory(memory)


def _parameter(name: str) -> inspect.Parameter:
    about = FIELDS[name].metadata
    long = f"--{name.replace('_', '-')}"
    flags = [about["short"], long] if about["short"] else [long]
    option = typer.Option(
        *flags,
        help=about["help"],
        metavar=about["metavar"],
        show_default=False,
        autocompletion=COMPLETED.get(name),
    )
    kind = about["kind"]
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, option],
    )
