"""`semrsm finish`: the tiles of shards -> RSM file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from semrsm.cli.compute import print_reports
from semrsm.cli.console import print_json, say
from semrsm.cli.flags import chosen_options, takes_options
from semrsm.compute.options import options_of
from semrsm.compute.shards import finish_shards


@takes_options("kernel", "sigma", "memory", "overwrite")
def finish(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT.rsm.h5", help="Write this RSM file.", show_default=False),
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Read these run folders. (default: OUT.run)"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    **options: Any,
) -> None:
    """Write the RSM file of a run whose shards are done, and remove its run folders.

    If tiles are missing it names them, with the command that computes them.

    Example: semrsm finish dump.rsm.h5 -k cosine -k rbf
    """
    command = shlex.join(["semrsm", *sys.argv[1:]])
    report = finish_shards(out, folders or [], options_of(chosen_options(options)), command)
    for note in (note for layer in report.layers for note in layer.notes):
        say(note)
    if json:
        print_json(report.as_json())
        return
    print_reports(report.layers)
    say(f"wrote {out}")
