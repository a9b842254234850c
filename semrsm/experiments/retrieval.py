"""Retrieval: do the nearest neighbours of an image share its labels?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.compute.options import parse_count
from semrsm.errors import SemrsmError
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.run import evaluate_retrieval
from semrsm.experiments.experiment import (
    Cells,
    Experiment,
    RunFile,
    Table,
    key,
    parse_text,
)
from semrsm.experiments.tables import by_kernel, curves, layers_of, verdict
from semrsm.plot import draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parse_ks(value: Any) -> tuple[int, ...]:
    """Return whole numbers of at least 1, each once.

    >>> parse_ks([1, 3, 5])
    (1, 3, 5)
    """
    if not isinstance(value, list) or not value:
        raise SemrsmError(f"ks must be a list of whole numbers, such as [1, 3, 5], got {value!r}")
    return tuple(dict.fromkeys(parse_count("ks", 1)(k) for k in value))


@dataclass(frozen=True, kw_only=True)
class Retrieval(RunFile):
    """The keys of a run file: which arrays hold labels and views, and how many neighbours are retrieved."""

    labels: str = key(parse_text("labels"))
    views: str = key(parse_text("views"), default="")
    ks: tuple[int, ...] = key(parse_ks)


def _evaluate(run_file: Retrieval, network: str, rsms: Sequence[Path]) -> Iterator[Evaluation]:
    return evaluate_retrieval(
        rsms,
        run_file.address(run_file.labels),
        view_ids=run_file.address(run_file.views) if run_file.views else None,
        kernels=run_file.kernels,
        ks=run_file.ks,
    )


def _tables(run_file: Retrieval, cells: Cells) -> list[Table]:
    metrics = [f"f1@{k}" for k in run_file.ks]
    tables = [
        by_kernel(
            f"retrieval.{metric}",
            f"Retrieval, {metric.upper()}; PI: with matching",
            run_file,
            cells,
            metric,
            layers_of(cells),
        )
        for metric in metrics
    ]
    return [*tables, verdict("retrieval", run_file, cells, tuple(metrics), True)]


def _pictures(run_file: Retrieval, cells: Cells) -> Iterator[tuple[str, Figure]]:
    metric = f"f1@{run_file.ks[0]}"
    records = curves(cells, {metric: ""}, lambda cell, _: f"{metric.upper()}, {cell.kernel}")
    yield metric, draw_curves(records, "Retrieval of images that share labels")


RETRIEVAL = Experiment(
    "retrieval",
    "F1@k of the labels of the nearest neighbours",
    "Fig. 3",
    "Do the nearest neighbours of an image share its labels? F1@k is the mean F1 of the labels of a "
    "query and of its k nearest other images; with one label each it is the share of the k that have "
    "the query's. Other views of the query are no candidates where the run file names views: finding "
    "them is what translation sensitivity measures. Larger is better.",
    Retrieval,
    _evaluate,
    _tables,
    _pictures,
)
