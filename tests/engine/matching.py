"""What the tests of matchers share: maps, all pairs of two blocks matched, and the slow values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from semrsm.engine.maps import prepare, unscaled
from semrsm.engine.matchers import MATCHERS, Matcher, Settings
from semrsm.engine.matchers.reference import REFERENCES

# Small ones, so that windows, groups and the top cut small maps too.
SETTINGS = Settings(topk=5, window=6, epsilon=0.01, group=3)
SIZES = (1, 2, 3, 17, 49, 63)
GRIDS = {1: (1, 1), 2: (1, 2), 3: (3, 1), 16: (4, 4), 17: (1, 17), 49: (7, 7), 63: (7, 9)}

every_matcher = pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS)


@dataclass(frozen=True)
class Found:
    """Matched inner products (a, b), all row samples with all column samples, and permutations."""

    values: np.ndarray
    permutation: np.ndarray | None


def match_all(
    matcher: Matcher,
    x: np.ndarray,
    y: np.ndarray,
    settings: Settings = SETTINGS,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    grid: tuple[int, int] | None = None,
) -> Found:
    grid = grid or GRIDS[x.shape[1]]
    rows, columns = (
        prepare(torch.from_numpy(v).to(device), centred=matcher.centred, dtype=dtype, grid=grid)
        for v in (x, y)
    )
    pairs = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(y))).to(device)
    matches = matcher.match(
        matcher.prepare(rows, settings), matcher.prepare(columns, settings), pairs, settings
    )
    values = unscaled(matches.sums, rows, columns, pairs).cpu().numpy().reshape(len(x), len(y))
    assert matches.sums.dtype == torch.float64
    p = matches.permutation
    return Found(values, None if p is None else p.cpu().numpy().reshape(len(x), len(y), -1))


def activations(rng: np.random.Generator, n: int, S: int, C: int) -> np.ndarray:
    """Positions of a few kinds, of very different norms, not negative: a little like real maps."""
    kinds = rng.normal(size=(4, C)) + 0.5
    maps = kinds[rng.integers(4, size=(n, S))] * rng.gamma(2.0, size=(n, S, 1))
    return np.maximum(maps + 0.3 * rng.normal(size=(n, S, C)), 0.0)


def scale_of(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(x, axis=(1, 2)).max() * np.linalg.norm(y, axis=(1, 2)).max())


def references(matcher: Matcher, x: np.ndarray, y: np.ndarray, settings: Settings) -> np.ndarray:
    grid = GRIDS[x.shape[1]]
    return np.array([[REFERENCES[matcher.name](a, b, settings, grid) for b in y] for a in x])
