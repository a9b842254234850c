"""Write docs/evaluations.md from the table EVALUATIONS: `python scripts/make_evaluations_page.py`."""

from __future__ import annotations

from pathlib import Path

from semrsm.evaluate import EVALUATIONS, EvaluationMethod

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evaluations.md"

INTRODUCTION = """\
# Evaluations

What `semrsm evaluate NAME` says of an RSM. This page is made from the table `semrsm.evaluate.EVALUATIONS` by
`python scripts/make_evaluations_page.py`; change the table, not the page.

One rule for ties: of equally similar candidates or pairs none comes first. A value is its expected value over
all orders of what is tied, each order as likely as the others: for retrieval in closed form, for AUROC a tie
counts half, and Spearman's ranks are expected ranks, which are mean ranks. Nothing depends on the order of
the samples in a file.

`-o TABLE.csv` writes the table that is printed, `--details FILE.csv` the values of each query or pair.

"""

MEASURED = """\
## Time and memory at 10 000 samples

`semrsm evaluate NAME --memory 4GiB` of a stored cosine RSM (float32, 400 MB) of 10 000 samples with 1000
labels, 5000 things of two views, and logits of 1000 classes. Measured on two cores of an AMD EPYC with
AVX-512, numpy 2.4.6, nothing else at work.

| command | CPU seconds | seconds of the clock | peak memory |
|---|---|---|---|
| `retrieval`, labels and views | 13 | 13 | 0.25 GiB |
| `views` | 11 | 9 | 0.33 GiB |
| `predictions` | 136 | 78 | 2.5 GiB |
| `predictions --bootstrap 1000`, with 500 parts of the jackknife | 392 | 224 | 2.5 GiB |

`python scripts/benchmark_evaluate.py --memory 4GiB` repeats the table, `--bootstrap 1000 --only predictions`
the resamples; its rows go to scripts/benchmark_results.csv.
"""


def make_page() -> str:
    """Return the page in Markdown."""
    return "\n\n".join([INTRODUCTION.strip(), *map(_section, EVALUATIONS.values()), MEASURED])


def _section(row: EvaluationMethod) -> str:
    lines = [
        f"## {row.name}",
        "",
        f"Says {row.summary}. {row.question}",
        "",
        "| column | what it is | range | better is | ties |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{m.name}` | {_cell(m.summary)} | {_range(m.range)} | {m.better or '-'} | {m.ties} |"
        for m in row.metrics
    ]
    lines += [f"| `{name}` | count: {meaning} | | - | |" for name, meaning in row.counts.items()]
    lines += [
        "",
        f"- `--details`: a row for each {row.details}",
        f"- memory: {row.memory}; what does not fit is refused with the number needed",
        f"- reference: {row.reference}, [doi:{row.doi}](https://doi.org/{row.doi})",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _range(ends: tuple[float, float]) -> str:
    return " to ".join(f"{end:g}".replace("inf", "∞") for end in ends)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
