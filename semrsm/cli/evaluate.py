"""`semrsm evaluate`: what an RSM is good for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from semrsm.api.arguments import inference_in
from semrsm.cli.completion import names_of
from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import ByPosition, JsonRecords, Layers, Memory, bytes_of, takes_flags_of
from semrsm.cli.outputs import check_outputs
from semrsm.cli.process import CheckedCommand, ends_well
from semrsm.cli.progress import progress
from semrsm.cli.resampling import (
    Baseline,
    Bootstrap,
    Clusters,
    Interval,
    Seed,
)
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.engine.kernels import KERNELS
from semrsm.evaluate import EVALUATIONS
from semrsm.evaluate.results import Evaluation, write_details
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.storage.labels import views_beside
from semrsm.storage.tables import write_table

Rsms = Annotated[
    list[str],
    typer.Argument(
        metavar="RSM...",
        help="Evaluate these RSM files or plain matrices (.npy, .npz, .csv, HDF5); path::layer names a"
        " layer or a glob.",
        show_default=False,
    ),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "-k",
        "--kernel",
        metavar="NAME",
        help=f"Take this kernel: {', '.join(KERNELS)}; may be repeated; it is computed where it is not"
        " stored. (default: those that are stored)",
        autocompletion=names_of(KERNELS),
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="TABLE.csv", help="Write the table here, too."),
]
Details = Annotated[
    Path | None,
    typer.Option(
        "--details", metavar="FILE.csv", help="Write the values of each query, or pair, here."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


def _evaluate(
    evaluate: Callable[..., Iterator[Evaluation]],
    rsms: list[str],
    inputs: tuple[str | None, ...],
    *,
    by_position: ByPosition = False,
    bootstrap: Bootstrap = 0,
    interval: Interval = None,
    clusters: Clusters = None,
    baseline: Baseline = None,
    seed: Seed = 0,
    layer: Layers = None,
    kernel: Kernels = None,
    memory: Memory = None,
    out: Out = None,
    details: Details = None,
    overwrite: Overwrite = False,
    untrusted: Untrusted = False,
    json: JsonRecords = False,
) -> None:
    """Do what every evaluation does; the keywords are the flags that all of them have.

    Args:
        evaluate: A function of evaluate.run, given what is its own.
        rsms: What it is given first.
        inputs: The other files that it reads.
    """
    read = (*rsms, *inputs, clusters, baseline)
    check_outputs((out, details), read, overwrite)
    read_first(untrusted, *read)
    with progress("resamples") as on_progress:
        evaluations = evaluate(
            rsms,
            by_position=by_position,
            layers=tuple(layer or ()),
            kernels=tuple(kernel or ()),
            inference=inference_in(bootstrap, 0, seed, interval),
            clusters=clusters,
            baseline=baseline,
            memory=bytes_of(memory),
            on_progress=on_progress,
        )
        if details is None:
            results = [evaluation.without_details() for evaluation in evaluations]
        else:
            results = write_details(details, evaluations, overwrite)
    columns = list(dict.fromkeys(name for e in results for name in (*e.about, *e.values)))
    rows = [[{**e.about, **e.values}.get(name) for name in columns] for e in results]
    if json:
        print_json([record for evaluation in results for record in evaluation.records()])
    else:
        print_table(columns, rows)
    if out is not None:
        write_table(out, columns, rows, overwrite)
    _say_what_is_missing(results)
    for path in filter(None, (out, details)):
        say(f"wrote {path}")


def _say_what_is_missing(results: list[Evaluation]) -> None:
    """Say why values are missing, and what else there is to know of them; once for RSMs that share it."""
    addresses: dict[str, list[str]] = {}
    for evaluation in results:
        for reason in dict.fromkeys(evaluation.reasons.values()):
            names = [name for name, why in evaluation.reasons.items() if why == reason]
            missing = f"no {', '.join(_without_ends(names))}: {reason}"
            addresses.setdefault(missing, []).append(evaluation.rsm.address)
    for missing, of in addresses.items():
        every = len(of) == len(results) > 1
        say(f"{f'all {len(of)} RSMs' if every else ', '.join(of)}: {missing}")
    for note in dict.fromkeys(note for evaluation in results for note in evaluation.notes):
        say(note)


def _without_ends(names: list[str]) -> list[str]:
    """Return names with the two ends of an interval as one.

    >>> _without_ends(["map-low", "map-high", "map-difference-low", "map-difference-high"])
    ['interval of map, map-difference']
    """
    intervals = [name.removesuffix("-low") for name in names if name.endswith("-low")]
    ends = {f"{name}-{end}" for name in intervals for end in ("low", "high")}
    others = [name for name in names if name not in ends]
    return [*others, *([f"interval of {', '.join(intervals)}"] if intervals else [])]


@takes_flags_of(_evaluate)
def retrieval(
    rsm: Rsms,
    labels: Annotated[
        str,
        typer.Option(
            metavar="FILE[::name]",
            help="Read the labels of the samples here: (n,), multi-hot (n, classes) or .csv.",
        ),
    ],
    gallery_labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[::name]",
            help="Read the labels of the columns here, for RSMs of queries x gallery.",
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[::name]",
            help="Read here which thing each sample is a view of: (n,) or .csv.",
        ),
    ] = None,
    exclude_views: Annotated[
        bool,
        typer.Option(
            "--exclude-views/--include-views",
            help="Leave other views of a query out of its candidates, or not. (default: left out where"
            " --views is given)",
            show_default=False,
        ),
    ] = True,
    at: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Count the K nearest in f1@k, precision@k, recall@k; may be repeated. (default: 1 5 10)",
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Say how well the nearest neighbours of each sample share its labels.

    A text table has one row for each sample, with its labels separated by ';' or in further columns. A
    first column headed samples, sample, id or image holds ids, by which rows are found: the RSM must
    have ids, too, or give --by-position. With --views the other views of a query are no candidates,
    because finding those would be measured instead. Of equally similar candidates none comes first: each
    metric is its expected value over their orders. Columns that say nothing new are left out:
    docs/evaluations.md. An RSM is read by blocks of rows, so it may be larger than memory.

    Example: semrsm evaluate retrieval dump.rsm.h5 --labels dump.h5::labels --views dump.h5::views --at 1
    """
    evaluate = functools.partial(
        evaluate_retrieval,
        labels=labels,
        gallery_labels=gallery_labels,
        view_ids=views if exclude_views else None,
        ks=tuple(at or (1, 5, 10)),
    )
    _evaluate(evaluate, rsm, (labels, gallery_labels, views), **flags)
    if views is None and gallery_labels is None and (beside := views_beside(labels)):
        say(f"other views of a query were candidates; leave them out with --views {beside}")


