import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.assignment import laprust_jv, scipy_lsa

SOLVERS = {"scipy": scipy_lsa, "laprust": laprust_jv}


@pytest.fixture(params=SOLVERS)
def solver(request):
    if request.param == "laprust":
        pytest.importorskip("laprust")
    return SOLVERS[request.param]


def totals(affinity: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
    S = affinity.shape[1]
    assert permutation.dtype == torch.int64
    assert torch.equal(permutation.sort(1).values, torch.arange(S).expand_as(permutation))
    return affinity.double().gather(2, permutation[:, :, None]).sum((1, 2))


@pytest.mark.parametrize("S", [1, 2, 3, 5, 6])
def test_brute_force(solver, S, rng):
    affinity = torch.from_numpy(rng.normal(size=(4, S, S)).astype(np.float32))
    orders = torch.tensor(list(itertools.permutations(range(S))))
    best = affinity.double()[:, torch.arange(S), orders].sum(2).amax(1)
    torch.testing.assert_close(totals(affinity, solver.solve(affinity)), best)
    torch.testing.assert_close(totals(affinity, solver.minimise(-affinity)), best)


@pytest.mark.parametrize("S", [1, 2, 3, 17, 49, 63, 100])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_solvers_agree_in_value(solver, S, scale, rng):
    x, y = (torch.from_numpy(rng.normal(size=(3, S, 7)) * scale).float() for _ in "xy")
    affinity = x @ y.transpose(1, 2)
    reference = totals(affinity, scipy_lsa.solve(affinity.double()))
    torch.testing.assert_close(
        totals(affinity, solver.solve(affinity)), reference, rtol=1e-6, atol=0
    )


@given(seed=st.integers(0, 2**31), S=st.integers(1, 12))
def test_ties_and_added_constants(seed, S):
    pytest.importorskip("laprust")
    rng = np.random.default_rng(seed)
    affinity = torch.from_numpy(rng.integers(-2, 3, size=(2, S, S)).astype(np.float32))
    added = torch.from_numpy(rng.integers(-9, 9, size=(2, S, 1)).astype(np.float32))
    found = [s.solve(affinity) for s in SOLVERS.values()]
    shifted = laprust_jv.solve(affinity + added)
    value = totals(affinity, found[0])
    assert torch.equal(value, totals(affinity, found[1]))
    assert torch.equal(value, totals(affinity, shifted))
