"""Exact assignment by SciPy: the readable reference."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def solve(affinity: Tensor) -> Tensor:
    """Find the permutations that maximise sum_s affinity[k, s, p(s)].

    Modified Jonker-Volgenant without initialisation (Crouse 2016, doi:10.1109/TAES.2016.140952),
    in float64. Releases the GIL.

    Args:
        affinity: (k, S, S) float32 or float64, finite; not checked here. Solved on the CPU, wherever
            it is: a GPU without Triton is served as well.

    Returns:
        (k, S) int64.

    >>> solve(torch.tensor([[[3.0, 1.0], [1.0, 4.0]], [[1.0, 2.0], [5.0, 1.0]]])).tolist()
    [[0, 1], [1, 0]]
    """
    return minimise(-affinity)


def minimise(costs: Tensor) -> Tensor:
    """Find the permutations (k, S) int64 that minimise sum_s costs[k, s, p(s)]; see `solve`."""
    columns = [linear_sum_assignment(cost)[1] for cost in costs.cpu().numpy()]
    permutations = torch.from_numpy(np.stack(columns).astype(np.int64, copy=False))
    return permutations.to(costs.device)
