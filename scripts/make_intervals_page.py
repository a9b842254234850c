"""Write docs/intervals.md from two tables and docs/coverage.csv: `python scripts/make_intervals_page.py`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from semrsm.measures import MEASURES
from semrsm.measures.intervals import INTERVALS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "intervals.md"
DEFAULT = "corrected"
RIGHT = (0.92, 0.98)  # what the coverage of an interval that is offered by default must be

# What is simulated as another measure, as it is the same where no two pairs are tied.
SAME = {
    "rsa-rho-a": "rsa-spearman",
    "rsa-kendall-tau-a": "rsa-kendall-tau-b",
    "cosine-whitened": "cka",
}

Row = Mapping[str, str]

INTRODUCTION = """\
# Intervals, paired differences, and how far to trust them

This page is made from the tables `semrsm.measures.intervals.INTERVALS`, `semrsm.measures.MEASURES` and
[coverage.csv](coverage.csv) by `python scripts/make_intervals_page.py`; change those, not the page.

`semrsm compare` and `semrsm evaluate` give 95 % intervals with `--bootstrap N`, and differences to a
baseline with `--baseline RSM`; both come from one engine, `semrsm.measures.resamples`, so they mean the
same everywhere.

- **What is resampled**: samples, or with `--clusters FILE::name` all samples of one label together;
  `evaluate views` and `evaluate retrieval --views` take the views of one thing together, `evaluate
  predictions` takes the array `views` beside the logits where there is one, and says so. Two views of one
  image are not two independent samples: an interval that treats them so is too narrow.
- **What counts**: a pair of two clusters counts as often as both were drawn together, a pair within a
  cluster as often as the cluster was drawn. Pairs of a sample with its own copy, and pairs of two copies of
  one cluster, are dropped.
- **What the interval is about**: what n samples give on average. It does not remove a bias that a measure
  has itself: `cka` of 50 samples is larger than `cka` of 5000 (column truth of the table), `cka-debiased`
  is not.
- **Seed**: printed and stored with the values; equal seeds draw equally, whatever is measured."""

KINDS = """\
The variance of `corrected` is twice that of the jackknife less that of the bootstrap, but at least half of
the first. The value of an RSM is a mean over *pairs*. Where pairs vary by themselves, beyond what their
samples explain, the jackknife counts that part twice and a bootstrap without pairs of own copies three
times; the difference leaves it once. The percentile interval is then up to {widest:.1f} times as wide as it
should be (unrelated RSMs). The t intervals are taken on a scale on which the range of the measure has no
end, so that they do not leave it.

**Paired differences** (`--baseline`): value less the value of the baseline, resample by resample, with
interval and a two-sided p of the hypothesis that there is no difference (t test; for percentile and bca the
share of resamples beyond 0). Two intervals that overlap say little: both values rise and fall with the same
samples.

**Permutations** (`--permutations`, `compare`) test another hypothesis: that two RSMs are unrelated."""

WITHOUT = """\
## What has no default interval

- {broken} and the metrics of retrieval among the queries themselves: a sample's copies push its neighbours
  out, so a resample measures something else; subsamples have other neighbours, too. `nbs` moves because own
  copies cannot be dropped. They are refused with that reason. `--interval jackknife` gives one that is on
  average not too narrow (Efron and Stein 1981) and mostly too wide: coverage in the table. It fails where
  nearly every query is right: at an F1@1 of 0.99 the interval held the truth in half of 150 simulations.
- `median-same`, `median-other` and `top1` of views have none.
- Retrieval from a gallery (`--gallery-labels`): queries are resampled, the gallery is as it is; every kind
  is offered."""

COVERAGE = """\
## Coverage

How often the interval held the truth, which is the mean over further draws of n samples; 0.95 is right, and
500 simulations tell it to ± 0.02. Width is relative to 2 · 1.96 standard deviations of the value over the
simulations: 1 is right. {spans}. {outside}

