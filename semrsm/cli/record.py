"""`semrsm record`: a model and images -> activation file."""

from __future__ import annotations

from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.progress import progress
from semrsm.errors import SemrsmError
from semrsm.storage.whole_files import refuse_inputs


def record(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Run this model: torchvision:NAME, timm:NAME, hf:NAME or FILE.py:function.",
            show_default=False,
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            help="Run it over this folder of images, or over FILE.h5::array.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write this activation file.", metavar="ACTS.h5"),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "-l",
            "--layer",
            help="Record this module, or those of a glob (* matches no dot, ** any depth); may be repeated.",
            metavar="NAME|GLOB",
            show_default=False,
        ),
    ] = None,
    list_layers: Annotated[
        bool,
        typer.Option(
            "--list-layers", help="Only print name, type and output shape of the modules."
        ),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Take weights from safetensors or a state dict, or draw random ones. (default: the library's"
            " own, from its cache)",
            metavar="FILE|random",
            show_default=False,
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="Record two views of each image, N pixels above each other.",
            metavar="translate:N",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Store float16, bfloat16 or float32.", metavar="TYPE")
    ] = "float16",
    compression: Annotated[
        str | None,
        typer.Option(help="Compress with gzip or lzf.", metavar="NAME", show_default=False),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Read outputs with as many axes as nchw, nhwc, ntd or ndt. (default: from the module)",
            metavar="LAYOUT",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Run N samples at once.", metavar="N")] = 32,
    device: Annotated[
        str, typer.Option(help="Run on cpu, cuda or cuda:N.", metavar="DEVICE")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Draw random weights with this seed.", metavar="N")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file; begin an unfinished one anew.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a model over images and record the outputs of its modules in an activation file.

    A run that was stopped goes on when the same command is given again. Nothing is downloaded: weights
    come from a file or from the cache of the library.

    Example: semrsm record torchvision:resnet18 --images photos -o acts.h5 -l 'layer*'
    """
    from semrsm.record.models import load_model
    from semrsm.record.run import LayerRow, RecordOptions, record_images
    from semrsm.record.run import list_layers as layers_of

    if not list_layers:
        for value, flag, what in (
            (images, "--images", "the images"),
            (out, "-o", "the file to write"),
            (layer, "-l", "the layers (--list-layers prints them)"),
        ):
            if not value:
                raise typer.BadParameter(f"name {what}", param_hint=flag)
    if out is not None and weights is not None:
        refuse_inputs(out, [Path(weights)])
    shift = None if views is None else parse_views(views)
    loaded = load_model(model, "random" if list_layers and weights is None else weights, seed)
    if list_layers:
        rows, shape = layers_of(loaded, layer or (), images)
        size = "x".join(map(str, shape))
        why = f"the first of {images}" if images else "name yours with `images`"
        say(f"shapes are those for an input of {size} ({why})")
        if json:
            print_json([asdict(row) for row in rows])
        else:
            print_table([field.name for field in fields(LayerRow)], [astuple(row) for row in rows])
        return
    assert images is not None
    assert out is not None
    options = RecordOptions(layer or (), dtype, compression, layout, batch, device, shift, seed)
    with progress("samples") as on_progress:
        report = record_images(
            loaded, images, out, options, overwrite=overwrite, on_progress=on_progress
        )
    if report.resumed:
        say(f"{report.resumed} of the samples were recorded before")
    if json:
        print_json(report.as_json())
        return
    say(f"wrote {out}: {report.samples} samples of {', '.join(report.layers)}")


def parse_views(text: str) -> int:
    """Return how many pixels lie between two views.

    >>> parse_views("translate:8")
    8
    """
    name, _, pixels = text.partition(":")
    if name != "translate" or not pixels.isdecimal() or int(pixels) < 1:
        raise SemrsmError(f"--views takes translate:N with N pixels, not '{text}'; change it")
    return int(pixels)
