"""`semrsm report`: one page about RSMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.report import report as write_report
from semrsm.cli.console import say
from semrsm.cli.flags import (
    ByPosition,
    Images,
    Labels,
    Layers,
    Memory,
    OneKernel,
    Views,
)
from semrsm.cli.outputs import check_outputs
from semrsm.cli.untrusted import Untrusted, read_first


def report(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Show these RSM files or plain matrices; path::layer names a layer or a glob.",
            metavar="RSM...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Write the page here.", metavar="FILE.html")
    ],
    layer: Layers = None,
    kernel: OneKernel = None,
    labels: Labels = None,
    views: Views = None,
    by_position: ByPosition = False,
    images: Images = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Retrieve images for these samples: their numbers, counted from 0, or ids."
            " (default: the first three)",
            metavar="0,5,ID",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="Show this table of semrsm compare -o or evaluate -o; may be repeated.",
            metavar="FILE.csv",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Give the page this title.")
    ] = None,
    memory: Memory = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
    untrusted: Untrusted = False,
) -> None:
    """Write one self-contained HTML page: what the RSMs are, how they were made, and pictures.

    It holds no script and refers to nothing outside of it. A picture that does not fit in memory is left
    out, and the page says how much it needs.

    Example: semrsm report identity.rsm.h5 optimal.rsm.h5 -o report.html --labels dump.h5::labels
    """
    read = (*inputs, labels, views, images)
    check_outputs((out,), (*read, *(table or ())), overwrite)
    read_first(untrusted, *read)
    write_report(
        inputs,  # type: ignore[arg-type]  # a list of texts is one of RSMs
        out=out,
        layer=layer or (),
        kernel=kernel,
        labels=labels,
        views=views,
        by_position=by_position,
        images=images,
        queries=queries,
        table=table or (),
        title=title,
        memory=memory,
        overwrite=overwrite,
        on_note=say,
    )
    say(f"wrote {out}")
