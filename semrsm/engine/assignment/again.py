"""Pairs that a solver left unproven: solved again in float64, in one batch, on threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.assignment import choose_float64_solver
from semrsm.engine.certificate import bound_of_pair, bounds_of_samples
from semrsm.engine.maps import Maps, take, unscaled


@dataclass(frozen=True)
class SolvedAgain:
    """What was found for K pairs, on the CPU.

    Attributes:
        matched: (K,) float64, matched inner products of the samples.
        permutation: (K, S) int64.
        bounds: (K,) float64, what no matching exceeds; None unless asked for.
    """

    matched: Tensor
    permutation: Tensor
    bounds: Tensor | None


def solve_again(
    rows: Maps, columns: Maps, pairs: Tensor, start: Tensor, threads: int, bounded: bool
) -> SolvedAgain:
    """Match some pairs optimally, every step in float64, on the CPU.

    The solver is given reduced costs u + v - A >= 0 for the potentials that were found before, so it
    has little left to do.

    Args:
        rows: The maps that `pairs[:, 0]` counts in, on any device.
        columns: The maps that `pairs[:, 1]` counts in.
        pairs: (K, 2) int64, on the CPU.
        start: (K, S) column potentials of the stored values, on the CPU; what is no number counts as 0.
        threads: How many pairs are solved at once.
        bounded: Also bound the inner products of all matchings from above.
    """
    minimise = choose_float64_solver().minimise
    (x, i), (y, j) = (
        _used(maps, side) for maps, side in zip((rows, columns), pairs.T, strict=True)
    )
    pairs = torch.stack([i, j], 1)
    v = start.double().nan_to_num(0.0, 0.0, 0.0)

    def solve(k: int) -> tuple[Tensor, Tensor, Tensor]:
        one, other = x.values[i[k]].double(), y.values[j[k]].double()
        affinity = one @ other.T
        costs = v[k] - affinity
        permutation = minimise((costs - costs.amin(1, keepdim=True))[None])[0]
        bound = bound_of_pair(one, other, permutation) if bounded else v.new_zeros(())
        return affinity.gather(1, permutation[:, None]).sum(), permutation, bound

    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        solutions = list(pool.map(solve, range(len(pairs))))
    sums, permutation, bounds = (torch.stack(parts) for parts in zip(*solutions, strict=True))
    matched = unscaled(sums, x, y, pairs)
    if not bounded:
        return SolvedAgain(matched, permutation, None)
    norms = (torch.linalg.vector_norm(maps.values.double(), dim=(1, 2)) for maps in (x, y))
    return SolvedAgain(matched, permutation, bounds_of_samples(x, y, pairs, bounds, *norms))


def _used(maps: Maps, samples: Tensor) -> tuple[Maps, Tensor]:
    """Return the samples that are named, on the CPU, and the numbers by which they are named there."""
    named, numbers = samples.unique(return_inverse=True)
    there = named.to(maps.values.device)
    return take(maps, lambda values: values[there].cpu()), numbers
