"""`semrsm report`: one page about RSMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.plot import parse_queries
from semrsm.cli.console import say
from semrsm.cli.flags import ByPosition
from semrsm.cli.outputs import check_outputs
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compute.parsers import parse_memory
from semrsm.plot.report import build_report
from semrsm.plot.request import PlotOptions
from semrsm.storage.whole_files import write_aside


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
    granted = None if memory is None else parse_memory(memory)
    options = PlotOptions(
        kernel=kernel,
        layers=tuple(layer) if layer else None,
        labels=labels,
        views=views,
        images=images,
        queries=parse_queries(queries),
        title=title,
        by_position=by_position or None,
    )
    page = build_report(inputs, options, table or (), granted, say)
    write_aside(
        out, page.encode("utf-8", "backslashreplace"), overwrite
    )  # names of files may be no UTF-8
    say(f"wrote {out}")
