"""Exact assignment with laprust, a Jonker-Volgenant solver in Rust (extra `fast`)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def solve_with_laprust(affinity: Tensor) -> Tensor:
    """Return the permutations with the largest total affinity.

    Args:
        affinity: (P, S, S), finite (laprust does not check), float32 or float64, any device.

    Returns:
        (P, S) int64 on the same device: row s belongs with column p(s).

    Source: Jonker & Volgenant 1987, doi:10.1007/BF02278710; laprust 1.0.0.

    >>> solve_with_laprust(torch.tensor([[[0.0, 2.0], [1.0, 2.5]]])).tolist()
    [[1, 0]]
    """
    import laprust

    # It minimises, and costs of at least 0 spare it work.
    costs = (affinity.amax(dim=2, keepdim=True) - affinity).cpu().numpy()
    columns = [laprust.lapjv(cost, return_cost=False)[1] for cost in costs]
    return torch.from_numpy(np.stack(columns)).to(affinity.device)
