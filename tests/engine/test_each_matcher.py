"""What single matchers promise beside the laws that all keep."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm.engine.bisection import similar_positions
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.matchers.greedy import greedy_permutations
from semrsm.engine.matchers.reference import greedy_permutation, groups_of
from semrsm.engine.matchers.sinkhorn import log_plan
from tests.engine.matching import SETTINGS, SIZES, activations, match_all, references, scale_of


def test_greedy_breaks_ties_by_the_lower_index() -> None:
    best_of_rows = torch.tensor([[[1.0, 7.0, 7.0], [7.0, 0.0, 7.0], [7.0, 7.0, 7.0]]])
    assert greedy_permutations(best_of_rows, "scipy").tolist() == [[1, 0, 2]]
    assert greedy_permutations(torch.zeros(1, 3, 3), "scipy").tolist() == [[0, 1, 2]]


@given(seed=st.integers(0, 2**32 - 1), S=st.integers(1, 12))
def test_greedy_takes_the_permutation_of_its_reference_with_ties_too(seed: int, S: int) -> None:
    affinity = np.random.default_rng(seed).integers(0, 4, size=(3, S, S)).astype(float)
    expected = [greedy_permutation(problem) for problem in affinity]
    assert greedy_permutations(torch.from_numpy(affinity), "scipy").tolist() == expected


@pytest.mark.parametrize("name", ["greedy", "topk-greedy"])
@given(seed=st.integers(0, 2**32 - 1))
def test_ties_are_decided_as_in_the_reference(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 3, size=(2, 17, 3)).astype(float) for _ in range(2))
    matcher = MATCHERS[name]
    np.testing.assert_allclose(match_all(matcher, x, y).values, references(matcher, x, y, SETTINGS))


@pytest.mark.parametrize("name", ["topk-greedy", "batch-optimal", "coarse"])
@pytest.mark.parametrize("S", [1, 16, 17])
def test_a_part_as_large_as_the_map_is_optimal(name: str, S: int, rng: np.random.Generator) -> None:
    x, y = activations(rng, 3, S, 5), activations(rng, 3, S, 5)
    whole = replace(SETTINGS, topk=17, window=17, group=17)
    optimum = references(MATCHERS["optimal"], x, y, SETTINGS)
    np.testing.assert_allclose(match_all(MATCHERS[name], x, y, whole).values, optimum, rtol=1e-12)


def test_groups_of_one_position_are_optimal(rng: np.random.Generator) -> None:
    x, y = activations(rng, 3, 17, 5), activations(rng, 3, 17, 5)
    ones = match_all(MATCHERS["coarse"], x, y, replace(SETTINGS, group=1)).values
    np.testing.assert_allclose(ones, references(MATCHERS["optimal"], x, y, SETTINGS), rtol=1e-12)


def test_no_match_of_topk_crosses_the_cut(rng: np.random.Generator) -> None:
    x, y = activations(rng, 2, 17, 5), activations(rng, 2, 17, 5)
    found = match_all(MATCHERS["topk-greedy"], x, y)
    assert found.permutation is not None
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            top_a, top_b = (np.argsort(np.linalg.norm(v, axis=1))[-5:] for v in (a, b))
            assert set(found.permutation[i, j][top_a]) == set(top_b)


@given(seed=st.integers(0, 2**32 - 1), S=st.sampled_from(SIZES))
def test_bounds_and_special_permutations_are_in_order(seed: int, S: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = activations(rng, 2, S, 5), activations(rng, 2, S, 5)
    of = {name: match_all(MATCHERS[name], x, y).values for name in MATCHERS}
    slack = 1e-10 * scale_of(x, y)
    assert (of["pool"] <= of["optimal"] + slack).all()
    assert (of["optimal"] <= of["maxsim"] + slack).all()
    assert (of["identity"] <= of["shift"] + slack).all()
    assert (of["shift"] <= of["optimal"] + slack).all()


@pytest.mark.parametrize("S", [17, 49])
def test_sinkhorn_with_little_entropy_is_near_the_optimum(S: int, rng: np.random.Generator) -> None:
    x, y = activations(rng, 3, S, 8), activations(rng, 3, S, 8)
    sharp = match_all(MATCHERS["sinkhorn"], x, y, replace(SETTINGS, epsilon=1e-3)).values
    assert (sharp >= 0.95 * references(MATCHERS["optimal"], x, y, SETTINGS)).all()


def test_the_plan_of_sinkhorn_is_balanced(rng: np.random.Generator) -> None:
    affinity = torch.from_numpy(rng.normal(size=(2, 17, 17)))
    entropy = 0.1 * (affinity.amax((1, 2)) - affinity.amin((1, 2)))
    plan = torch.exp(log_plan(affinity, 0.1) / entropy[:, None, None])
    np.testing.assert_allclose(plan.sum(1), 1.0, rtol=1e-9)  # the columns came last
    np.testing.assert_allclose(plan.sum(2), 1.0, rtol=0.05)


def test_a_shifted_copy_is_found_by_shift(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 63, 4))
    y = np.roll(x.reshape(1, 7, 9, 4), (3, 5), axis=(1, 2)).reshape(x.shape)
    found = match_all(MATCHERS["shift"], x, y)
    assert found.values == pytest.approx((x**2).sum())
    np.testing.assert_array_equal(y[0, found.permutation[0, 0]], x[0])  # type: ignore[index]


@pytest.mark.parametrize("size", [2, 3, 5, 17, 40])
def test_groups_are_those_of_the_slow_bisection(size: int, rng: np.random.Generator) -> None:
    maps = rng.normal(size=(3, 17, 6))
    values = torch.from_numpy(maps - maps.mean(1, keepdims=True))
    for order, sample in zip(similar_positions(values, [size]).tolist(), maps, strict=True):
        groups, rest = groups_of(sample, size)
        assert order == [*(s for group in groups for s in group), *rest]


def test_groups_hold_similar_positions(rng: np.random.Generator) -> None:
    kinds = 10 * rng.normal(size=(4, 6))
    kind = rng.permutation(np.repeat(np.arange(4), 4))
    values = torch.from_numpy(kinds[kind] + 0.1 * rng.normal(size=(16, 6)))[None]
    groups = similar_positions(values - values.mean(1, keepdim=True), [4]).reshape(4, 4)
    assert all(len(set(kind[group])) == 1 for group in groups.numpy())


def test_windows_of_128_agree_with_the_published_implementation(shared_data: Path) -> None:
    with h5py.File(shared_data / "reference_rsms.h5") as file:
        maps = file["activations/digits_layer2"][:]
        for kernel in ("linear", "cosine"):
            expected = file[f"rsm/digits_layer2/window128/{kernel}"][:]
            ours = semrsm.rsm(maps, "batch-optimal", kernel, window=128)
            np.testing.assert_allclose(ours, expected, rtol=1e-3)
