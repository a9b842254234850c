import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semrsm.engine.assignment import laprust_jv, scipy_lsa
from semrsm.engine.certificate import bounds_of_pairs
from semrsm.engine.maps import Maps, prepare, unscaled
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.matchers.optimal import (
    STARTS,
    Grown,
    Start,
    match_from_start,
    prepare_for_solver,
    start_for,
)
from semrsm.engine.potentials import grow
from semrsm.engine.settings import Settings

STARTS_FOR_TESTS = (*STARTS, Start(1, (4, 2), (0.05,)), Start(1, (3,), ()), Start(1, (), ()))


def matched(rows: Maps, columns: Maps, pairs, start, minimise=scipy_lsa.minimise) -> Matches:
    grown = [Grown(maps, grow(maps.values, start.sizes)) for maps in (rows, columns)]
    return match_from_start(*grown, pairs, start, minimise)


def reference(x: torch.Tensor, y: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """SciPy in float64 on the raw products."""
    values = []
    for i, j in pairs.tolist():
        affinity = (x[i].double() @ y[j].double().T).numpy()
        values.append(affinity[linear_sum_assignment(affinity, maximize=True)].sum())
    return torch.tensor(values, dtype=torch.float64)


def raw(seed: int, b: int, S: int, C: int, scale: float = 1.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.maximum(rng.normal(size=(b, S, C)), 0) * scale).float()


def all_pairs(rows: int, columns: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(rows), torch.arange(columns))


def check(x, y, pairs, start, minimise=scipy_lsa.minimise):
    rows, columns = prepare(x, centred=True), prepare(y, centred=True)
    matches = matched(rows, columns, pairs, start, minimise)
    sums, permutation = matches.sums, matches.permutation
    S = x.shape[1]
    assert torch.equal(permutation.sort(1).values, torch.arange(S).expand_as(permutation))
    expected = reference(x, y, pairs)
    i, j = pairs.unbind(1)
    scale = (rows.squared_norm[i] * columns.squared_norm[j]).sqrt()
    assert ((unscaled(sums, rows, columns, pairs) - expected).abs() <= 1e-6 * scale).all()
    taken = torch.stack(
        [
            x[a].double().mul(y[b, p].double()).sum()
            for (a, b), p in zip(pairs, permutation, strict=True)
        ]
    )
    assert ((taken - expected).abs() <= 1e-6 * scale).all()
    certified = bounds_of_pairs(rows, columns, pairs, permutation)
    assert (certified >= expected).all()
    assert (certified <= expected + 1e-6 * scale).all()


@pytest.mark.parametrize("S", [1, 2, 3, 17, 49, 63, 100])
@pytest.mark.parametrize("C", [1, 20])
@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_equals_scipy_on_raw_products(S, C, scale):
    x, y = raw(1, 3, S, C, scale), raw(2, 2, S, C, scale)
    check(x, y, all_pairs(3, 2), start_for(S))


@pytest.mark.parametrize("start", STARTS_FOR_TESTS, ids=str)
@pytest.mark.parametrize("S", [16, 17, 63])
@pytest.mark.parametrize("solver", [scipy_lsa, laprust_jv], ids=["scipy", "laprust"])
def test_every_start_gives_the_optimum(S, start, solver):
    if solver is laprust_jv:
        pytest.importorskip("laprust")
    x = raw(3, 3, S, 9)
    check(x, x, all_pairs(3, 3), start, solver.minimise)


@given(
    seed=st.integers(0, 2**31),
    S=st.integers(4, 30),
    C=st.integers(1, 4),
    start=st.sampled_from(STARTS_FOR_TESTS[3:]),
)
def test_ties(seed, S, C, start):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.integers(0, 3, size=(2, S, C)).astype(np.float32))
    check(x, x, all_pairs(2, 2), start)


def test_dead_maps():
    x = raw(4, 3, 20, 5)
    x[1] = 0
    x[2] = 1
    check(x, x, all_pairs(3, 3), Start(1, (4,), (0.1,)))


def test_permuting_positions_changes_nothing(rng):
    x = raw(5, 2, 40, 6)
    y = x[:, torch.from_numpy(rng.permutation(40))]
    pairs = all_pairs(2, 2)
    start = Start(1, (8, 4), (0.05,))
    maps, permuted = prepare(x, centred=True), prepare(y, centred=True)
    sums = matched(maps, maps, pairs, start).sums
    torch.testing.assert_close(
        matched(maps, permuted, pairs, start).sums, sums, rtol=1e-6, atol=1e-6
    )


def test_a_batch_equals_one_by_one(monkeypatch):
    maps = prepare(raw(6, 4, 24, 6), centred=True)
    pairs = all_pairs(4, 4)
    start = Start(1, (4,), (0.05,))
    whole = matched(maps, maps, pairs, start).sums
    single = torch.cat([matched(maps, maps, pair[None], start).sums for pair in pairs])
    monkeypatch.setattr("semrsm.engine.matchers.optimal.ENTRIES_AT_ONCE", 3 * 24**2)
    chunks = matched(maps, maps, pairs, start).sums
    torch.testing.assert_close(whole, single, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(whole, chunks, rtol=1e-6, atol=1e-6)


def test_float64_maps():
    x = raw(7, 2, 30, 5)
    maps = prepare(x, centred=True, dtype=torch.float64)
    matches = matched(maps, maps, all_pairs(2, 2), Start(1, (4,), (0.1,)))
    value = unscaled(matches.sums, maps, maps, all_pairs(2, 2))
    torch.testing.assert_close(value, reference(x, x, all_pairs(2, 2)), rtol=1e-12, atol=0)
    bounds = bounds_of_pairs(maps, maps, all_pairs(2, 2), matches.permutation)
    assert (bounds >= value).all()
    torch.testing.assert_close(bounds, value, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("layer", "n_pairs"),
    [
        ("layer4", 276),
        ("layer3", 40),
        pytest.param("layer2", 3, marks=pytest.mark.slow),
    ],
)
def test_real_maps(shared_data, layer, n_pairs):
    pytest.importorskip("laprust")
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        block = torch.from_numpy(file[layer][:].astype(np.float32))
    x = block.flatten(2).transpose(1, 2).contiguous()
    pairs = torch.triu_indices(24, 24, offset=1).T
    pairs = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(8))[:n_pairs]]
    check(x, x, pairs, start_for(x.shape[1]), laprust_jv.minimise)


def test_trees_are_grown_only_for_a_solver_that_starts_from_them() -> None:
    maps = prepare(raw(3, 2, 400, 2), centred=True)
    assert len(prepare_for_solver(maps, Settings(solver="scipy")).trees.means) == 2
    assert prepare_for_solver(maps, Settings(solver="triton")) is maps
