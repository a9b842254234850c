"""What an evaluation gives: metrics of an RSM as records, and the values of its queries or pairs."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semrsm.measures.intervals import Replicates
from semrsm.rsms import Rsm
from semrsm.storage.whole_files import aside, sync_file


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found of one RSM.

    Attributes:
        rsm: The RSM.
        values: The metrics by name, in order; None where one is undefined.
        reasons: Metric -> why it is undefined.
        columns: Names of the columns of `details`.
        details: Gives a row for each query or pair, made when asked for.
        notes: Sentences about how the values were found, for people.
        replicates: Metric -> what its interval is made of, where one was asked for.
        baseline: The address of what differences are taken to.
    """

    rsm: Rsm
    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    details: Callable[[], Iterable[Sequence[Any]]] = tuple
    notes: tuple[str, ...] = ()
    replicates: Mapping[str, Replicates] = field(default_factory=dict, repr=False)
    baseline: str | None = None

    @property
    def about(self) -> dict[str, str | None]:
        """Return which RSM it is: file, layer, matcher and kernel."""
        rsm = self.rsm
        return {
            "rsm": str(rsm.path),
            "layer": rsm.layer,
            "matcher": rsm.matcher,
            "kernel": rsm.kernel,
        } | ({"baseline": self.baseline} if self.baseline else {})

    def without_details(self) -> Evaluation:
        """Return the same without details, which may hold every pair in memory."""
        return dataclasses.replace(self, columns=(), details=tuple)

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each metric: rsm, layer, matcher, kernel, metric, value, maybe reason."""
        return [
            {**self.about, "metric": metric, "value": value}
            | ({"reason": self.reasons[metric]} if metric in self.reasons else {})
            for metric, value in self.values.items()
        ]


def write_details(
    out: Path, evaluations: Iterable[Evaluation], overwrite: bool
) -> list[Evaluation]:
    """Write the details of evaluations as one CSV, each as soon as it comes; return them without.

    The file is written under a temporary name in the same folder and renamed when it is whole.

    Raises SemrsmError if the file exists and `overwrite` is not set, or cannot be written.
    """
    done: list[Evaluation] = []
    with (
        aside(out, overwrite) as partial,
        partial.open("x", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        lines = csv.writer(stream, lineterminator="\n")
        for evaluation in evaluations:
            about = evaluation.about
            if not done:
                lines.writerow((*about, *evaluation.columns))
            lines.writerows((*about.values(), *row) for row in evaluation.details())
            done.append(evaluation.without_details())
        sync_file(stream)
    return done


def value_or_none(value: float) -> float | None:
    """Return a value as a record holds it: None if it is NaN, which stands for none.

    >>> value_or_none(float("nan")), value_or_none(0.5)
    (None, 0.5)
    """
    return None if math.isnan(value) else value
