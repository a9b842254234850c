"""`semrsm report`: one page about RSMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.report import report as write_report
from semrsm.cli.console import say
from semrsm.cli.flags import ByPosition
from semrsm.cli.outputs import check_outputs
from semrsm.cli.untrusted import Untrusted, read_first


def report(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="RSM files or plain matrices, path or path::layer (or a glob).",
            metavar="RSM...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Page to write.", metavar="FILE.html")],
    layer: Annotated[
        list[str] | None, typer.Option("-l", "--layer", help="Layers to show, names or globs.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "-k", "--kernel", help="Kernel to show; the first that is stored if left out."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="A label for each sample.", metavar="FILE[::name]")
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Which thing each sample is a view of.", metavar="FILE[::name]"),
    ] = None,
    by_position: ByPosition = False,
    images: Annotated[
        str | None, typer.Option(help="Images of the samples.", metavar="FILE[::name]")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(help="Samples to retrieve images for; the first three.", metavar="0,5,7"),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Table of semrsm compare -o, or of evaluate -o.", metavar="FILE.csv"),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Memory that may be taken, such as 4GiB. (default: half of all)"
        ),
    ] = None,
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
