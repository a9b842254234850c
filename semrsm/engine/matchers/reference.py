"""Slow, readable references of all matchers: one pair, plain loops, float64; tests compare with them.

Each takes x and y (S, C), the settings and the grid, and returns the value that the matcher of that
name gives the pair.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from semrsm.engine.settings import Settings

Floats = NDArray[np.float64]
Grid = tuple[int, int] | None


def value_of(x: Floats, y: Floats, permutation: list[int]) -> float:
    """Return sum_s <x_s, y_p(s)>.

    >>> value_of(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), [1, 0])
    10.0
    """
    return float(sum(np.dot(x[s], y[t]) for s, t in enumerate(permutation)))


def optimal_permutation(affinity: Floats) -> list[int]:
    """Return the permutation with the largest sum, found by SciPy."""
    return [int(t) for t in linear_sum_assignment(affinity, maximize=True)[1]]


def greedy_permutation(affinity: Floats) -> list[int]:
    """Let rows, best affinity first, take their best free column; ties go to the lower index.

    >>> greedy_permutation(np.array([[5.0, 4.0], [6.0, 1.0]]))
    [1, 0]
    """
    free = list(range(len(affinity)))
    permutation = [0] * len(affinity)
    for s in sorted(range(len(affinity)), key=lambda s: (-affinity[s].max(), s)):
        best = max(free, key=lambda t: (affinity[s, t], -t))
        permutation[s] = best
        free.remove(best)
    return permutation


def optimal(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the largest value of any permutation."""
    return value_of(x, y, optimal_permutation(x @ y.T))


def identity(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the value of leaving every position where it is."""
    return value_of(x, y, list(range(len(x))))


def greedy(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the larger value of `greedy_permutation`, with the positions of x or of y choosing."""
    affinity = x @ y.T
    return max(
        value_of(x, y, greedy_permutation(affinity)), value_of(y, x, greedy_permutation(affinity.T))
    )


def topk_greedy(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the value of the k largest vectors matched optimally, the others greedily."""
    cut = max(0, len(x) - settings.topk)
    (x_rest, x_top), (y_rest, y_top) = (
        (sorted(order[:cut]), sorted(order[cut:])) for order in (_by_norm(x), _by_norm(y))
    )
    rest = greedy(x[x_rest], y[y_rest], settings, grid)
    return rest + optimal(x[x_top], y[y_top], settings, grid)


def batch_optimal(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the value of windows of similar norms, each matched optimally."""
    x_order, y_order = _by_norm(x), _by_norm(y)
    total = 0.0
    for start in range(0, len(x), settings.window):
        window = slice(start, start + settings.window)
        total += optimal(x[x_order[window]], y[y_order[window]], settings, grid)
    return total


def sinkhorn(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the larger value of the entropic plan, rounded greedily, with x or y as its rows."""
    return max(_sinkhorn_of_rows(x, y, settings), _sinkhorn_of_rows(y, x, settings))


def _sinkhorn_of_rows(x: Floats, y: Floats, settings: Settings) -> float:
    """Return the value of the entropic plan of the centred affinities, rounded greedily."""
    affinity = (x - x.mean(0)) @ (y - y.mean(0)).T
    spread = affinity.max() - affinity.min()
    if spread == 0:
        return value_of(x, y, list(range(len(x))))
    u, v = np.zeros(len(x)), np.zeros(len(x))
    falling = [0.25 * 0.85**k for k in range(1000) if 0.25 * 0.85**k > settings.epsilon]
    for entropy in spread * np.array([*falling, *[settings.epsilon] * 10]):
        u = entropy * logsumexp((affinity - v[None, :]) / entropy, axis=1)
        v = entropy * logsumexp((affinity - u[:, None]) / entropy, axis=0)
    return value_of(x, y, greedy_permutation(affinity - u[:, None] - v[None, :]))


def coarse(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the value of groups matched optimally by their means, then positions within them."""
    x_groups, x_rest = groups_of(x, settings.group)
    y_groups, y_rest = groups_of(y, settings.group)
    total = optimal(x[x_rest], y[y_rest], settings, grid) if x_rest else 0.0
    if not x_groups:
        return total
    means = [[v[g].mean(0) for g in groups] for v, groups in ((x, x_groups), (y, y_groups))]
    partner = optimal_permutation(np.array(means[0]) @ np.array(means[1]).T)
    for s, t in enumerate(partner):
        total += optimal(x[x_groups[s]], y[y_groups[t]], settings, grid)
    return total


def groups_of(x: Floats, size: int) -> tuple[list[list[int]], list[int]]:
    """Cut positions in halves along their leading direction until groups hold `size` of them.

    Returns the groups and the len(x) mod size positions nearest the mean, which are in none.

    >>> groups_of(np.array([[-3.0], [4.0], [-2.0], [5.0], [0.0]]), 2)
    ([[0, 2], [1, 3]], [4])
    """
    centred = x - x.mean(0)
    order = sorted(range(len(x)), key=lambda s: -float(np.sum(centred[s] ** 2)))
    kept = len(x) // size * size

    def bisected(members: list[int]) -> list[list[int]]:
        if len(members) <= size:
            return [members]
        vectors = centred[members] - centred[members].mean(0)
        direction = vectors[np.argmax((vectors**2).sum(1))]
        for _ in range(3):
            if not direction.any():
                break
            direction = vectors.T @ (vectors @ (direction / np.linalg.norm(direction)))
        along = vectors @ direction
        members = [members[k] for k in np.argsort(along, kind="stable")]
        half = len(members) // size // 2 * size
        return bisected(members[:half]) + bisected(members[half:])

    return (bisected(order[:kept]) if kept else []), order[kept:]


def shift(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the largest value of all circular shifts of the grid."""
    if grid is None:
        raise ValueError("shift needs a grid")
    maps = y.reshape(*grid, -1)
    return max(
        float(np.sum(x * np.roll(maps, (down, along), (0, 1)).reshape(x.shape)))
        for down in range(grid[0])
        for along in range(grid[1])
    )


def maxsim(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return the mean of the sum of row maxima and the sum of column maxima."""
    affinity = x @ y.T
    return (sum(map(max, affinity)) + sum(map(max, affinity.T))) / 2


def pool(x: Floats, y: Floats, settings: Settings, grid: Grid) -> float:
    """Return S <mean x, mean y>."""
    return float(len(x) * np.dot(x.mean(0), y.mean(0)))


def _by_norm(x: Floats) -> list[int]:
    return sorted(range(len(x)), key=lambda s: float(np.linalg.norm(x[s])))


REFERENCES: dict[str, Callable[[Floats, Floats, Settings, Grid], float]] = {
    "optimal": optimal,
    "identity": identity,
    "greedy": greedy,
    "topk-greedy": topk_greedy,
    "batch-optimal": batch_optimal,
    "sinkhorn": sinkhorn,
    "coarse": coarse,
    "shift": shift,
    "maxsim": maxsim,
    "pool": pool,
}
