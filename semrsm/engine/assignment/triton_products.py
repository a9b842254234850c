"""From maps to exact matchings on the GPU: one large product, the Triton solver, a proof for each pair."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment import scipy_lsa, triton_sap
from semrsm.engine.maps import Maps


def solve(affinity: Tensor) -> Tensor:
    """Find the permutations (P, S) that maximise sum_s affinity[k, s, p(s)], for (P, S, S).

    The solver reads float32: of float64 affinities the result is optimal up to that rounding.
    """
    problems = torch.arange(len(affinity), device=affinity.device)
    pairs = torch.stack([problems, torch.zeros_like(problems)], 1)
    return triton_sap.solve(affinity[:, :, None].float(), pairs).permutation


def solve_products(rows: Maps, columns: Maps, pairs: Tensor) -> tuple[Tensor, Tensor, int]:
    """Match pairs of samples optimally and prove it.

    The potentials of the solver bound every pair from above, in float64; a pair whose gap is larger
    than `certificate.ACCEPTED_GAP` is solved again by SciPy in float64.

    Args:
        rows: The block that `pairs[:, 0]` counts in, centred, float32 or float64.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64; best those of a few rows, as their samples are multiplied as one block.

    Returns:
        sums: (P,) float64, sum_s <v_s, w_p(s)> of the stored values.
        permutation: (P, S) int64.
        again: How many pairs were solved again.
    """
    i, row = pairs[:, 0].unique(return_inverse=True)
    j, column = pairs[:, 1].unique(return_inverse=True)
    local = torch.stack([row, column], 1)
    S, C = rows.n_positions, rows.n_channels
    x, y = rows.values[i], columns.values[j]
    affinity = (x.reshape(-1, C) @ y.reshape(-1, C).T).view(len(i), S, len(j), S)
    # The solver reads float32; the sums and the proof are of the products as they are.
    found = triton_sap.solve(affinity.float(), local)
    sums = certificate.value(affinity, local, found.permutation)
    bound = certificate.upper_bound(affinity, local, found.v)
    row_norms, column_norms = (torch.linalg.vector_norm(maps, dim=2) for maps in (x, y))
    scale = certificate.scale(row_norms, column_norms, local, found.permutation)
    gap = certificate.relative_gap(bound, sums, scale)
    permutation = found.permutation
    again = certificate.unproven(gap).nonzero()[:, 0]
    for pair in again.tolist():
        a, b = (m.values[k].double() for m, k in zip((rows, columns), pairs[pair], strict=True))
        exact = a @ b.T
        permutation[pair] = scipy_lsa.solve(exact[None].cpu())[0].to(permutation.device)
        sums[pair] = certificate.value(
            exact[None, :, None],
            torch.zeros(1, 2, dtype=torch.int64, device=exact.device),
            permutation[pair : pair + 1],
        )[0]
    return sums, permutation, len(again)
