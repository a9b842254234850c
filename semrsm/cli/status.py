"""`semrsm status`: how far a run is."""

from __future__ import annotations

import shlex
from dataclasses import astuple, fields
from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_json, print_table, say, seconds_for_people
from semrsm.compute.status import LayerStatus, RunStatus, run_status
from semrsm.storage.run_folder import run_folder_of


def status(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.rsm.h5",
            help="Look at the run that writes this RSM file.",
            show_default=False,
        ),
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Read these run folders. (default: OUT.run)"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how far a run is: tiles done and missing, rate and time left.

    It reads the run folder only, so it can be asked from another terminal or machine.

    Example: semrsm status dump.rsm.h5
    """
    run = run_status(out, folders or ())
    if json:
        print_json(run.as_json())
        return
    if not run.folders:
        say(f"{out} is finished")
        return
    columns = [field.name for field in fields(LayerStatus)]
    print_table(columns, [astuple(layer) for layer in run.layers])
    say(_in_words(run))


def _finish(run: RunStatus) -> str:
    """Return the command that writes the file."""
    out = Path(run.output)
    beside = run.folders == [str(run_folder_of(out))]
    return shlex.join(["semrsm", "finish", str(out), *([] if beside else run.folders)])


def _in_words(run: RunStatus) -> str:
    missing = sum(layer.tiles_missing for layer in run.layers)
    if not missing:
        sentence = f"all tiles are there; to write the file: {_finish(run)}"
    elif run.pairs_per_second is None or run.seconds_left is None:
        sentence = f"{missing} tiles are missing; the rate is not known yet"
    else:
        sentence = (
            f"{missing} tiles are missing, {run.pairs_per_second:.4g} pairs/s,"
            f" {seconds_for_people(run.seconds_left)} left at that rate"
        )
    if run.seconds_since_last_tile is not None:
        sentence += f"; the last tile came {seconds_for_people(run.seconds_since_last_tile)} ago"
    return sentence + (f"; at work: {run.at_work}" if run.at_work else "")
