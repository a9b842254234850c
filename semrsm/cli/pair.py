"""`semrsm pair`: two samples under every kernel, and which of their positions match."""

from __future__ import annotations

import io
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from semrsm.cli.completion import complete_layers, complete_matchers
from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import chosen_options, takes_options
from semrsm.cli.outputs import check_outputs
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compute.pair import Pair, PairValue, compare_pair
from semrsm.plot.figures.canvas import check_suffix, save_figure
from semrsm.plot.figures.matching import draw_matching
from semrsm.plot.inputs import read_ids, read_images
from semrsm.storage.whole_files import write_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@takes_options("skip_tokens")
def pair(
    activations: Annotated[
        str,
        typer.Argument(
            metavar="ACTIVATIONS",
            help="Read this activation file or folder; path::layer names a layer.",
            show_default=False,
        ),
    ],
    i: Annotated[
        str,
        typer.Argument(
            metavar="I",
            help="Take this sample: its number, counted from 0, or its id.",
            show_default=False,
        ),
    ],
    j: Annotated[
        str, typer.Argument(metavar="J", help="Take this other sample.", show_default=False)
    ],
    layer: Annotated[
        str | None,
        typer.Option(
            "-l",
            "--layer",
            metavar="NAME",
            help="Take this layer; needed where the file holds several.",
            autocompletion=complete_layers,
        ),
    ] = None,
    matcher: Annotated[
        str,
        typer.Option(
            "-m",
            "--matcher",
            metavar="NAME",
            help="Match positions in this way; `semrsm methods` lists all.",
            autocompletion=complete_matchers,
        ),
    ] = "optimal",
    sigma: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER", help="Also print rbf, with this width. (default: rbf is left out)"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Match on auto, cpu, cuda or cuda:N. (default: cpu)"),
    ] = None,
    matching: Annotated[
        Path | None,
        typer.Option(
            help="Save the permutation: (S,) int64, the position of J for each position of I.",
            metavar="OUT.npy",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw both grids with matched positions in one colour and lines between the strongest."
            " Tokens whose number is a square are drawn as a square, row by row.",
            metavar="FILE.png|.pdf|.svg",
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="Draw the lines over these images; of a folder those that the ids name.",
            metavar="FILE[::name]|DIR",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace matching and picture if they exist.")
    ] = False,
    untrusted: Untrusted = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **options: Any,
) -> None:
    """Compare two samples under every kernel: the same positions, and those that a matcher matches.

    Example: semrsm pair digits.h5 0 10 -l resnet/layer2 --plot match.png --images digits.h5::images
    """
    if images and not plot:
        raise typer.BadParameter("images are for the picture; name it with --plot FILE.png")
    if plot:
        check_suffix(plot)
    check_outputs((matching, plot), (activations, images), overwrite)
    read_first(untrusted, activations, images)
    result = compare_pair(
        activations,
        i,
        j,
        layer=layer,
        matcher=matcher,
        sigma=sigma,
        **chosen_options({"device": device, **options}),
    )
    figure = _draw(result, activations, images) if plot else None
    if matching:
        content = io.BytesIO()
        np.save(content, result.matching()[0])
        write_aside(matching, content.getvalue(), overwrite)
    if plot and figure:
        save_figure(figure, plot, overwrite)
    if json:
        print_json([value.as_json() for value in result.values])
    else:
        print_table([f.name for f in fields(PairValue)], [astuple(v) for v in result.values])
    for path in filter(None, (matching, plot)):
        say(f"wrote {path}")


def _draw(result: Pair, activations: str, images: str | None) -> Figure:
    permutation, strength = result.matching()
    first = result.values[0]
    [cosine] = [value for value in result.values if value.kernel == "cosine"]
    title = f"{first.layer}, matcher {first.matcher}"
    if cosine.matched is not None:
        title += f": cosine {cosine.matched:.3f} ({cosine.identity:.3f} at the same positions)"
    ids, pictures = read_ids(activations, result.n_samples), None
    if images:
        by_sample = read_images(images, (first.i, first.j), result.n_samples, ids=ids)
        pictures = by_sample[first.i], by_sample[first.j]
    names = [ids[k] if ids else f"sample {k}" for k in (first.i, first.j)]
    return draw_matching(
        permutation,
        strength,
        result.drawn_grid(),
        (names[0], names[1]),
        title,
        pictures,
    )