{same} are not simulated again: where nothing is tied they are {of}. `evaluate predictions` correlates pairs
as `rsa-pearson` and `rsa-spearman` do.{missing}"""

POPULATIONS = """\
Populations: centred Gaussians of 20 equal variances or of 100 falling ones with added noise, of which CKA
is known (1/2 and 0.8); ten classes through a tanh layer with noise; two unrelated Gaussians; for
evaluations, things of ten classes with two views each. Linear kernel. "difference of" is the paired
difference to a noisier second model. Parts is how many parts of the samples the jackknife leaves out, one
at a time: fewer know the variance less well (`cka` of ten classes at n = 200 covered 0.912 with 50); the
commands use up to 500. All columns: [coverage.csv](coverage.csv).

Made by `python scripts/coverage.py -o docs/coverage.csv` (which goes on where the table ends), with one
thread on an AMD EPYC that was loaded by other work: {minutes} minutes of wall-clock time in all; Python
3.11.7, numpy 2.4.6, scipy 1.17.1."""


def read_coverage() -> list[Row]:
    """Return the rows of docs/coverage.csv."""
    with (DOCS / "coverage.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def make_page() -> str:
    """Return the page in Markdown."""
    rows = read_coverage()
    kinds = [f"| `{m.name}`{_default(m.name)} | {m.summary} |" for m in INTERVALS.values()]
    widest = max(float(row["width"]) for row in rows if row["interval"] == "percentile")
    broken = ", ".join(f"`{row.name}`" for row in MEASURES.values() if row.neighbours)
    sections = [
        INTRODUCTION,
        "\n".join(["| interval | what it is |", "|---|---|", *kinds]),
        KINDS.format(widest=widest),
        WITHOUT.format(broken=broken),
        COVERAGE.format(
            spans=_spans(rows),
            outside=_outside(rows),
            same=_list(f"`{name}`" for name in SAME),
            of=_list(f"`{name}`" for name in SAME.values()),
            missing=_missing(rows),
        ),
        _table(rows),
        POPULATIONS.format(minutes=_minutes(rows)),
    ]
    return "\n\n".join(sections) + "\n"


def _default(name: str) -> str:
    return " (default)" if name == DEFAULT else ""


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _spans(rows: list[Row]) -> str:
    found = []
    for name in INTERVALS:
        values = [float(row["coverage"]) for row in rows if row["interval"] == name]
        found.append(f"`{name}` {min(values):.3f} to {max(values):.3f}")
    return f"Over all rows: {', '.join(found)}"


def _outside(rows: list[Row]) -> str:
    low, high = RIGHT
    by_default = [row for row in rows if row["interval"] == DEFAULT]
    missed = [row for row in by_default if not low <= float(row["coverage"]) <= high]
    if not missed:
        return f"Every default interval lies within {low} to {high}; the others are offered on request."
    names = "; ".join(f"{row['what']}, {row['population']}, n = {row['n']}" for row in missed)
    return f"Outside of {low} to {high} by default: {names}."


def _missing(rows: list[Row]) -> str:
    """Say which measures were not simulated at a size at which others were."""
    found = {(row["what"], row["n"]) for row in rows}
    sizes = sorted({row["n"] for row in rows}, key=int)
    missing = [
        f"`{name}` at n = {n}"
        for n in sizes
        for name in MEASURES
        if name not in SAME and (name, n) not in found
    ]
    return f" Not simulated: {', '.join(missing)}." if missing else ""


def _minutes(rows: list[Row]) -> int:
    took = {
        (row["what"].removeprefix("difference of "), row["population"], row["n"]): row
        for row in rows
        if " of " not in row["what"].removeprefix("difference of ") or "auroc" in row["what"]
    }
    return round(sum(int(row["seconds"]) for row in took.values()) / 60)


def _table(rows: list[Row]) -> str:
    kinds = list(INTERVALS)
    widths = ("corrected", "percentile")
    head = ["value", "population", "n", "simulations", "parts", *kinds]
    head += [f"width, {name}" for name in widths]
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("what", "population", "n", "simulations", "parts"))
        found.setdefault(key, {})[row["interval"]] = row
    lines = [_line(head), _line(["---"] * len(head))]
    for key, of_kind in found.items():
        cells = [of_kind[name]["coverage"] if name in of_kind else "" for name in kinds]
        cells += [of_kind[name]["width"] if name in of_kind else "" for name in widths]
        lines.append(_line([*key, *cells]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
