"""One page of what experiments found, in Markdown: `semrsm reproduce` writes it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from semrsm.compute.run_report import versions
from semrsm.data import digits_path
from semrsm.experiments.experiment import Experiment, RunFile, Table
from semrsm.experiments.tables import TIED
from semrsm.machine import cores

Outcome = tuple[Experiment, RunFile, Sequence[Table]]

WIDTH = 118
INTRODUCTION = """
`semrsm reproduce` runs the experiments of Wald et al., *Decoupling Semantic Similarity from Spatial
Alignment for Neural Networks* (NeurIPS 2024, [arXiv:2410.23107](https://arxiv.org/abs/2410.23107)), and
writes this page. Its folder also holds every table as CSV, every value in long form (`EXPERIMENT.csv`),
the pictures, the RSM files and the run files (`EXPERIMENT.toml`). For your own data copy a run file,
set `activations` to your file, name your layers, and give it: `semrsm reproduce MY.toml -o FOLDER`.
"""
EMBEDDED = """
The data is the embedded example: 80 images, 40 digits at two random places each, seen by a small ResNet
and a small ViT; the class token of the ViT is skipped. These are not the paper's networks or images, so
its numbers are not expected to come out; what can be seen is whether its findings hold here. Both
networks predict almost every image right, so the divergence of predictions mostly says whether two
images are of one class.
"""
VERDICT = """
Of the layers, kernels and metrics, how many are better, equal or worse with matching than without; in
the tables below values that are worse are in bold.
"""


def make_page(results: Iterable[Outcome]) -> str:
    """Return the page of experiments, their run files and tables."""
    results = list(results)
    embedded = any(run_file.activations == str(digits_path()) for _, run_file, _ in results)
    software = ", ".join(f"{name} {version}" for name, version in versions().items())
    parts = [
        "# The paper's experiments",
        _wrapped(INTRODUCTION),
        *([_wrapped(EMBEDDED)] if embedded else []),
        _wrapped(f"Made with {software} on {cores()} cores."),
        _wrapped(VERDICT),
        _markdown(_verdicts(results)),
    ]
    for experiment, _, tables in results:
        parts += [
            f"## {experiment.name.replace('_', ' ').capitalize()}",
            _wrapped(f"The paper's {experiment.paper}. {experiment.reading}"),
        ]
        for table in tables:
            parts += [f"{table.title}:", _markdown(table)]
    return "\n\n".join(parts) + "\n"


def _verdicts(results: Sequence[Outcome]) -> Table:
    """Return the counts of all verdicts, added up for each experiment and network."""
    sums: dict[tuple[str, str], list[int]] = {}
    for experiment, _, tables in results:
        for table in tables:
            if not table.name.endswith(".verdict"):
                continue
            model, first = table.columns.index("model"), table.columns.index("better")
            for row in table.rows:
                counts = sums.setdefault((experiment.name.replace("_", " "), row[model]), [0] * 3)
                for k in range(3):
                    counts[k] += row[first + k]
    rows: list[tuple[Any, ...]] = [(*names, *counts) for names, counts in sums.items()]
    return Table("verdict", "", ("experiment", "model", "better", "equal", "worse"), rows)


def _markdown(table: Table) -> str:
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    for row in table.rows:
        cells = [
            "< 0.001" if name == "p" and value is not None and value < 0.001 else _cell(value)
            for name, value in zip(table.columns, row, strict=True)
        ]
        for before, after in table.compared:
            if _is_worse(row[before], row[after], table.larger_is_better):
                cells[after] = f"**{cells[after]}**"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _is_worse(before: float | None, after: float | None, larger_is_better: bool) -> bool:
    if before is None or after is None:
        return False
    return (before - after if larger_is_better else after - before) > TIED


def _cell(value: Any) -> str:
    """Return a value with three decimals, or four digits where it is large.

    >>> _cell(0.12345), _cell(-1e-9), _cell(1176.8), _cell(3), _cell(None)
    ('0.123', '0.000', '1177', '3', '-')
    """
    if isinstance(value, float):
        return f"{round(value, 3) + 0.0:.3f}" if abs(value) < 10 else f"{value:.4g}"
    return "-" if value is None else str(value)


def _wrapped(text: str) -> str:
    return textwrap.fill(text.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)
