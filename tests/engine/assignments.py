"""What the tests of the GPU solvers share: problems, SciPy's values, and what every result must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment.triton_sap import Assigned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Assign = Callable[..., Assigned]


def every_pair(affinity: Tensor) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(affinity.shape[k]) for k in (0, 2)))


def solve(assign: Assign, affinity: Tensor, pairs: Tensor, **start: Tensor) -> Assigned:
    """Solve on the device, check that the results are permutations, bring them back."""
    start = {name: tensor.to(DEVICE) for name, tensor in start.items()}
    found = assign(affinity.to(DEVICE), pairs.to(DEVICE), **start)
    there = {name: tensor for name, tensor in vars(found).items() if tensor is not None}
    found = replace(found, **{name: tensor.cpu() for name, tensor in there.items()})
    numbers = torch.arange(affinity.shape[1]).expand_as(found.permutation)
    assert torch.equal(found.permutation.sort(dim=1).values, numbers)
    assert (found.scans >= 0).all()
    return found


def optimum(affinity: Tensor, pairs: Tensor) -> np.ndarray:
    blocks = [affinity[i, :, j].double().numpy() for i, j in pairs.tolist()]
    return np.array([a[linear_sum_assignment(a, maximize=True)].sum() for a in blocks])


def check(
    assign: Assign, affinity: Tensor, pairs: Tensor | None = None, **start: Tensor
) -> Assigned:
    """Values equal SciPy's and are certified, both to 1e-6 of the size of the affinities."""
    pairs = every_pair(affinity) if pairs is None else pairs
    found = solve(assign, affinity, pairs, **start)
    value = certificate.value(affinity, pairs, found.permutation)
    tolerance = 1e-6 * affinity.shape[1] * affinity.abs().max().item()
    assert value.numpy() == pytest.approx(optimum(affinity, pairs), abs=tolerance, rel=1e-9)
    bound = certificate.upper_bound(affinity, pairs, found.v)
    assert torch.all(bound - value <= tolerance)
    return found


def products(rng: np.random.Generator, samples: int, S: int, C: int = 8) -> Tensor:
    vectors = torch.from_numpy(rng.standard_normal((samples, S, C)))
    return torch.einsum("isc,jtc->isjt", vectors, vectors).float()
