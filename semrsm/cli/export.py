"""`semrsm export`: RSMs as files that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.api.export import export as export_rsm
from semrsm.cli.completion import names_of
from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import ByPosition, JsonRecords, Layers, Memory, OneKernel
from semrsm.cli.outputs import refuse_read
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.export.targets import TARGETS

KINDS = "; ".join(f"{target.name}: {target.summary}" for target in TARGETS.values())


def export(
    rsm: Annotated[
        str,
        typer.Argument(
            metavar="RSM",
            help="Export this RSM file or plain matrix (.npy, .npz, .csv, HDF5); path::layer names a layer or"
            " a glob.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            help=f"Write this kind of file. {KINDS}.",
            metavar="|".join(TARGETS),
            autocompletion=names_of(TARGETS),
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Write to this file.", metavar="FILE")],
    layer: Layers = None,
    kernel: OneKernel = None,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="similarities|distances",
            help="Write similarities s, or distances: 1 - s of cosine and rbf, s_ii + s_jj - 2 s_ij of"
            " linear. (default: distances for rsatoolbox, net2brain and condensed)",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[::name]", help="Also write a label for each sample, where there is room."
        ),
    ] = None,
    by_position: ByPosition = False,
    memory: Memory = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    untrusted: Untrusted = False,
    json: JsonRecords = False,
) -> None:
    """Write RSMs as files that other tools read, with the ids of the samples.

    The file is written aside and renamed, by blocks of rows where the format allows it. Parquet and Zarr
    need libraries of the extra `export`; nothing else does.

    Example: semrsm export dump.rsm.h5 --to rsatoolbox -o dump.rdms.h5 --labels dump.h5::labels
    """
    refuse_read(out, (rsm, labels))
    read_first(untrusted, rsm, labels)
    records = export_rsm(
        rsm,
        out,
        to=to,
        layer=layer or (),
        kernel=kernel,
        values=values,
        labels=labels,
        by_position=by_position,
        memory=memory,
        overwrite=overwrite,
    )
    if json:
        print_json(records)
    else:
        print_table(list(records[0]), [list(record.values()) for record in records])
    for note in records.notes:
        say(note)
    say(f"wrote {out}")
