import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semrsm.engine import potentials
from semrsm.engine.assignment import scipy_lsa

SIZES = ((2,), (4, 2), (3,), (8, 4), (16, 4), (5, 1))


def maps(seed: int, b: int, S: int, C: int, scale: float = 1.0) -> torch.Tensor:
    """Maps of ReLU kind: correlated channels, many zeros, centred over the positions."""
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.normal(size=(b, S, 2)) @ rng.normal(size=(b, 2, C)) - 0.3, 0) * scale
    return torch.from_numpy((values - values.mean(1, keepdims=True)).astype(np.float32))


def optimum(affinity: torch.Tensor) -> float:
    cost = affinity.double().numpy()
    return float(cost[linear_sum_assignment(cost, maximize=True)].sum())


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("S", [16, 17, 49, 63, 100])
def test_trees_are_a_partition_with_the_means_of_their_groups(S, sizes):
    values = maps(3, 2, S, 5)
    trees = potentials.grow(values, sizes)
    kept = S // sizes[0] * sizes[0]
    for sample, order in enumerate(trees.order):
        assert len(order) == kept == len(set(order.tolist()))
        for size, means in zip(sizes, trees.means, strict=True):
            groups = values[sample, order].reshape(kept // size, size, -1)
            torch.testing.assert_close(means[sample], groups.mean(1))


def test_trees_leave_out_the_positions_nearest_the_mean():
    values = torch.tensor([[[5.0], [0.1], [-6.0], [4.0], [-7.0]]])
    assert 1 not in potentials.grow(values, (2,)).order[0].tolist()


def test_trees_group_what_is_alike(rng):
    centres = torch.tensor([[10.0, 0.0], [0.0, 10.0], [-10.0, 0.0], [0.0, -10.0]])
    labels = torch.from_numpy(rng.permutation(np.repeat(np.arange(4), 8)))
    noise = torch.from_numpy(rng.normal(size=(32, 2)).astype(np.float32))
    order = potentials.grow((centres[labels] + noise)[None], (8,)).order[0]
    assert all(len(group.unique()) == 1 for group in labels[order].reshape(4, 8))


@given(
    seed=st.integers(0, 2**31),
    S=st.sampled_from([16, 17, 31, 49]),
    C=st.sampled_from([1, 3, 40]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    sizes=st.sampled_from(SIZES),
    entropies=st.sampled_from([(), (0.1,), (0.02, 0.01)]),
)
def test_started_potentials_bound_the_optimum(seed, S, C, scale, sizes, entropies):
    x, y = maps(seed, 1, S, C, scale), maps(seed + 1, 1, S, C, scale)
    rows, columns = potentials.grow(x, sizes), potentials.grow(y, sizes)
    v = potentials.coarse_to_fine(
        rows, columns, torch.tensor([[0, 0]]), [y[0]], entropies, scipy_lsa.minimise
    )
    costs, u, v = potentials.reduced([x[0]], [y[0]], v, entropies)
    affinity = x[0].double() @ y[0].double().T
    size = float(affinity.abs().max()) * S
    assert torch.isfinite(costs).all()
    assert torch.equal(costs.amin(2), torch.zeros(1, S))
    assert float(u.double().sum() + v.double().sum()) >= optimum(affinity) - 1e-6 * size
    torch.testing.assert_close(
        costs[0].double(), u[0][:, None] + v[0] - affinity, rtol=0, atol=1e-5 * size / S
    )


def test_started_potentials_are_close_to_the_optimum():
    x, y = maps(0, 1, 64, 8), maps(1, 1, 64, 8)
    trees = [potentials.grow(m, (16, 4)) for m in (x, y)]
    v = potentials.coarse_to_fine(
        *trees, torch.tensor([[0, 0]]), [y[0]], (0.02,), scipy_lsa.minimise
    )
    _, u, v = potentials.reduced([x[0]], [y[0]], v, (0.02,))
    affinity = x[0] @ y[0].T
    gap = float(u.sum() + v.sum()) / optimum(affinity) - 1
    assert gap < 0.1
    assert gap < 0.5 * (float(affinity.amax(1).sum()) / optimum(affinity) - 1)


def test_constant_maps_have_finite_potentials():
    zero = torch.zeros(1, 16, 3)
    costs, u, v = potentials.reduced([zero[0]], [zero[0]], torch.zeros(1, 16), (0.1, 0.02))
    assert not costs.any()
    assert torch.isfinite(u).all()
    assert torch.isfinite(v).all()


@given(seed=st.integers(0, 2**31), S=st.integers(1, 40), integers=st.booleans())
def test_duals_of_a_solved_problem_prove_it(seed, S, integers):
    rng = np.random.default_rng(seed)
    draw = rng.integers(0, 3, size=(2, S, S)) if integers else rng.normal(size=(2, S, S))
    affinity = torch.from_numpy(draw.astype(np.float32))
    u, v = potentials.duals_of(affinity, scipy_lsa.solve(affinity))
    bound = u.double().sum(1) + v.double().sum(1)
    expected = torch.tensor([optimum(problem) for problem in affinity], dtype=torch.float64)
    torch.testing.assert_close(bound, expected, rtol=1e-5, atol=1e-4)
    assert bool((u[:, :, None] + v[:, None] - affinity >= -1e-5).all())


@given(seed=st.integers(0, 2**31), S=st.integers(2, 6))
def test_duals_of_any_permutation_bound_every_permutation(seed, S):
    rng = np.random.default_rng(seed)
    affinity = torch.from_numpy(rng.normal(size=(1, S, S)))
    u, v = potentials.duals_of(affinity, torch.from_numpy(rng.permutation(S))[None])
    best = max(
        float(affinity[0, range(S), p].sum()) for p in map(list, itertools.permutations(range(S)))
    )
    assert float(u.sum() + v.sum()) >= best - 1e-9