@takes_flags_of(_evaluate)
def predictions(
    rsm: Rsms,
    logits: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[::name]", help="Read logits (n, classes) here; their softmax is taken."
        ),
    ] = None,
    probabilities: Annotated[
        str | None,
        typer.Option(metavar="FILE[::name]", help="Read probabilities (n, classes) here instead."),
    ] = None,
    **flags: Any,
) -> None:
    """Correlate the similarity of pairs with the Jensen-Shannon divergence of their predictions.

    The more negative, the better the RSM says which samples are predicted alike. Ranking needs 56 bytes
    of memory for each pair.

    Example: semrsm evaluate predictions dump.rsm.h5 --logits dump.h5::logits --bootstrap 1000
    """
    if (logits is None) == (probabilities is None):
        raise typer.BadParameter("give one of the two", param_hint="--logits / --probabilities")
    evaluate = functools.partial(evaluate_predictions, logits=logits, probabilities=probabilities)
    _evaluate(evaluate, rsm, (logits, probabilities), **flags)


@takes_flags_of(_evaluate)
def views(
    rsm: Rsms,
    views: Annotated[
        str,
        typer.Option(
            metavar="FILE[::name]",
            help="Read here which thing each sample is a view of: (n,) or .csv.",
        ),
    ],
    **flags: Any,
) -> None:
    """Say how much more alike two views of one thing are than all other pairs.

    Where the pairs do not fit in memory the RSM is read several times, by blocks of rows.

    Example: semrsm evaluate views dump.rsm.h5 --views dump.h5::views
    """
    _evaluate(functools.partial(evaluate_views, view_ids=views), rsm, (views,), **flags)


app = typer.Typer(no_args_is_help=True, help="Say what RSMs are good for.")
for command in (retrieval, predictions, views):
    app.command(cls=CheckedCommand, short_help=f"Say {EVALUATIONS[command.__name__].summary}.")(
        ends_well(command)
    )
