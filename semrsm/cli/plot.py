"""`semrsm plot`: pictures of RSMs and of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.plot import plot as draw
from semrsm.cli.console import say
from semrsm.cli.flags import ByPosition
from semrsm.cli.outputs import check_outputs
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.plot.figures.canvas import check_suffix
from semrsm.plot.kinds import PLOTS

KINDS = "; ".join(f"{plot.name}: {plot.summary}" for plot in PLOTS.values())


def plot(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="RSM files or plain matrices, path or path::layer (or a glob); tables (CSV, JSON) for the"
            " kinds compare and curves.",
            metavar="RSM...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Picture to write.", metavar="FILE.png|.pdf|.svg")
    ],
    kind: Annotated[str, typer.Option(help=f"Which picture. {KINDS}.")] = "heatmap",
    layer: Annotated[
        list[str] | None, typer.Option("-l", "--layer", help="Layers to draw, names or globs.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "-k", "--kernel", help="Kernel to draw; the first that is stored if left out."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="A label for each sample: orders and colours.", metavar="FILE[::name]"),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Which thing each sample is a view of.", metavar="FILE[::name]"),
    ] = None,
    by_position: ByPosition = False,
    order: Annotated[
        str | None,
        typer.Option(
            help="Order of the samples; label if there are labels.", metavar="given|label|cluster"
        ),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Images of the samples.", metavar="FILE[::name]")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(help="Samples to retrieve images for, from 0.", metavar="0,5,7"),
    ] = None,
    neighbours: Annotated[
        int | None, typer.Option(help="Images to retrieve for each query; 5 if left out.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title above the picture.")] = None,
    vmin: Annotated[
        float | None,
        typer.Option(help="Value of the first colour. (default: from the values, or the measure)"),
    ] = None,
    vmax: Annotated[float | None, typer.Option(help="Value of the last colour.")] = None,
    own_scales: Annotated[
        bool,
        typer.Option(
            "--own-scales", help="A colour scale for each heat map; else one for all of a kernel."
        ),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Memory that may be taken, such as 4GiB. (default: half of all)"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the picture.")] = False,
    untrusted: Untrusted = False,
) -> None:
    """Draw RSMs, or tables of comparisons and evaluations, as PNG, PDF or SVG.

    Heat maps of one kernel share a colour scale (of the linear kernel, those of one layer); tables of a
    measure have the colours of its range. An RSM of more than 2000 samples, or of 600 in a grid of
    several, is drawn as a heat map of the means of its entries over square cells, read by blocks of rows.
    The kinds side-by-side, mds and dendrogram and the order cluster need whole RSMs, and are refused with
    the number needed where these do not fit.

    Example: semrsm plot digits.rsm.h5 -o layer3.png -l '*layer3' --labels digits.h5::labels
    """
    check_suffix(out)
    check_outputs((out,), (*inputs, labels, views, images), overwrite)
    read_first(untrusted, *inputs, labels, views, images)
    draw(
        inputs,  # type: ignore[arg-type]  # a list of texts is one of RSMs
        out=out,
        kind=kind,
        layer=layer or (),
        kernel=kernel,
        labels=labels,
        views=views,
        by_position=by_position,
        order=order,
        images=images,
        queries=queries,
        neighbours=neighbours,
        title=title,
        vmin=vmin,
        vmax=vmax,
        own_scales=own_scales,
        memory=memory,
        overwrite=overwrite,
        on_note=say,
    )
    say(f"wrote {out}")
