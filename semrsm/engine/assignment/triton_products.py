"""From maps to exact matchings on the GPU: one large product, the Triton solver, a proof for each pair.

Nothing here waits for the GPU: what is not proved is marked, and left to who fetches the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment import triton_proof, triton_sinkhorn
from semrsm.engine.assignment.solver import Solved
from semrsm.engine.assignment.triton_sap import Assigned
from semrsm.engine.maps import Maps

Assign = Callable[[Tensor, Tensor], Assigned]
"""(affinities (a, S, b, S) float32, pairs (P, 2)) -> assignments, by augmenting paths or cost scaling."""

LOST = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-6}
"""What torch's precision of products loses of one, of the product of the norms: both factors are rounded."""


def solve(affinity: Tensor, assign: Assign) -> Tensor:
    """Find the permutations (P, S) that maximise sum_s affinity[k, s, p(s)], for (P, S, S).

    The solver reads float32: of float64 affinities the result is optimal up to that rounding.
    """
    problems = torch.arange(len(affinity), device=affinity.device)
    pairs = torch.stack([problems, torch.zeros_like(problems)], 1)
    return assign(affinity[:, :, None].float(), pairs).permutation


def product(rows: Maps, columns: Maps) -> Tensor:
    """Return the affinities of all rows with all columns, (a, S, b, S), as one product."""
    x, y = rows.values, columns.values
    return (x.flatten(0, 1) @ y.flatten(0, 1).T).view(*x.shape[:2], *y.shape[:2])


def solve_products(
    rows: Maps, columns: Maps, pairs: Tensor, bounded: bool, assign: Assign
) -> Solved:
    """Match pairs of samples optimally and prove it.

    The potentials of the solver bound every pair from above, in float64; a pair whose gap is larger
    than `certificate.ACCEPTED_GAP` is marked as unproven.

    Args:
        rows: The samples that `pairs[:, 0]` counts in, centred, float32 or float64. All of them are
            multiplied with all columns, so there should be none that no pair names.
        columns: The samples that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.
        bounded: Also bound the inner products of all matchings from above.
        assign: Solves the pairs.
    """
    affinity = product(rows, columns)
    # The solver reads float32; the proof is of the products as they are, the sums are exact.
    solution = assign(affinity.float(), pairs)
    norms = norms_of(rows), norms_of(columns)
    value, bound, scale = triton_proof.prove(
        affinity, pairs, solution.v, solution.permutation, norms
    )
    unproven = certificate.unproven(certificate.relative_gap(bound, value, scale))
    sums = triton_proof.matched_sums(rows.values, columns.values, pairs, solution.permutation)
    bounds = bounds_from(affinity, rows, columns, pairs, solution.v) if bounded else None
    return Solved(
        sums,
        solution.permutation,
        bounds=bounds,
        unproven=unproven | (solution.scans < 0),
        potentials=solution.v,
        gave_up=solution.gave_up,
    )


def norms_of(maps: Maps) -> Tensor:
    """Return the norms of the stored positions, (b, S) float64."""
    return torch.linalg.vector_norm(maps.values, dim=2, dtype=torch.float64)


def bounds_from(affinity: Tensor, rows: Maps, columns: Maps, pairs: Tensor, v: Tensor) -> Tensor:
    """Bound the inner product of every matching of the samples themselves from above: (P,) float64.

    Args:
        affinity: (a, S, b, S), the products of the stored values, in whatever precision.
        rows: The samples that `pairs[:, 0]` counts in.
        columns: The samples that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.
        v: (P, S) column potentials of the stored values.
    """
    norms = norms_of(rows), norms_of(columns)
    lost = LOST[torch.get_float32_matmul_precision()]
    values = rows.values, columns.values
    bounds = triton_proof.bounds(affinity, *values, pairs, v, norms, lost)
    of_samples = (torch.linalg.vector_norm(of_positions, dim=1) for of_positions in norms)
    return certificate.bounds_of_samples(rows, columns, pairs, bounds, *of_samples)


def bounds_without_matching(rows: Maps, columns: Maps, pairs: Tensor) -> Tensor:
    """Do the same from the potentials of Sinkhorn sweeps alone, where no optimal matching is known.

    The sweeps see centred maps: a mean that all positions share would drown what differs. What it adds
    to the product with a column belongs to the potential of that column.
    """
    x, y = (maps.values - maps.values.mean(1, keepdim=True) for maps in (rows, columns))
    centred = product(replace(rows, values=x), replace(columns, values=y))
    v = triton_sinkhorn.sinkhorn_start(centred.float(), pairs)
    del centred
    i, j = pairs.unbind(1)
    shared = rows.values.mean(1) @ columns.values.flatten(0, 1).T
    v = v + shared.view(len(rows), len(columns), -1)[i, j]
    return bounds_from(product(rows, columns), rows, columns, pairs, v)
