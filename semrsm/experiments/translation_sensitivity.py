"""Translation sensitivity: how alike are two views of one image, and two different images?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semrsm.compute.options import parse_names
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.run import evaluate_views
from semrsm.evaluate.views import codes_of
from semrsm.experiments.experiment import (
    Cell,
    Cells,
    Experiment,
    RunFile,
    Table,
    key,
    parse_text,
)
from semrsm.experiments.tables import curves, kind_of, layers_of, value_at, verdict
from semrsm.names import look_up
from semrsm.plot import draw_curves, draw_side_by_side, order_by_views
from semrsm.storage.labels import read_views, rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEDIANS = {"median-same": "translated", "median-other": "different"}


@dataclass(frozen=True, kw_only=True)
class TranslationSensitivity(RunFile):
    """The keys of a run file: which array says what each sample is a view of, which layers to draw."""

    views: str = key(parse_text("views"))
    drawn: tuple[str, ...] = key(parse_names("drawn"), default=())


def _evaluate(
    run_file: TranslationSensitivity, network: str, rsms: Sequence[Path]
) -> Iterator[Evaluation]:
    return evaluate_views(rsms, run_file.address(run_file.views), kernels=run_file.kernels)


def _tables(run_file: TranslationSensitivity, cells: Cells) -> list[Table]:
    metrics = MEDIANS | {"auroc": "AUROC"}
    columns = [(metric, matcher) for metric in metrics for matcher in run_file.matchers]
    heads = tuple(f"{metrics[metric]}, {kind_of(matcher)}" for metric, matcher in columns)
    at = 1 + columns.index(("auroc", run_file.matchers[0]))
    tables = [
        Table(
            f"translation_sensitivity.{kernel}",
            f"Translation sensitivity, {kernel}: median similarity of translated and of different"
            " pairs",
            ("layer", *heads),
            [
                (
                    layer,
                    *(
                        value_at(cells, (network, layer), matcher, kernel, metric)
                        for metric, matcher in columns
                    ),
                )
                for network, layer in layers_of(cells)
            ],
            tuple((at, at + k) for k in range(1, len(run_file.matchers))),
        )
        for kernel in run_file.kernels
    ]
    compared = ("auroc", "top1")
    return [*tables, verdict("translation_sensitivity", run_file, cells, compared, True)]


def _pictures(run_file: TranslationSensitivity, cells: Cells) -> Iterator[tuple[str, Figure]]:
    medians = {metric: f", {pairs}" for metric, pairs in MEDIANS.items()}
    records = curves(cells, medians, lambda cell, _: f"median {cell.kernel} similarity")
    yield "medians", draw_curves(records, "Similarity of translated and of different pairs")
    records = curves(cells, {"auroc": ""}, lambda cell, _: f"AUROC, {cell.kernel}")
    yield "auroc", draw_curves(records, "How well similarity tells translated from different pairs")
    kernel = run_file.kernels[0]
    places = {layer: (network, layer) for network, layer in layers_of(cells)}
    for layer in run_file.drawn:
        place = look_up(places, layer, "layer")
        first, second = (
            cells[Cell(*place, matcher, kernel)].rsm for matcher in run_file.matchers[:2]
        )
        label_sets = read_views(run_file.address(run_file.views))
        rows = rows_of(label_sets, first.shape[0], first.samples, first.address, first.taken)
        views = codes_of([next(iter(label_sets.sets[row])) for row in rows])
        yield (
            layer.replace("/", "-"),
            draw_side_by_side(
                first.values(),
                second.values(),
                f"{layer}, {kernel} kernel",
                views,
                order=order_by_views(views),
                ordered_by="view",
                kernel=kernel,
                names=(kind_of(run_file.matchers[0]), kind_of(run_file.matchers[1])),
            ),
        )


TRANSLATION_SENSITIVITY = Experiment(
    "translation_sensitivity",
    "similarity of two views of one image against that of different images",
    "Fig. 2",
    "Are two views of one image more similar than different images? Medians of the pairs of views of "
    "one image (translated) and of all other pairs (different), and AUROC: how often a translated "
    "pair is the more similar of the two, ties counting half. Only AUROC can be compared between "
    "kernels and kinds of RSM: matching raises every linear and cosine similarity, and the width of "
    "rbf pins the median of all pairs at exp(-1/2) = 0.607.",
    TranslationSensitivity,
    _evaluate,
    _tables,
    _pictures,
)
