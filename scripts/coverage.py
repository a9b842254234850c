"""Measure how often intervals hold the truth: `python scripts/coverage.py -o docs/coverage.csv`.

Samples of populations whose truth is known are drawn again and again; each time every interval of
every measure is computed, and it is counted how often it holds the truth: the mean of the measure over
further draws of n samples, which for the unbiased measures is their limit for many samples, too. All
500 simulations at n = 50 and 200 take hours on one core; `--only` names some measures, and rows that the
table already has are kept. Then `python scripts/make_intervals_page.py` writes docs/intervals.md.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make_intervals_page import SAME
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.evaluate.retrieval import multi_hot
from semrsm.evaluate.sure import Weighted, auroc_of_pairs, retrieval_without
from semrsm.measures import MEASURES, Measure
from semrsm.measures.inference import replicate_measure
from semrsm.measures.intervals import INTERVALS, UNBOUNDED, interval_of, replicate
from semrsm.measures.resamples import Resamples

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]

COLUMNS = (
    *("what", "population", "n", "interval", "coverage", "too_low", "too_high", "width"),
    *("truth", "limit", "spread", "simulations", "resamples", "parts", "seconds"),
)


@dataclass(frozen=True)
class Population:
    """Where samples come from.

    Attributes:
        name: Of the row in the table.
        draw: (random generator, n) -> features (n, d) of the two models.
        limit: CKA, and the correlation of the pairs, of infinitely many samples; None if not known.
    """

    name: str
    draw: Draw
    limit: float | None


def populations() -> list[Population]:
    """Return the populations: Gaussians of equal and of falling variances, and ten classes."""
    falling = np.arange(1, 101) ** -0.7
    chosen = np.random.default_rng(5)
    centres = chosen.standard_normal((10, 30))
    mixing = chosen.standard_normal((30, 30)) / np.sqrt(30)

    def gaussian(scale: Floats, noise: float) -> Draw:
        def draw(draws: np.random.Generator, n: int) -> tuple[Floats, Floats]:
            x = draws.standard_normal((n, len(scale))) * scale
            return x, x + noise * draws.standard_normal((n, len(scale))) * scale

        return draw

    def classes(draws: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        x = centres[draws.integers(0, 10, n)] + draws.standard_normal((n, 30))
        return x, np.tanh(x @ mixing) + 0.7 * draws.standard_normal((n, 30))

    def unrelated(draws: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        return draws.standard_normal((n, 10)), draws.standard_normal((n, 10))

    return [
        # Linear kernels of centred Gaussians: ‖C_xy‖² / (‖C_xx‖ ‖C_yy‖), here C_yy = (1 + noise²) C_xx.
        Population("equal variances", gaussian(np.ones(20), 1.0), 1 / 2),
        Population("falling variances", gaussian(falling, 0.5), 1 / 1.25),
        Population("ten classes", classes, None),
        Population("unrelated", unrelated, 0.0),
    ]


OF_THE_LIMIT = (
    "cka-debiased",
    "rsa-pearson",
    "cosine",
)  # what estimates it without, or little, bias
EFFORT = {  # resamples, parts of the jackknife
    "rsa-spearman": (150, 50),
    "rsa-kendall-tau-b": (40, 25),
    "mutual-knn": (0, 50),
    "jaccard-knn": (0, 50),
    "cknna": (0, 50),
    "nbs": (0, 50),
}
USUAL_EFFORT = (400, 200)
USUAL = [*(name for name in MEASURES if name not in SAME), "evaluations"]


def simulate(
    name: str, population: Population, n: int, simulations: int, rsms: Callable[..., list[Floats]]
) -> Iterator[dict[str, object]]:
    """Yield a row of the table for each interval of a measure, and one of its paired difference."""
    began = time.perf_counter()
    measure = MEASURES[name]
    methods = [m for m in INTERVALS.values() if measure.resample is not None or not m.drawn]
    resamples, parts = EFFORT.get(name, USUAL_EFFORT)
    further = simulations if name in EFFORT or measure.resample is None else 4 * simulations
    truths = np.array(
        [of(measure, rsms(population, np.random.default_rng([2, s]), n)) for s in range(further)]
    ).mean(axis=0)
    most = INTERVALS["bca" if measure.resample is not None else "jackknife"]
    ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
    values = []
    for s in range(simulations):
        K, L, M = rsms(population, np.random.default_rng([1, s]), n)
        drawn = Resamples(np.arange(n), resamples, s, most_parts=parts)
        try:
            found = replicate_measure(measure, measure(K, L), K, L, drawn, most)
            difference = found - replicate_measure(measure, measure(K, M), K, M, drawn, most)
        except SemrsmError:
            continue
        values.append((found.value, difference.value))
        for method in methods:
            for what, r, span in (
                (name, found, measure.range),
                (f"difference of {name}", difference, UNBOUNDED),
            ):
                at = interval_of(r, method, span)
                ends.setdefault((what, method.name), []).append((at.low, at.high))
    limits = {name: population.limit} if name in OF_THE_LIMIT else {}
    effort = {"simulations": len(values), "resamples": resamples, "parts": min(n, parts)}
    yield from rows_of(
        {name: 0, f"difference of {name}": 1},
        population.name,
        n,
        ends,
        values,
        truths,
        limits,
        effort,
        began,
    )


def rows_of(
    names: dict[str, int],
    population: str,
    n: int,
    ends: dict[tuple[str, str], list[tuple[float, float]]],
    values: Sequence[tuple[float, ...]],
    truths: Floats,
    limits: dict[str, float | None],
    effort: dict[str, int],
    began: float,
) -> Iterator[dict[str, object]]:
    """Yield the rows of the table: how often the ends of intervals hold the truth.

    Args:
        names: What was simulated -> its place in `values` and `truths`.
        population: Its name.
        n: Samples.
        ends: (what, kind of interval) -> ends, for each simulation.
        values: For each simulation.
        truths: What the values are on average.
        limits: What they are for infinitely many samples, where that is known.
        effort: Columns simulations, resamples and parts.
        began: When, by time.perf_counter().
    """
    seconds = round(time.perf_counter() - began)
    for (what, method), found in ends.items():
        low, high = np.array(found).T
        truth = truths[names[what]]
        spread = float(np.std([v[names[what]] for v in values]))
        limit = limits.get(what)
        yield {
            "what": what,
            "population": population,
            "n": n,
            "interval": method,
            "coverage": round(float(((low <= truth) & (truth <= high)).mean()), 3),
            "too_low": round(float((high < truth).mean()), 3),
            "too_high": round(float((low > truth).mean()), 3),
            "width": round(float((high - low).mean()) / (2 * 1.96 * spread), 2),
            "truth": round(float(truth), 4),
            "limit": "" if limit is None else round(limit, 4),
            "spread": round(spread, 4),
            **effort,
            "seconds": seconds,
        }


EVALUATIONS = ("auroc of views", "map of retrieval", "f1@1 of retrieval")


def simulate_evaluations(n: int, simulations: int) -> Iterator[dict[str, object]]:
    """Yield rows for views, n / 2 things of ten classes twice each, and for retrieval of their classes."""
    began = time.perf_counter()
    centres = np.random.default_rng(5).standard_normal((10, 30))
    things = np.arange(n) // 2

    def rsm_of(draws: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        labels = np.repeat(draws.integers(0, 10, n // 2), 2)
        of_thing = 0.7 * np.repeat(draws.standard_normal((n // 2, 30)), 2, axis=0)
        x = centres[labels] + of_thing + draws.standard_normal((n, 30))
        return x @ x.T, labels

    def weighted_of(rsm: Floats, labels: NDArray[np.int64]) -> tuple[Weighted, Weighted]:
        [hot] = multi_hot([frozenset((str(label),)) for label in labels])
        pairs = rsm[np.triu_indices(n, 1)]
        return (
            auroc_of_pairs(pairs, things, things),
            retrieval_without(rsm, hot, things, (1,), ("map", "f1@1")),
        )

    whole = np.ones((1, n))
    truths, values = [], []
    ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for s in range(simulations):
        of_views, of_labels = weighted_of(*rsm_of(np.random.default_rng([2, s])))
        found = of_views(whole) | of_labels(whole)
        truths.append([found[k][0] for k in ("auroc", "map", "f1@1")])
    for s in range(simulations):
        of_views, of_labels = weighted_of(*rsm_of(np.random.default_rng([1, s])))
        found = {k: float(v[0]) for k, v in (of_views(whole) | of_labels(whole)).items()}
        values.append((found["auroc"], found["map"], found["f1@1"]))
        drawn = Resamples(things, USUAL_EFFORT[0], s, most_parts=USUAL_EFFORT[1])
        auroc = replicate({"auroc": found["auroc"]}, of_views, drawn, INTERVALS["bca"])
        leaving_out = INTERVALS["jackknife"]
        ranked = {k: found[k] for k in ("map", "f1@1")}
        made = auroc | replicate(ranked, of_labels, drawn, leaving_out)
        for what, name in zip(EVALUATIONS, ("auroc", "map", "f1@1"), strict=True):
            for method in INTERVALS.values() if name == "auroc" else (leaving_out,):
                at = interval_of(made[name], method, (0.0, 1.0))
                ends.setdefault((what, method.name), []).append((at.low, at.high))
    names = {what: k for k, what in enumerate(EVALUATIONS)}
    resamples, parts = USUAL_EFFORT
    effort = {"simulations": simulations, "resamples": resamples, "parts": min(n // 2, parts)}
    mean = np.mean([*truths, *values], axis=0)
    yield from rows_of(names, "ten classes, two views", n, ends, values, mean, {}, effort, began)


def of(measure: Measure, rsms: list[Floats]) -> tuple[float, float]:
    """Return a measure of the first two RSMs, and how much it exceeds that of the first and third."""
    K, L, M = rsms
    value = measure(K, L)
    return value, value - measure(K, M)


def linear_rsms(population: Population, draws: np.random.Generator, n: int) -> list[Floats]:
    """Return the RSMs of both models, and of a noisier second one."""
    x, y = population.draw(draws, n)
    z = y + 0.5 * y.std() * draws.standard_normal(y.shape)
    return [f @ f.T for f in (x, y, z)]


def main() -> None:
    """Simulate what is asked for and is not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--only", nargs="*", default=USUAL)
    parser.add_argument("--populations", nargs="*", default=[p.name for p in populations()])
    parser.add_argument("-n", type=int, nargs="*", default=[50, 200])
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    if arguments.out.exists():
        with arguments.out.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    known = {(r["what"], r["population"], str(r["n"])) for r in rows}

    def add(found: Iterator[dict[str, object]]) -> None:
        rows.extend(found)
        with arguments.out.open("w", newline="") as stream:
            lines = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            lines.writeheader()
            lines.writerows(rows)
        about = [rows[-1][column] for column in ("what", "population", "n", "seconds")]
        print(*about, "s", flush=True)

    for n in arguments.n:
        if (
            "evaluations" in arguments.only
            and (EVALUATIONS[0], "ten classes, two views", str(n)) not in known
        ):
            add(simulate_evaluations(n, arguments.simulations))
        for name in arguments.only:
            for population in populations():
                wanted = name in MEASURES and population.name in arguments.populations
                if wanted and (name, population.name, str(n)) not in known:
                    add(simulate(name, population, n, arguments.simulations, linear_rsms))


if __name__ == "__main__":
    main()
