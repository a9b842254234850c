"""The readable reference of native/src/scaling.hpp: cost scaling on row lists, in NumPy and float64."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
LENGTH = 32  # entries that a list holds at most
LEAST = 6  # entries that a list holds at least, where there are so many
FIRST_EPS, EPS_STEP, LAST_EPS = 0.003, 10.0, 1e-12  # of the mean cost
MOST_BIDS, MOST_LISTS = 600, 40  # for each row; beyond, another solver is better


@dataclass
class Prices:
    """A problem in work.

    Attributes:
        costs: (S, S), row minima about zero.
        v: (S,) prices of the columns; they only fall.
        column: (S,) column of each row, -1 while it has none.
        row: (S,) row of each column, -1 while it has none.
        lists: The columns on the list of each row.
        threshold: (S,) what a list leaves out has cost - v of at least this.
        bids: How many bids were made.
        n_lists: How many lists were made.
    """

    costs: Costs
    v: NDArray[np.float64]
    column: NDArray[np.int64]
    row: NDArray[np.int64]
    threshold: NDArray[np.float64]
    lists: list[NDArray[np.int64]] = field(default_factory=list)
    bids: int = 0
    n_lists: int = 0


def minimise(costs: Costs) -> NDArray[np.int64] | None:
    """Find the permutation p that minimises sum_s costs[s, p(s)], by an auction with falling eps.

    Every free row bids for the column that is cheapest for it, costs - v, and lowers its price v by
    what the second cheapest costs more, and by eps; who had the column is free again. With every row
    matched, no row pays more than eps above its cheapest column, so the sum is optimal up to S eps.
    eps falls tenfold from phase to phase. A row looks at its list only: the entries of costs - v that
    lay below a threshold when the list was made. Prices only fall, so those left out stay above it.

    Args:
        costs: (S, S), finite.

    Returns:
        (S,) int64; None if too many positions are alike, so that the lists do not help.

    Source: D. P. Bertsekas, Annals of Operations Research 14 (1988), doi:10.1007/BF02186476.

    >>> minimise(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])).tolist()
    [1, 0, 2]
    """
    costs = np.asarray(costs, dtype=np.float64)
    costs = costs - costs.min(axis=1, keepdims=True)
    S = len(costs)
    work = Prices(costs, np.zeros(S), np.full(S, -1), np.full(S, -1), np.zeros(S))
    work.lists = [np.arange(0)] * S
    for s in range(S):
        _list_anew(work, s)
    mean = max(float(costs.mean()), 1e-30)
    eps = FIRST_EPS
    while _auction(work, eps * mean):
        if eps <= LAST_EPS:
            return work.column
        eps = max(eps / EPS_STEP, LAST_EPS)
    return None


def _auction(work: Prices, eps: float) -> bool:
    """Match every row so that it pays at most eps too much; False if that takes too long."""
    S = len(work.costs)
    for s in range(S):
        t = work.column[s]
        if t >= 0 and work.costs[s, t] - work.v[t] > _bid(work, s, eps)[1] + eps:
            work.row[t] = work.column[s] = -1
    free = [s for s in range(S) if work.column[s] < 0]
    while free:
        s = free.pop()
        t, best, second = _bid(work, s, eps)
        work.v[t] -= second - best + eps
        if work.row[t] >= 0:
            work.column[work.row[t]] = -1
            free.append(int(work.row[t]))
        work.row[t], work.column[s] = s, t
        work.bids += 1
        if work.bids > MOST_BIDS * S or work.n_lists > MOST_LISTS * S:
            return False
    return True


def _bid(work: Prices, s: int, eps: float) -> tuple[int, float, float]:
    """Return the cheapest column of a row, what it costs, and what the second cheapest costs."""
    for again in (False, True):
        columns = work.lists[s]
        keys = work.costs[s, columns] - work.v[columns]
        best = float(keys.min())
        others = np.delete(keys, keys.argmin())
        second = float(others.min()) if len(others) else np.inf
        known = float(work.threshold[s])
        if second <= known or best + eps <= known or again:
            break
        _list_anew(work, s)
    # A row with one column only may ask any price.
    second = min(second, known) if min(second, known) < np.inf else best
    return int(columns[keys.argmin()]), best, max(best, second)


def _list_anew(work: Prices, s: int) -> None:
    """Make the list of a row: its cheapest columns, and all others are at least as dear as known."""
    work.n_lists += 1
    keys = work.costs[s] - work.v
    order = np.argsort(keys, kind="stable")
    kept = min(len(keys), (LEAST + LENGTH) // 2)
    work.lists[s] = order[:kept]
    work.threshold[s] = keys[order[kept]] if kept < len(keys) else np.inf
