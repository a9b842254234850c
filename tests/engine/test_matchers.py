"""One set of laws for every matcher of the table."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.matchers import MATCHERS, Matcher
from semrsm.engine.matchers.reference import REFERENCES, value_of
from tests.engine.matching import (
    SETTINGS,
    SIZES,
    activations,
    every_matcher,
    match_all,
    references,
    scale_of,
)

permuting = pytest.mark.parametrize(
    "matcher", [m for m in MATCHERS.values() if m.permutation], ids=lambda m: m.name
)


@every_matcher
@pytest.mark.parametrize("S", SIZES)
@pytest.mark.parametrize("C", [1, 8])
def test_agrees_with_its_slow_reference(
    matcher: Matcher, S: int, C: int, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(2, S, C)) + 0.5, rng.normal(size=(3, S, C)) + 0.5
    np.testing.assert_allclose(
        match_all(matcher, x, y).values,
        references(matcher, x, y, SETTINGS),
        rtol=1e-9,
        atol=1e-12 * scale_of(x, y),
    )


@permuting
@pytest.mark.parametrize("S", SIZES)
def test_yields_a_permutation_that_has_the_value(
    matcher: Matcher, S: int, rng: np.random.Generator
) -> None:
    x, y = activations(rng, 2, S, 5), activations(rng, 3, S, 5)
    found = match_all(matcher, x, y)
    assert found.permutation is not None
    assert (np.sort(found.permutation, axis=2) == np.arange(S)).all()
    again = [
        [value_of(a, b, found.permutation[i, j].tolist()) for j, b in enumerate(y)]
        for i, a in enumerate(x)
    ]
    np.testing.assert_allclose(found.values, again, rtol=1e-10, atol=1e-12 * scale_of(x, y))


@every_matcher
def test_yields_no_permutation_only_if_it_says_so(
    matcher: Matcher, rng: np.random.Generator
) -> None:
    x = activations(rng, 2, 17, 5)
    assert (match_all(matcher, x, x).permutation is not None) == matcher.permutation


@every_matcher
@given(seed=st.integers(0, 2**32 - 1), S=st.sampled_from(SIZES), C=st.sampled_from((1, 2, 7)))
def test_its_value_is_on_the_side_of_the_optimum_that_it_declares(
    matcher: Matcher, seed: int, S: int, C: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = activations(rng, 2, S, C), activations(rng, 2, S, C)
    values, slack = match_all(matcher, x, y).values, 1e-10 * scale_of(x, y)
    optimum = references(MATCHERS["optimal"], x, y, SETTINGS)
    if matcher.value != "at least the optimum":
        assert (values <= optimum + slack).all()
    if matcher.value != "at most the optimum":
        assert (values >= optimum - slack).all()


@every_matcher
def test_permuting_positions_changes_nothing_where_it_says_so(
    matcher: Matcher, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(2, 49, 5)) + 0.5, rng.normal(size=(2, 49, 5)) + 0.5
    moved = x[:, rng.permutation(49)], y[:, rng.permutation(49)]
    before, after = match_all(matcher, x, y).values, match_all(matcher, *moved).values
    equal = np.allclose(before, after, rtol=1e-10, atol=1e-10 * scale_of(x, y))
    assert equal == matcher.position_free


@every_matcher
@pytest.mark.parametrize("S", SIZES)
def test_swapping_the_samples_changes_nothing(
    matcher: Matcher, S: int, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(3, S, 5)) + 0.5, rng.normal(size=(3, S, 5)) + 0.5
    there, back = match_all(matcher, x, y).values, match_all(matcher, y, x).values.T
    np.testing.assert_allclose(there, back, rtol=1e-10, atol=1e-10 * scale_of(x, y))


@every_matcher
def test_a_batch_and_one_pair_by_one_give_the_same(
    matcher: Matcher, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(4, 17, 5)) + 0.5, rng.normal(size=(3, 17, 5)) + 0.5
    one_by_one = np.block(
        [[match_all(matcher, x[[i]], y[[j]]).values for j in range(3)] for i in range(4)]
    )
    np.testing.assert_allclose(match_all(matcher, x, y).values, one_by_one, rtol=1e-12, atol=1e-12)


@every_matcher
@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e4, 1e30])
def test_scaling_the_activations_scales_the_value(
    matcher: Matcher, factor: float, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(2, 49, 5)) + 0.5, rng.normal(size=(2, 49, 5)) + 0.5
    np.testing.assert_allclose(
        match_all(matcher, factor * x, y).values,
        factor * match_all(matcher, x, y).values,
        rtol=1e-10,
    )


@every_matcher
@pytest.mark.parametrize("S", [1, 2, 17, 49])
def test_equal_positions_have_one_value(matcher: Matcher, S: int) -> None:
    x, y = np.full((2, S, 3), 2.0), np.full((1, S, 3), 0.75)
    np.testing.assert_allclose(match_all(matcher, x, y).values, S * 4.5, rtol=1e-12)


@every_matcher
def test_a_sample_of_zeros_has_the_value_0(matcher: Matcher, rng: np.random.Generator) -> None:
    x, y = np.zeros((1, 17, 3)), rng.normal(size=(1, 17, 3))
    assert match_all(matcher, x, y).values == pytest.approx(0.0, abs=1e-12)


@every_matcher
@given(seed=st.integers(0, 2**32 - 1))
def test_ties_among_integers_leave_a_permutation_and_its_bound(matcher: Matcher, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 3, size=(2, 17, 2)).astype(float) for _ in range(2))
    found = match_all(matcher, x, y)
    optimum = references(MATCHERS["optimal"], x, y, SETTINGS)
    assert (found.permutation is None) or (
        np.sort(found.permutation, axis=2) == np.arange(17)
    ).all()
    if matcher.value != "at most the optimum":
        assert (found.values >= optimum - 1e-9).all()
    if matcher.value != "at least the optimum":
        assert (found.values <= optimum + 1e-9).all()


@every_matcher
def test_float32_is_close_to_float64(matcher: Matcher, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 17, 5)) + 0.5, rng.normal(size=(2, 17, 5)) + 0.5
    single = match_all(matcher, x, y, dtype=torch.float32).values
    np.testing.assert_allclose(single, match_all(matcher, x, y).values, atol=1e-5 * scale_of(x, y))


@every_matcher
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("S", SIZES)
def test_a_gpu_gives_the_values_of_the_cpu(
    matcher: Matcher, S: int, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(2, S, 8)) + 0.5, rng.normal(size=(3, S, 8)) + 0.5
    gpu = match_all(matcher, x, y, device="cuda").values
    np.testing.assert_allclose(
        gpu, match_all(matcher, x, y).values, rtol=1e-9, atol=1e-11 * scale_of(x, y)
    )


@every_matcher
def test_memory_is_planned_in_whole_bytes_that_grow_with_the_map(matcher: Matcher) -> None:
    for needed in (matcher.workspace_bytes, matcher.prepared_bytes):
        assert 0 <= needed(49, 64, 4, SETTINGS) <= needed(196, 64, 4, SETTINGS)
        assert isinstance(needed(49, 64, 4, SETTINGS), int)


def test_every_matcher_has_a_reference_and_reads_settings_that_there_are() -> None:
    assert set(REFERENCES) == set(MATCHERS)
    for matcher in MATCHERS.values():
        assert all(hasattr(SETTINGS, name) for name in matcher.parameters)


@pytest.fixture(scope="module")
def layer4(shared_data: Path) -> np.ndarray:
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        maps = file["layer4"][:6].astype(np.float64)
    return np.ascontiguousarray(maps.reshape(6, 512, 49).transpose(0, 2, 1))


@every_matcher
def test_real_maps_agree_with_the_slow_reference(matcher: Matcher, layer4: np.ndarray) -> None:
    x, y = layer4[:2], layer4[2:]
    settings = replace(SETTINGS, topk=20, window=16)
    np.testing.assert_allclose(
        match_all(matcher, x, y, settings).values, references(matcher, x, y, settings), rtol=1e-9
    )


@every_matcher
def test_real_maps_stay_on_the_declared_side_in_float32(
    matcher: Matcher, layer4: np.ndarray
) -> None:
    x, y = layer4[:3].astype(np.float32), layer4[3:].astype(np.float32)
    values = match_all(matcher, x, y, dtype=torch.float32).values
    optimum = references(MATCHERS["optimal"], layer4[:3], layer4[3:], SETTINGS)
    if matcher.value != "at least the optimum":
        assert (values <= optimum * (1 + 1e-6)).all()
    if matcher.value != "at most the optimum":
        assert (values >= optimum * (1 - 1e-6)).all()
