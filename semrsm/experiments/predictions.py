"""Predictions: are images that the RSM finds similar predicted alike?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.compute.options import parse_count
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.run import evaluate_predictions
from semrsm.experiments.experiment import (
    Cells,
    Experiment,
    RunFile,
    Table,
    key,
    parse_table,
    parse_text,
)
from semrsm.experiments.tables import by_kernel, curves, kind_of, last_layers, layers_of, verdict
from semrsm.measures.inference import Inference
from semrsm.names import look_up
from semrsm.plot import draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("pearson", "spearman")


def parse_logits(value: Any) -> dict[str, str]:
    """Return the name of the array of logits by network.

    >>> parse_logits({"vit": "vit/logits"})
    {'vit': 'vit/logits'}
    """
    rows = parse_table("logits")(value)
    return {name: parse_text(f"logits of {name}")(array) for name, array in rows.items()}


@dataclass(frozen=True, kw_only=True)
class Predictions(RunFile):
    """The keys of a run file: each network's array of logits, and the resamples of the intervals."""

    logits: Mapping[str, str] = key(parse_logits)
    bootstrap: int = key(parse_count("bootstrap", 0), default=0)
    seed: int = key(parse_count("seed", 0), default=0)

    def __post_init__(self) -> None:
        for network in self.networks:
            look_up(self.logits, network, "network in [logits]")


def _evaluate(run_file: Predictions, network: str, rsms: Sequence[Path]) -> Iterator[Evaluation]:
    return evaluate_predictions(
        rsms,
        logits=run_file.address(run_file.logits[network]),
        kernels=run_file.kernels,
        inference=Inference(n_resamples=run_file.bootstrap, seed=run_file.seed),
        baseline=rsms[0] if run_file.bootstrap else None,
    )


def _tables(run_file: Predictions, cells: Cells) -> list[Table]:
    title = "{} correlation of similarity and Jensen-Shannon divergence of predictions, {} layers"
    tables = [
        by_kernel(
            f"predictions.{metric}.{which}",
            title.format(metric.capitalize(), which),
            run_file,
            cells,
            metric,
            places,
            larger_is_better=False,
        )
        for which, places in (("last", last_layers(cells)), ("all", layers_of(cells)))
        for metric in METRICS
    ]
    if run_file.bootstrap:
        tables += [_intervals(run_file, cells), _differences(run_file, cells)]
    return [*tables, verdict("predictions", run_file, cells, METRICS, False)]


def _intervals(run_file: Predictions, cells: Cells) -> Table:
    columns = [f"{metric}{end}" for metric in METRICS for end in ("", "-low", "-high")]
    last = last_layers(cells)
    rows = [
        (cell.layer, cell.kernel, kind_of(cell.matcher), *(evaluation.values[c] for c in columns))
        for cell, evaluation in cells.items()
        if (cell.network, cell.layer) in last
    ]
    title = f"95 % intervals over {run_file.bootstrap} resamples of the samples, last layers"
    return Table("predictions.intervals", title, ("layer", "kernel", "RSM", *columns), rows)


def _differences(run_file: Predictions, cells: Cells) -> Table:
    ends = ("difference", "difference-low", "difference-high", "difference-p")
    rows = [
        (
            *(cell.network, cell.layer, cell.kernel, kind_of(cell.matcher), metric),
            *(evaluation.values[f"{metric}-{end}"] for end in ends),
        )
        for cell, evaluation in cells.items()
        if cell.matcher != run_file.matchers[0]
        for metric in METRICS
    ]
    first = kind_of(run_file.matchers[0])
    title = f"Differences to the {first} RSM, from the same {run_file.bootstrap} resamples"
    columns = ("model", "layer", "kernel", "RSM", "metric", "difference", "low", "high", "p")
    return Table("predictions.differences", title, columns, rows)


def _pictures(run_file: Predictions, cells: Cells) -> Iterator[tuple[str, Figure]]:
    records = curves(cells, {"pearson": ""}, lambda cell, _: f"Pearson correlation, {cell.kernel}")
    title = "Similarity and divergence of predictions: lower is better"
    yield "pearson", draw_curves(records, title)


PREDICTIONS = Experiment(
    "predictions",
    "correlation of similarity with the Jensen-Shannon divergence of predictions",
    "table of correlations",
    "Are images that are similar predicted alike? Correlation, over the pairs of images, of their "
    "similarity and the Jensen-Shannon divergence of their predicted class probabilities; lower is "
    "better. The paper's table has one row for each model and does not state its layer; here it is "
    "the last. Whether matching changes a correlation is what the paired differences test (the two "
    "views of a thing are resampled together), not whether two intervals overlap.",
    Predictions,
    _evaluate,
    _tables,
    _pictures,
)
