"""`semrsm plot`: pictures of RSMs and of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.plot import plot as draw
from semrsm.cli.completion import names_of
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
from semrsm.plot.figures.canvas import check_suffix
from semrsm.plot.kinds import PLOTS

KINDS = "; ".join(f"{plot.name}: {plot.summary}" for plot in PLOTS.values())


def plot(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Draw these RSM files or plain matrices; path::layer names a layer or a glob. The kinds"
            " compare and curves take tables (CSV, JSON).",
            metavar="RSM...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Write the picture here.", metavar="FILE.png|.pdf|.svg"),
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", help=f"Draw this picture. {KINDS}.", autocompletion=names_of(PLOTS)
        ),
    ] = "heatmap",
    layer: Layers = None,
    kernel: OneKernel = None,
    labels: Labels = None,
    views: Views = None,
    by_position: ByPosition = False,
    order: Annotated[
        str | None,
        typer.Option(
            help="Order the samples like this. (default: label if there are labels, else given)",
            metavar="given|label|cluster",
        ),
    ] = None,
    images: Images = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Retrieve images for these samples: their numbers, counted from 0, or ids.",
            metavar="0,5,ID",
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(metavar="K", help="Retrieve K images for each query. (default: 5)"),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Write this title above the picture.")
    ] = None,
    vmin: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Give this value the first colour. (default: from the values, or the measure)",
        ),
    ] = None,
    vmax: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Give this value the last colour.")
    ] = None,
    own_scales: Annotated[
        bool,
        typer.Option(
            "--own-scales",
            help="Give each heat map a colour scale of its own, not one for all of a kernel.",
        ),
    ] = False,
    memory: Memory = None,
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
