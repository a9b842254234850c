#!/usr/bin/env python3
"""Compares every matcher, kernel and certificate with brute force over all permutations, in rationals.

Small maps (S <= 5) of every awkward kind: constant, equal, almost equal, tiny, huge, offset, nearly
orthogonal, whole numbers, zeros, random; stored as float32 or float64, matched in float32 or float64.
Exact assignment is that of the solver which users are given here, or of the one that --solver names.
Prints the worst of each matcher; ends with exit code 1 and the faults if one is beyond what is promised.

Example: .venv/bin/python scripts/rational_check.py --pairs 20000
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from semrsm.engine.assignment import SOLVERS, choose_solver
from semrsm.engine.blocks import Block, ready
from semrsm.engine.kernels import KERNELS
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.pairs import MatchedPairs, Work, match_pairs
from semrsm.engine.rounding import stored_type, unsure

ROWS, COLUMNS = 4, 5  # samples of a batch: 20 pairs
OFF = {torch.float32: 1e-7, torch.float64: 1e-13}  # of |x||y|: what an exact value may be off
MORE = 2  # times as much for the others, which sum float32 products of whole maps
GRIDS = {1: (1, 1), 2: (1, 2), 3: (3, 1), 4: (2, 2), 5: (1, 5)}
SETTINGS = Settings(solver=choose_solver("cpu").name, topk=2, window=2, group=2)
KINDS = {
    "random": lambda rng, x: x,
    "positive": lambda rng, x: np.maximum(x, 0),
    "whole": lambda rng, x: x.round(),
    "constant": lambda rng, x: np.broadcast_to(x[:, :1], x.shape),
    "zeros": lambda rng, x: x * (rng.random((len(x), 1, 1)) < 0.6),
    "tiny": lambda rng, x: x * 1e-30,
    "huge": lambda rng, x: x * 1e30,
    "all sizes": lambda rng, x: x * 10.0 ** rng.integers(-15, 15, size=(len(x), 1, 1)),
    "some large": lambda rng, x: x * 10.0 ** rng.integers(-4, 4, size=x.shape),
    "offset": lambda rng, x: x + 10.0 ** rng.integers(0, 6),
    "orthogonal": lambda rng, x: x + 1e3 * np.eye(9, x.shape[2])[np.arange(len(x)) % 2][:, None],
    "equal": lambda rng, x: rng.permuted(np.broadcast_to(x[:1], x.shape), axis=0),
    "moved": lambda rng, x: np.stack([x[0, rng.permutation(x.shape[1])] for _ in x]),
    "alike": lambda rng, x: x[:1] + 10.0 ** rng.integers(-9, 0) * x,
    "alike, offset": lambda rng, x: 10.0 + x[:1] + 10.0 ** rng.integers(-9, 0) * x,
}  # fmt: skip


@dataclass(frozen=True)
class Exact:
    """A pair in rational arithmetic: its affinities, the optimum and the squared norms."""

    affinity: list[list[Fraction]]
    optimum: Fraction
    row_sq: Fraction
    column_sq: Fraction

    def value(self, matcher: str, permutation: list[int] | None) -> Fraction:
        """Return the value of a permutation, or of the bound that a matcher without one gives."""
        if permutation is not None:
            return sum((self.affinity[s][t] for s, t in enumerate(permutation)), Fraction(0))
        rows, columns = self.affinity, list(zip(*self.affinity, strict=True))
        if matcher == "pool":
            return sum(map(sum, rows), Fraction(0)) / len(rows)
        return (sum(map(max, rows), Fraction(0)) + sum(map(max, columns), Fraction(0))) / 2

    def share(self, difference: Fraction) -> float:
        """Return a difference as a share of |x||y|."""
        if not difference:
            return 0.0
        return float(difference) / self.size if self.size else math.copysign(math.inf, difference)

    @functools.cached_property
    def size(self) -> float:
        """|x||y|."""
        return math.sqrt(self.row_sq) * math.sqrt(self.column_sq)


def exact_pair(x: list[list[Fraction]], y: list[list[Fraction]]) -> Exact:
    """Find the best of all permutations."""
    affinity = [[sum(map(Fraction.__mul__, a, b), Fraction(0)) for b in y] for a in x]
    # As whole numbers over one denominator, which is a power of two: sums of fractions are slow.
    denominator = max(entry.denominator for row in affinity for entry in row)
    whole = [[int(entry * denominator) for entry in row] for row in affinity]
    places = range(len(x))
    best = max(sum(whole[s][p[s]] for s in places) for p in itertools.permutations(places))
    row_sq, column_sq = (sum((v * v for a in m for v in a), Fraction(0)) for m in (x, y))
    return Exact(affinity, Fraction(best, denominator), row_sq, column_sq)


@dataclass
class Worst:
    """The worst that was found of a matcher, as shares of |x||y| unless said otherwise.

    Attributes:
        pairs: How many were compared.
        off: Of the value of its matching; of the optimum where the matcher is exact.
        cosine: Of the cosine.
        rbf: Of rbf, where it is not counted as unsure.
        unsure: How many rbf are counted as unsure.
        below_optimum: By how much a bound lay below the optimum; at most 0.
        below_matched: By how much a bound lay below the matched value; at most 0.
        loose: How far a bound lay above the optimum.
    """

    pairs: int = 0
    off: float = 0.0
    cosine: float = 0.0
    rbf: float = 0.0
    unsure: int = 0
    below_optimum: float = -math.inf
    below_matched: float = -math.inf
    loose: float = 0.0

    def note(self, name: str, value: float) -> None:
        """Keep the larger one."""
        setattr(self, name, max(getattr(self, name), value))


def maps_of(seed: int) -> tuple[str, np.ndarray]:
    """Return the kind of a batch and its samples, (9, S, C) float32 or float64."""
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    n_positions, n_channels = rng.integers(1, 6), rng.integers(1, 4)
    # Maps of few numbers are always matched in float64.
    x = rng.normal(size=(ROWS + COLUMNS, n_positions, 16 if n_channels == 3 else n_channels))
    maps = np.asarray(KINDS[kind](rng, x))
    return kind, np.array(maps, rng.choice([np.float32, np.float64]), order="C")


def check_batch(seed: int, worst: dict[str, Worst], settings: Settings = SETTINGS) -> list[str]:
    """Match the pairs of a batch with everything; take note of the worst, return the faults."""
    kind, maps = maps_of(seed)
    rational = [[[Fraction(float(v)) for v in a] for a in m] for m in maps]
    pairs = torch.cartesian_prod(torch.arange(ROWS), torch.arange(COLUMNS))
    exact = [exact_pair(rational[i], rational[ROWS + j]) for i, j in pairs.tolist()]
    faults = []
    dtype = list(OFF)[seed // len(KINDS) % len(OFF)]
    for name, matcher in MATCHERS.items():
        work = Work(
            matcher,
            settings,
            dtype=dtype,
            grid=GRIDS[maps.shape[1]],
            certify=matcher.value != "at least the optimum",
        )
        rows, columns = (
            ready(functools.partial(_read, some), range(len(some)), work)
            for some in (maps[:ROWS], maps[ROWS:])
        )
        found = match_pairs(rows, columns, pairs, work)
        where = f"seed {seed} ({kind}, {maps.dtype}, S={maps.shape[1]}), {name} in {dtype}"
        for k, pair in enumerate(exact):
            said = _check_pair(pair, k, found, rows, columns, work, worst[name])
            faults += [f"{where}, pair {pairs[k].tolist()}: {fault}" for fault in said]
    return faults


def _read(maps: np.ndarray, samples: range) -> torch.Tensor:
    return torch.from_numpy(maps[samples.start : samples.stop])


def _check_pair(
    pair: Exact,
    k: int,
    found: MatchedPairs,
    rows: Block,
    columns: Block,
    work: Work,
    worst: Worst,
) -> list[str]:
    """Compare what was found for one pair with what is true; return what is beyond the promises."""
    matcher, faults = work.matcher, []
    worst.pairs += 1
    m = found.matched[k].item()
    permutation = None if found.permutation is None else found.permutation[k].tolist()
    value = pair.value(matcher.name, permutation)
    true = pair.optimum if matcher.value == "exact" else value
    off = abs(pair.share(Fraction(m) - true))
    worst.note("off", off)
    # A bound without a permutation may be sqrt(S) times as large as |x||y|.
    allowed = _allowed(work) * (1 if matcher.permutation else len(pair.affinity) ** 0.5)
    if off > allowed:
        faults.append(f"the value is off by {off:.3g} of |x||y|")
    if matcher.value == "at most the optimum" and value > pair.optimum:
        faults.append("the value of the matching is above the optimum")
    if found.upper_bound is not None:
        bound = Fraction(found.upper_bound[k].item())
        worst.note("below_optimum", pair.share(pair.optimum - bound))
        worst.note("below_matched", pair.share(Fraction(m) - bound))
        worst.note("loose", pair.share(bound - pair.optimum))
        if bound < pair.optimum or bound < Fraction(m):
            faults.append(f"the bound {float(bound)!r} is below {float(pair.optimum)!r} or {m!r}")
    norms = [
        maps.squared_norm[place].numpy()[None]
        for maps, place in zip((rows.maps, columns.maps), found.pairs[k], strict=True)
    ]
    return faults + _check_kernels(pair, m, true, norms, work, worst)


def _allowed(work: Work) -> float:
    return OFF[work.dtype] * (1 if work.matcher.value == "exact" else MORE)


def _check_kernels(
    pair: Exact, m: float, true: Fraction, norms: list[np.ndarray], work: Work, worst: Worst
) -> list[str]:
    """Finish every kernel that the matcher serves and compare it with its definition."""
    faults, one = [], np.array([[m]])
    stored = stored_type(KERNELS["linear"], *norms, len(pair.affinity))
    linear = float(KERNELS["linear"].finish(one, *norms, None).astype(stored)[0, 0])
    if abs(pair.share(Fraction(linear) - Fraction(m))) > 1e-7 * len(pair.affinity) ** 0.5:
        faults.append(f"linear is {linear!r}, not {m!r}")
    if not work.matcher.permutation:
        return faults
    if pair.row_sq and pair.column_sq:
        cosine = float(KERNELS["cosine"].finish(one, *norms, None)[0, 0])
        off = abs(cosine - pair.share(true))
        worst.note("cosine", off)
        if off > _allowed(work) * 1.01:
            faults.append(f"the cosine is off by {off:.3g}")
    d2 = pair.row_sq + pair.column_sq - 2 * true
    for square in {float(d2), float(pair.row_sq + pair.column_sq)} - {0.0}:
        sigma = math.sqrt(square)
        doubtful = unsure(one, *norms, sigma)
        if doubtful is not None and doubtful[0, 0]:
            worst.unsure += 1
            continue
        rbf = float(KERNELS["rbf"].finish(one, *norms, sigma)[0, 0])
        off = abs(rbf - math.exp(-float(d2) / sigma / sigma / 2))
        worst.note("rbf", off)
        if off > 1e-3:
            faults.append(f"rbf is off by {off:.3g} at sigma {sigma:.3g}")
    return faults


def main() -> int:
    """Check so many pairs, print the worst of each matcher; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first batch of 20 pairs")
    parser.add_argument("--solver", choices=SOLVERS, default=SETTINGS.solver)
    options = parser.parse_args()
    settings = dataclasses.replace(SETTINGS, solver=options.solver)
    torch.set_num_threads(1)
    worst, faults = {name: Worst() for name in MATCHERS}, []
    batches = range(options.seed, options.seed + math.ceil(options.pairs / (ROWS * COLUMNS)))
    for seed in batches:
        faults += check_batch(seed, worst, settings)
    print("matcher", *vars(Worst()), sep="\t")
    for name, found in worst.items():
        shown = (
            f"{value:.3g}" if isinstance(value, float) else value for value in vars(found).values()
        )
        print(name, *shown, sep="\t")
    count = len(batches) * ROWS * COLUMNS
    print(f"{count} pairs, solver {settings.solver}, {len(faults)} faults", *faults[:50], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
