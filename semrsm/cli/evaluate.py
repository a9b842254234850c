"""`semrsm evaluate`: what an RSM is good for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import ByPosition
from semrsm.cli.process import CheckedCommand, ends_well
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compute.parsers import parse_memory
from semrsm.engine.kernels import KERNELS
from semrsm.evaluate.results import Evaluation, write_details
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views

Rsms = Annotated[
    list[str],
    typer.Argument(
        metavar="RSM...",
        help="RSM files or plain matrices (.npy, .npz, .csv, HDF5), or path::layer, a name or glob.",
        show_default=False,
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option("-l", "--layer", help="Layer or glob; may be repeated. (default: all)"),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "-k",
        "--kernel",
        help=f"{', '.join(KERNELS)}; may be repeated; finished where not stored. (default: stored)",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="May be taken, such as 4GiB. (default: half of all)"),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="TABLE.csv", help="Write the values of each query, or pair, here."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one record a value.")]


def retrieval(
    rsm: Rsms,
    labels: Annotated[
        str,
        typer.Option(
            help="Labels of the samples: FILE[::name], an array (n,), multi-hot (n, classes) or .csv."
        ),
    ],
    gallery_labels: Annotated[
        str | None, typer.Option(help="Labels of the columns, for RSMs of queries x gallery.")
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="k of f1@k, precision@k, recall@k; may be repeated. (default: 1 5 10)"
        ),
    ] = None,
    by_position: ByPosition = False,
    layer: Layers = None,
    kernel: Kernels = None,
    memory: Memory = None,
    out: Out = None,
    overwrite: Overwrite = False,
    untrusted: Untrusted = False,
    json: Json = False,
) -> None:
    """Say how well the nearest neighbours of each sample share its labels.

    A text table has one row a sample, labels separated by ';' or in further columns; a first column
    headed samples, sample, id or image holds ids, by which rows are found: the RSM must have ids too, or
    --by-position be said. Equal
    similarities are ranked in the order of the samples. An RSM is read by blocks of rows, so it may be
    larger than memory.

    Example: semrsm evaluate retrieval dump.rsm.h5 --labels dump.h5::labels --at 1 --at 10
    """
    read_first(untrusted, *rsm, labels, gallery_labels)
    found = evaluate_retrieval(
        rsm,
        labels,
        gallery_labels=gallery_labels,
        by_position=by_position,
        layers=tuple(layer or ()),
        kernels=tuple(kernel or ()),
        ks=tuple(at or (1, 5, 10)),
        memory=_bytes(memory),
    )
    _print(found, out, overwrite, json)


def predictions(
    rsm: Rsms,
    logits: Annotated[
        str | None, typer.Option(help="Logits (n, classes): FILE[::name]; softmaxed.")
    ] = None,
    probabilities: Annotated[
        str | None, typer.Option(help="Probabilities (n, classes) instead: FILE[::name].")
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples of the samples for 95 % intervals, such as 1000.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    by_position: ByPosition = False,
    layer: Layers = None,
    kernel: Kernels = None,
    memory: Memory = None,
    out: Out = None,
    overwrite: Overwrite = False,
    untrusted: Untrusted = False,
    json: Json = False,
) -> None:
    """Correlate the similarity of pairs with the Jensen-Shannon divergence of their predictions.

    The more negative, the better the RSM says which samples are predicted alike. Ranking needs 72 bytes
    of memory for each pair, 88 with --bootstrap.

    Example: semrsm evaluate predictions dump.rsm.h5 --logits dump.h5::logits --bootstrap 1000
    """
    if (logits is None) == (probabilities is None):
        raise typer.BadParameter("give one of the two", param_hint="--logits / --probabilities")
    read_first(untrusted, *rsm, logits, probabilities)
    found = evaluate_predictions(
        rsm,
        logits=logits,
        probabilities=probabilities,
        by_position=by_position,
        layers=tuple(layer or ()),
        kernels=tuple(kernel or ()),
        n_resamples=bootstrap,
        seed=seed,
        memory=_bytes(memory),
    )
    _print(found, out, overwrite, json)


def views(
    rsm: Rsms,
    views: Annotated[
        str,
        typer.Option(help="Which thing each sample is a view of: FILE[::name], (n,) or .csv."),
    ],
    by_position: ByPosition = False,
    layer: Layers = None,
    kernel: Kernels = None,
    memory: Memory = None,
    out: Out = None,
    overwrite: Overwrite = False,
    untrusted: Untrusted = False,
    json: Json = False,
) -> None:
    """Say how much more alike two views of one thing are than all other pairs.

    Where the pairs do not fit in memory the RSM is read several times, by blocks of rows.

    Example: semrsm evaluate views dump.rsm.h5 --views dump.h5::views
    """
    read_first(untrusted, *rsm, views)
    found = evaluate_views(
        rsm,
        views,
        by_position=by_position,
        layers=tuple(layer or ()),
        kernels=tuple(kernel or ()),
        memory=_bytes(memory),
    )
    _print(found, out, overwrite, json)


def _bytes(memory: str | None) -> int | None:
    return None if memory is None else parse_memory(memory)


def _print(
    evaluations: Iterator[Evaluation], out: Path | None, overwrite: bool, json: bool
) -> None:
    """Print one table with a row for each RSM, or records; say why values are missing."""
    if out is None:
        found = [evaluation.without_details() for evaluation in evaluations]
    else:
        found = write_details(out, evaluations, overwrite)
    if json:
        print_json([record for evaluation in found for record in evaluation.records()])
    else:
        columns = [*found[0].about, *found[0].values]
        print_table(columns, [[*e.about.values(), *e.values.values()] for e in found])
    for evaluation in found:
        for reason in dict.fromkeys(evaluation.reasons.values()):
            names = ", ".join(m for m, why in evaluation.reasons.items() if why == reason)
            say(f"{evaluation.rsm.address}: no {names}: {reason}")
    if out is not None:
        say(f"wrote {out}")


app = typer.Typer(no_args_is_help=True, help="Say what RSMs are good for.")
for command in (retrieval, predictions, views):
    app.command(cls=CheckedCommand)(ends_well(command))
