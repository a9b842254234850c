"""The command line: a list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from semrsm.cli.compare import compare
from semrsm.cli.compute import compute
from semrsm.cli.console import printable
from semrsm.cli.demo import demo
from semrsm.cli.evaluate import app as evaluate
from semrsm.cli.export import export
from semrsm.cli.finish import finish
from semrsm.cli.info import info
from semrsm.cli.methods import methods
from semrsm.cli.pair import pair
from semrsm.cli.plot import plot
from semrsm.cli.process import CheckedCommand, ends_well, run_process
from semrsm.cli.record import record
from semrsm.cli.report import report
from semrsm.cli.reproduce import reproduce
from semrsm.cli.status import status
from semrsm.version import __version__

COMMANDS = (
    record,
    compute,
    finish,
    status,
    info,
    methods,
    pair,
    compare,
    export,
    plot,
    report,
    demo,
    reproduce,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command(cls=CheckedCommand)(ends_well(command))
app.add_typer(evaluate, name="evaluate")


def _print_version(verbose: bool) -> None:
    """Print the version; if `verbose`, also what a report of a fault needs to say."""
    print(f"semrsm {__version__}")
    if not verbose:
        return
    from semrsm.cli.bug_report import bug_report

    for name, value in bug_report():
        print(name, printable(value))


@app.callback(invoke_without_command=True)
def describe(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: also print what a bug report needs.")
    ] = False,
) -> None:
    """How similar images look to a network: semantic RSMs from saved activations.

    Data goes to stdout (tab-separated when piped, JSON with --json), talk to stderr. Exit codes:
    0 done, 1 the data or the run failed, 2 wrong usage, 130 interrupted.

    Example: semrsm compute dump.h5 -o dump.rsm.h5 --matcher optimal --kernel cosine
    """
    if version:
        _print_version(verbose)
        raise typer.Exit
    if verbose:
        raise typer.BadParameter("it goes with --version", param_hint="--verbose")


def main() -> None:
    """Run the command line."""
    run_process(app)
