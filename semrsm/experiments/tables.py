"""Tables in the paper's layout, and the records that curves over layers are drawn from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from semrsm.experiments.experiment import Cell, Cells, RunFile, Table

KINDS = {"identity": "spatio-semantic", "optimal": "semantic"}  # the paper's words
SUFFIXES = {"identity": "", "optimal": " PI"}  # of a kernel in the paper's tables
TIED = 1e-12  # rounding of means over queries

Place = tuple[str, str]  # network, layer


def kind_of(matcher: str) -> str:
    """Return what the paper calls the RSM of a matcher.

    >>> kind_of("optimal"), kind_of("greedy")
    ('semantic', 'greedy')
    """
    return KINDS.get(matcher, matcher)


def layers_of(cells: Cells) -> list[Place]:
    """Return each (network, layer) once, in order."""
    return list(dict.fromkeys((cell.network, cell.layer) for cell in cells))


def last_layers(cells: Cells) -> list[Place]:
    """Return the last (network, layer) of each network."""
    return list(dict(layers_of(cells)).items())


def by_kernel(
    name: str,
    title: str,
    run_file: RunFile,
    cells: Cells,
    metric: str,
    places: list[Place],
    larger_is_better: bool = True,
) -> Table:
    """Return a metric with a row for each place, and a column for each kernel and matcher.

    A kernel's column with the matcher optimal ends in "PI" (permutation invariant), as in the paper.
    """
    columns = [(kernel, matcher) for kernel in run_file.kernels for matcher in run_file.matchers]
    heads = [f"{kernel}{SUFFIXES.get(matcher, f' {matcher}')}" for kernel, matcher in columns]
    rows = [
        (*place, *(value_at(cells, place, matcher, kernel, metric) for kernel, matcher in columns))
        for place in places
    ]
    first = {k: 2 + columns.index((k, run_file.matchers[0])) for k in run_file.kernels}
    compared = tuple(
        (first[kernel], column)
        for column, (kernel, _) in enumerate(columns, start=2)
        if column != first[kernel]
    )
    return Table(name, title, ("model", "layer", *heads), rows, compared, larger_is_better)


def value_at(cells: Cells, place: Place, matcher: str, kernel: str, metric: str) -> float | None:
    """Return a metric of one RSM; None where it is undefined."""
    return cells[Cell(*place, matcher, kernel)].values[metric]


def verdict(
    name: str, run_file: RunFile, cells: Cells, metrics: Sequence[str], larger_is_better: bool
) -> Table:
    """Count the layers at which a metric is better, equal or worse than with the first matcher.

    A layer at which one of the two is undefined is not counted.
    """
    first, *others = run_file.matchers
    rows: list[tuple[Any, ...]] = []
    for metric, network, kernel, matcher in itertools.product(
        metrics, run_file.networks, run_file.kernels, others
    ):
        pairs = [
            [value_at(cells, place, m, kernel, metric) for m in (first, matcher)]
            for place in layers_of(cells)
            if place[0] == network
        ]
        counts = count_changes(pairs, larger_is_better)
        rows.append((metric, network, kernel, kind_of(matcher), *counts))
    columns = ("metric", "model", "kernel", "RSM", "better", "equal", "worse", "mean change")
    title = f"Layers at which the RSM is better or worse than the {kind_of(first)} one"
    return Table(f"{name}.verdict", title, columns, rows)


def count_changes(
    pairs: Sequence[Sequence[float | None]], larger_is_better: bool
) -> tuple[int, int, int, float | None]:
    """Return how many pairs (before, after) got better, stayed, got worse, and the mean change.

    >>> count_changes([(0.5, 0.75), (0.5, 0.5), (0.75, 0.5), (None, 1.0)], True)
    (1, 1, 1, 0.0)
    """
    changes = [
        after - before for before, after in pairs if before is not None and after is not None
    ]
    larger = sum(change > TIED for change in changes)
    smaller = sum(change < -TIED for change in changes)
    better, worse = (larger, smaller) if larger_is_better else (smaller, larger)
    mean = sum(changes) / len(changes) if changes else None
    return better, len(changes) - larger - smaller, worse, mean


def curves(
    cells: Cells, metrics: dict[str, str], panel: Callable[[Cell, str], str]
) -> list[dict[str, Any]]:
    """Return records for `draw_curves`: a line for each kind of RSM and metric.

    Args:
        cells: What was found.
        metrics: Metric -> what its lines are called behind the kind of the RSM.
        panel: (cell, metric) -> what the axes are called that it is drawn in.
    """
    return [
        {
            "rsm": "",
            "layer": cell.layer,
            "matcher": kind_of(cell.matcher) + name,
            "kernel": "",
            "metric": panel(cell, metric),
            "value": evaluation.values[metric],
        }
        for metric, name in metrics.items()
        for cell, evaluation in cells.items()
    ]
