"""`semrsm compare`: how alike RSMs are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from semrsm.api.arguments import Records
from semrsm.api.compare import compare as compare_rsms
from semrsm.cli.completion import names_of
from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import ByPosition, JsonRecords, Layers, Memory, OneKernel
from semrsm.cli.outputs import check_outputs
from semrsm.cli.progress import progress
from semrsm.cli.resampling import Bootstrap, Clusters, Interval
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compare import DEFAULT_MEASURES
from semrsm.compare.models import file_of
from semrsm.engine.kernels import KERNELS
from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.measures.rdm import RDMS
from semrsm.plot import draw_comparison, save_figure
from semrsm.plot.figures.canvas import check_suffix
from semrsm.storage.tables import write_table

Record = dict[str, Any]

FOR_PEOPLE = (
    *("measure", "value", "low", "high", "p"),
    *("difference", "difference_low", "difference_high", "difference_p"),
    *("lower", "upper"),
)  # columns of every table for people


def compare(
    rsm: Annotated[
        list[str],
        typer.Argument(
            metavar="RSM...",
            help="Compare these RSM files or plain matrices (.npy, .npz, .csv, HDF5); path::layer names a"
            " layer or a glob, labels:FILE::name a model RSM.",
            show_default=False,
        ),
    ],
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Compute this measure: {', '.join(MEASURES)}; may be repeated."
            f" (default: {' '.join(DEFAULT_MEASURES)})",
            autocompletion=names_of(MEASURES),
        ),
    ] = None,
    kernel: OneKernel = None,
    kernel_b: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take another kernel for the second of two files.",
            autocompletion=names_of(KERNELS),
        ),
    ] = None,
    layer: Layers = None,
    matched_layers: Annotated[
        bool, typer.Option("--matched-layers", help="Compare only layers with equal names.")
    ] = False,
    distance: Annotated[
        bool,
        typer.Option(
            "--distance", help="Read plain matrices as distances D; they are compared as -D/2."
        ),
    ] = False,
    align: Annotated[
        bool,
        typer.Option("--align", help="Take the samples that all have, matched by their ids."),
    ] = False,
    by_position: ByPosition = False,
    rdm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Let rsa-* and cosine correlate these distances: {', '.join(RDMS)}. (default: none)",
            autocompletion=names_of(RDMS),
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Count K nearest neighbours in mutual-knn, jaccard-knn and cknna. (default: 10)",
        ),
    ] = None,
    noise_ceiling: Annotated[
        bool,
        typer.Option(
            "--noise-ceiling",
            help="Compare RSMs of one kind (subjects, seeds) with their mean instead of each other.",
        ),
    ] = False,
    bootstrap: Bootstrap = 0,
    interval: Interval = None,
    clusters: Clusters = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RSM",
            help="Also print the difference to this RSM, or its layer of the same name, put in place of"
            " the first.",
        ),
    ] = None,
    permutations: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Print p-values from N random orders of the samples, such as 1000.",
        ),
    ] = 0,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Draw resamples and orders with this seed.")
    ] = 0,
    memory: Memory = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="TABLE.csv", help="Write the table here, too."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|.pdf|.svg", help="Draw the table as heat maps here, too."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace table and picture if they exist.")
    ] = False,
    untrusted: Untrusted = False,
    json: JsonRecords = False,
) -> None:
    """Say how alike RSMs are: two files layer by layer, or many models with each other.

    A value that is undefined, such as that of a constant RSM, is left empty, with the reason on stderr;
    if no value is defined the exit code is 1. docs/intervals.md tells how intervals are made and how far
    to trust them; p is two-sided.

    Example: semrsm compare resnet.rsm.h5 vit.rsm.h5 --measure cka-debiased --bootstrap 1000
    """
    if plot is not None:
        check_suffix(plot)
    inputs = [*map(file_of, rsm), clusters, baseline]
    check_outputs((out, plot), inputs, overwrite)
    read_first(untrusted, *inputs)
    if noise_ceiling and plot is not None:
        raise SemrsmError("a noise ceiling takes no --plot; leave that out")
    with progress("layers" if noise_ceiling else "values") as on_progress:
        records = compare_rsms(
            rsm,  # type: ignore[arg-type]  # a list of texts is one of RSMs
            measure=measure or (),
            kernel=kernel,
            kernel_b=kernel_b,
            layer=layer or (),
            matched_layers=matched_layers,
            distance=distance,
            align=align,
            by_position=by_position,
            rdm=rdm,
            neighbours=neighbours,
            noise_ceiling=noise_ceiling,
            bootstrap=bootstrap,
            interval=interval,
            clusters=clusters,
            baseline=baseline,
            permutations=permutations,
            seed=seed,
            memory=memory,
            on_progress=on_progress,
        )
    _show(records, json, out, overwrite)
    if plot is not None:
        save_figure(draw_comparison(records), plot, overwrite)
        say(f"wrote {plot}")


def _show(records: Records, json: bool, out: Path | None, overwrite: bool) -> None:
    """Print a table and what is to be known of it, and write it where it is wanted."""
    _print(records, json)
    for note in records.notes:
        say(note)
    for reason in dict.fromkeys(r["reason"] for r in records if r["reason"]):
        say(f"undefined: {reason}")
    if out is not None:
        write_table(out, list(records[0]), [list(r.values()) for r in records], overwrite)
        say(f"wrote {out}")


def _print(records: Sequence[Record], json: bool) -> None:
    if json:
        print_json(records)
    elif not sys.stdout.isatty():
        print_table(list(records[0]), [list(r.values()) for r in records])
    else:
        grids = grids_of(records) if "a" in records[0] else []
        for title, columns, rows in grids or [list_of(records)]:
            print_table(columns, rows, title)


def list_of(records: Sequence[Record]) -> tuple[str, list[str], list[list[Any]]]:
    """Return (title, columns, rows) of a table for people: what all rows have in common is its title."""
    shared = {k for k in records[0] if k not in FOR_PEOPLE and len({r[k] for r in records}) == 1}
    title = ", ".join(f"{k} {records[0][k]}" for k in records[0] if k in shared and records[0][k])
    columns = [k for k in records[0] if k not in shared]
    return title, columns, [[r[k] for k in columns] for r in records]


def grids_of(
    records: Sequence[Record],
) -> list[tuple[str, list[str], list[list[Any]]]]:
    """Return (title, columns, rows) of a table for each measure, of layers by layers, for people.

    There is none where a grid cannot hold all: intervals and p-values, or pairs of equal layers only.
    """
    places = [((r["a"], r["layer_a"]), (r["b"], r["layer_b"])) for r in records]
    rows, columns = (list(dict.fromkeys(place[side] for place in places)) for side in (0, 1))
    measures = list(dict.fromkeys(r["measure"] for r in records))
    whole = len(records) == len(rows) * len(columns) * len(measures)
    if len(columns) < 2 or not whole or {"low", "p", "difference"} & set(records[0]):
        return []
    values = {(r["measure"], *place): r["value"] for r, place in zip(records, places, strict=True)}
    return [
        (
            f"{measure}{', ' + records[0]['kernel'] if records[0]['kernel'] else ''}",
            ["", *_names(columns)],
            [
                [name, *(values[measure, row, column] for column in columns)]
                for name, row in zip(_names(rows), rows, strict=True)
            ],
        )
        for measure in measures
    ]


def _names(places: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return what rows or columns are called: the layer, the file, or both, as they differ."""
    one_file = len({path for path, _ in places}) == 1
    one_layer = len({layer for _, layer in places}) == 1
    return [
        (layer or path) if one_file else path if one_layer or layer is None else f"{path}::{layer}"
        for path, layer in places
    ]
