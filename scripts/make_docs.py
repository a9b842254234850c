"""Write docs/measures.md from the table MEASURES: `python scripts/make_docs.py`."""

from __future__ import annotations

import math
from pathlib import Path

from semrsm.compare.plan import least_bytes
from semrsm.measures import INVARIANCES, MEASURES, Measure
from semrsm.measures.rdm import RDMS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "measures.md"

INTRODUCTION = """\
# Measures

What `semrsm compare --measure NAME` computes from two RSMs K and L of the same n samples. This page is made
from the table `semrsm.measures.MEASURES` by `python scripts/make_docs.py`; change the table, not the page.

All is computed in float64. k_ij and l_ij are entries of K and L, m = n (n - 1) / 2 is the number of pairs
i < j, and r̄, k̄, … are means. RSMs hold similarities: a matrix D of squared distances is compared as -D/2.
An RSM that a measure is undefined for (constant, too small, NaN inside, not symmetric) is refused with the
reason; no number is added to a denominator. Of equally similar neighbours, those of lower index are nearer.
"""

RDM_TEXT = """\
`rsa-*` and `cosine` correlate the entries of the RSMs as they are: with the kernel linear inner
products, which grow with the norms of samples; with cosine the similarity that `1 - cosine` distances
are made of. `--rdm` has them correlate dissimilarities instead, each compared as -D/2, of the values of
matched maps. `correlation` and `euclidean` are rsatoolbox's, to 1e-12 on a spatio-semantic RSM of the
kernel linear (tests/compare/test_rdms.py); its euclidean is also the square, divided by the number of
channels. Kernels are finished anew in float64 for this. c_i stands in RSM files; a plain matrix has
none, so that its correlation is the cosine unless features are centred."""

CEILING_TEXT = """\
How well could any model do? `semrsm compare A B C … --noise-ceiling` takes RSMs of one kind (subjects,
seeds of a network), layer by layer, and prints two bounds: lower, the mean of the measure of each RSM and
the mean of the others; upper, of each RSM and the mean of all. A model between them explains what can be
explained. The mean is of unit vectors (of centred RSMs for the CKA family and rsa-pearson), for measures
of ranks of mean ranks, as in rsatoolbox (`boot_noise_ceiling`), whose values are reproduced to 1e-12
(tests/compare/test_noise_ceiling.py).
Nili et al.: A toolbox for representational similarity analysis. PLoS Comput Biol 10, 2014,
[doi:10.1371/journal.pcbi.1003553](https://doi.org/10.1371/journal.pcbi.1003553)."""

LARGE_TEXT = """\
## Large RSMs

RSMs are read by blocks of rows. What a measure needs of memory stands above, and one that needs more than
`--memory` grants is refused at once with the number. A table of the CKA family reads each RSM twice, once to
centre it and once for all products (in groups, where not all blocks fit into memory); others read each once.

Two RSM files of n = 10 000 (50 M pairs), cosine, `--memory 4GiB`, one thread, start of Python included; AMD
EPYC, two cores, Python 3.11.7, NumPy 2.4.6. Seconds of the processor, as the machine was loaded (11 to 33
processes for two cores, so that the clock showed up to 20 times as much), and the peak of resident memory:

| measure | processor | peak |
|---|---|---|
| `cka` | 4.6 s | 0.87 GiB |
| `cka-debiased` | 4.5 s | 0.87 GiB |
| `rsa-pearson` | 6.7 s | 2.1 GiB |
| `rsa-spearman` | 20 s | 1.7 GiB |
| `cosine` | 6.6 s | 1.8 GiB |
| `rsa-kendall-tau-a` | 73 s | 2.4 GiB |
| `mutual-knn` | 9.4 s | 0.87 GiB |
| `cknna` | 11 s | 0.87 GiB |
| `nbs` | refused: needs 5508 MiB | |

The others of the CKA family take what `cka` takes, `rsa-rho-a` what `rsa-spearman` takes, `jaccard-knn`
what `mutual-knn` takes, `rsa-kendall-tau-b` what `-a` takes. `scripts/benchmark_compare.py` repeats this, its
rows are in scripts/benchmark_results.csv.

`cka-debiased` of two plain matrices under `--memory 1GiB` (.npy, float32, read twice from disk) holds
nothing but blocks of rows: n = 20 000 (1.6 GB each) took 9.8 s of the processor and a peak of 0.18 GiB,
n = 50 000 (10 GB each) 178 s and 0.27 GiB. On the loaded machine the clock showed 84 s and 42 minutes."""


def make_page() -> str:
    """Return the page in Markdown."""
    overview = ["| name | what it is | range | more similar is |", "|---|---|---|---|"]
    overview += [
        f"| [`{row.name}`](#{row.name}) | {row.summary} | {_range(row)} | {_better(row)} |"
        for row in MEASURES.values()
    ]
    ceilings = [
        "## Noise ceiling",
        "",
        CEILING_TEXT,
        "",
        f"Measures that have one: {_with_ceiling()}.",
    ]
    rdms = [
        "## RDMs",
        "",
        RDM_TEXT,
        "",
        "| name | what is correlated | dissimilarity |",
        "|---|---|---|",
    ]
    rdms += [f"| `{rdm.name}` | {rdm.summary} | {rdm.formula} |" for rdm in RDMS.values()]
    invariances = ["## Invariances", "", "| word | what changes nothing |", "|---|---|"]
    invariances += [f"| {word} | {meaning} |" for word, meaning in INVARIANCES.items()]
    sections = [
        INTRODUCTION,
        "\n".join(overview),
        *map(_section, MEASURES.values()),
        "\n".join(rdms),
        "\n".join(ceilings),
        LARGE_TEXT,
        "\n".join(invariances),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _with_ceiling() -> str:
    return ", ".join(f"`{row.name}`" for row in MEASURES.values() if row.ceiling)


def _section(row: Measure) -> str:
    facts = [
        f"- range: {_range(row)}; {row.direction}",
        f"- symmetric: {'yes' if row.symmetric else 'no: (K, L) and (L, K) may differ'}",
        f"- invariant to: {', '.join(row.invariances)}",
        f"- samples: at least {row.min_samples}",
        f"- memory: {least_bytes(row.need, 10_000) / 2**30:.2g} GiB for two RSMs of n = 10 000",
        f"- reference: {row.reference}, [doi:{row.doi}](https://doi.org/{row.doi})",
    ]
    if row.alias:
        where = "with `--rdm correlation`" if row.of_pairs else "for linear kernels"
        facts.append(f"- in similarity-repository's scheme, {where}: `{row.alias}`")
    return "\n".join(
        [
            f"## {row.name}",
            "",
            f"{row.summary[0].upper()}{row.summary[1:]}.",
            "",
            f"    {row.formula}",
            "",
            *facts,
        ]
    )


def _range(row: Measure) -> str:
    return " to ".join(map(_number, row.range))


def _number(value: float) -> str:
    words = {math.inf: "∞", -math.inf: "-∞", math.pi: "π"}
    return words.get(value, f"{value:g}")


def _better(row: Measure) -> str:
    return row.direction.split(" =")[0] if row.direction.endswith("more similar") else "smaller"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(make_page(), encoding="utf-8")
