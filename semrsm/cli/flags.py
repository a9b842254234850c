"""Flags made from the table of options, so that a command, a run file and Python name the same ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from semrsm.compute.options import FIELDS

ByPosition = Annotated[
    bool,
    typer.Option(
        "--by-position", help="Row i is of sample i everywhere, whatever ids and records say."
    ),
]

Command = TypeVar("Command", bound=Callable[..., Any])


def takes_options(*names: str) -> Callable[[Command], Command]:
    """Give a command the flags of some options; it gets those that were given as `**options`.

    The command's own last parameter is `**options`; typer sees the flags in its stead.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = [_parameter(name) for name in names]
        # An argument stands before the flags, the other flags of the command behind them.
        first = [p for p in own if p.default is p.empty]
        parameters = [*first, *made, *own[len(first) :]]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ |= {p.name: p.annotation for p in made}
        return command

    return decorate


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, not those that are None, an empty list or False."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and value != []
    }


def _parameter(name: str) -> inspect.Parameter:
    about = FIELDS[name].metadata
    long = f"--{name.replace('_', '-')}"
    flags = [about["short"], long] if about["short"] else [long]
    option = typer.Option(*flags, help=about["help"], metavar=about["metavar"], show_default=False)
    kind = about["kind"]
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, option],
    )
