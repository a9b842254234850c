"""Exact assignment with SciPy: the readable reference of every other solver."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def solve_with_scipy(affinity: Tensor) -> Tensor:
    """Return the permutations with the largest total affinity.

    Args:
        affinity: (P, S, S), finite, any float dtype and device.

    Returns:
        (P, S) int64 on the same device: row s belongs with column p(s), and
        `affinity[k, range(S), p].sum()` is the largest there is.

    Source: Crouse 2016, doi:10.1109/TAES.2016.140952.

    >>> solve_with_scipy(torch.tensor([[[0.0, 2.0], [1.0, 2.5]]])).tolist()
    [[1, 0]]
    """
    problems = affinity.cpu().numpy()
    permutations = [linear_sum_assignment(problem, maximize=True)[1] for problem in problems]
    return torch.from_numpy(np.stack(permutations)).to(affinity.device)
