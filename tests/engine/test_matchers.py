"""One set of laws for every matcher of the table, and what each promises beside them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm.engine.groups import similar_positions
from semrsm.engine.maps import prepare, unscaled
from semrsm.engine.matchers import MATCHERS, Matcher, Settings
from semrsm.engine.matchers import reference as slow
from semrsm.engine.matchers.greedy import greedy_permutations
from semrsm.engine.matchers.reference import REFERENCES, groups_of
from semrsm.engine.matchers.sinkhorn import log_plan
from semrsm.engine.matchers.topk import match_topk
from semrsm.errors import SemrsmError

# Small ones, so that windows, groups and the top cut small maps too.
SETTINGS = Settings(topk=5, window=6, epsilon=0.01, group=3)
SIZES = (1, 2, 3, 17, 49, 63)
GRIDS = {1: (1, 1), 2: (1, 2), 3: (3, 1), 16: (4, 4), 17: (1, 17), 49: (7, 7), 63: (7, 9)}

every_matcher = pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS)
permuting = pytest.mark.parametrize(
    "matcher", [m for m in MATCHERS.values() if m.permutation], ids=lambda m: m.name
)


@dataclass(frozen=True)
class Found:
    """Matched inner products (a, b), all row samples with all column samples, and permutations."""

    values: np.ndarray
    permutation: np.ndarray | None


def match_all(
    matcher: Matcher,
    x: np.ndarray,
    y: np.ndarray,
    settings: Settings = SETTINGS,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    grid: tuple[int, int] | None = None,
) -> Found:
    grid = grid or GRIDS[x.shape[1]]
    rows, columns = (
        prepare(torch.from_numpy(v).to(device), centred=matcher.centred, dtype=dtype, grid=grid)
        for v in (x, y)
    )
    pairs = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(y))).to(device)
    matches = matcher.match(
        matcher.prepare(rows, settings), matcher.prepare(columns, settings), pairs, settings
    )
    values = unscaled(matches.sums, rows, columns, pairs).cpu().numpy().reshape(len(x), len(y))
    assert matches.sums.dtype == torch.float64
    p = matches.permutation
    return Found(values, None if p is None else p.cpu().numpy().reshape(len(x), len(y), -1))


def activations(rng: np.random.Generator, n: int, S: int, C: int) -> np.ndarray:
    """Positions of a few kinds, of very different norms, not negative: a little like real maps."""
    kinds = rng.normal(size=(4, C)) + 0.5
    maps = kinds[rng.integers(4, size=(n, S))] * rng.gamma(2.0, size=(n, S, 1))
    return np.maximum(maps + 0.3 * rng.normal(size=(n, S, C)), 0.0)


def save(path: Path, maps: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["layer"] = maps
    return path


def scale_of(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(x, axis=(1, 2)).max() * np.linalg.norm(y, axis=(1, 2)).max())


def references(matcher: Matcher, x: np.ndarray, y: np.ndarray, settings: Settings) -> np.ndarray:
    grid = GRIDS[x.shape[1]]
    return np.array([[REFERENCES[matcher.name](a, b, settings, grid) for b in y] for a in x])


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
        [slow.value_of(a, b, found.permutation[i, j].tolist()) for j, b in enumerate(y)]
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
def test_swapping_the_samples_changes_nothing_where_it_says_so(
    matcher: Matcher, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(3, 49, 5)) + 0.5, rng.normal(size=(3, 49, 5)) + 0.5
    there, back = match_all(matcher, x, y).values, match_all(matcher, y, x).values.T
    equal = np.allclose(there, back, rtol=1e-10, atol=1e-10 * scale_of(x, y))
    assert equal == matcher.symmetric


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
    assert (np.sign(found.values - optimum).round(9) >= 0).all() or (
        matcher.value != "at least the optimum"
    )
    assert (found.values <= optimum + 1e-9).all() or matcher.value == "at least the optimum"


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
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_refused_when_read(
    matcher: Matcher, bad: float, rng: np.random.Generator
) -> None:
    array = rng.normal(size=(3, 2, 4, 4))
    array[1, 0, 2, 2] = bad
    with pytest.raises(SemrsmError, match="sample 1"):
        semrsm.rsm(array, matcher.name, "linear")


@every_matcher
def test_memory_is_planned_in_whole_bytes_that_grow_with_the_map(matcher: Matcher) -> None:
    for needed in (matcher.workspace_bytes, matcher.prepared_bytes):
        assert 0 <= needed(49, 64, 4, SETTINGS) <= needed(196, 64, 4, SETTINGS)
        assert isinstance(needed(49, 64, 4, SETTINGS), int)


def test_every_matcher_has_a_reference_and_reads_settings_that_there_are() -> None:
    assert set(REFERENCES) == set(MATCHERS)
    for matcher in MATCHERS.values():
        assert all(hasattr(SETTINGS, name) for name in matcher.parameters)


def test_greedy_breaks_ties_by_the_lower_index() -> None:
    best_of_rows = torch.tensor([[[1.0, 7.0, 7.0], [7.0, 0.0, 7.0], [7.0, 7.0, 7.0]]])
    assert greedy_permutations(best_of_rows).tolist() == [[1, 0, 2]]
    assert greedy_permutations(torch.zeros(1, 3, 3)).tolist() == [[0, 1, 2]]


@given(seed=st.integers(0, 2**32 - 1), S=st.integers(1, 12))
def test_greedy_takes_the_permutation_of_its_reference_with_ties_too(seed: int, S: int) -> None:
    affinity = np.random.default_rng(seed).integers(0, 4, size=(3, S, S)).astype(float)
    expected = [slow.greedy_permutation(problem) for problem in affinity]
    assert greedy_permutations(torch.from_numpy(affinity)).tolist() == expected


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
    for order, sample in zip(similar_positions(values, size).tolist(), maps, strict=True):
        groups, rest = groups_of(sample, size)
        assert order == [*(s for group in groups for s in group), *rest]


def test_groups_hold_similar_positions(rng: np.random.Generator) -> None:
    kinds = 10 * rng.normal(size=(4, 6))
    kind = rng.permutation(np.repeat(np.arange(4), 4))
    values = torch.from_numpy(kinds[kind] + 0.1 * rng.normal(size=(16, 6)))[None]
    groups = similar_positions(values - values.mean(1, keepdim=True), 4).reshape(4, 4)
    assert all(len(set(kind[group])) == 1 for group in groups.numpy())


def test_topk_reads_no_affinity_across_the_cut(rng: np.random.Generator) -> None:
    matcher = MATCHERS["topk-greedy"]
    assert matcher.match is match_topk
    few, all_at_once = replace(SETTINGS, topk=400), replace(SETTINGS, topk=800)
    assert matcher.workspace_bytes(800, 1, 4, few) < matcher.workspace_bytes(800, 1, 4, all_at_once)


def test_windows_of_128_agree_with_the_published_implementation(shared_data: Path) -> None:
    with h5py.File(shared_data / "reference_rsms.h5") as file:
        maps = file["activations/digits_layer2"][:]
        for kernel in ("linear", "cosine"):
            expected = file[f"rsm/digits_layer2/window128/{kernel}"][:]
            ours = semrsm.rsm(maps, "batch-optimal", kernel, window=128)
            np.testing.assert_allclose(ours, expected, rtol=1e-3)


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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"matcher": "greedy", "window": 4}, "greedy takes no parameter, not --window"),
        ({"matcher": "coarse", "topk": 4}, "coarse takes --group, not --topk"),
        ({"matcher": "optimal", "epsilon": 0.1}, "optimal takes no parameter, not --epsilon"),
        ({"matcher": "sinkhorn", "epsilon": 0}, "epsilon must be a positive number"),
        ({"matcher": "coarse", "group": 0}, "group must be at least 1"),
        ({"matcher": "maxsim", "kernel": "cosine"}, "cosine needs matched maps"),
        ({"matcher": "pool", "kernel": "rbf"}, "rbf needs matched maps"),
        ({"matcher": "shift", "layout": "ntd"}, "shift needs a grid"),
    ],
)
def test_what_a_matcher_does_not_take_is_refused_with_a_reason(
    options: dict[str, Any], sentence: str, rng: np.random.Generator
) -> None:
    shape = (3, 5, 4) if "layout" in options else (3, 4, 2, 2)
    with pytest.raises(SemrsmError, match=sentence):
        semrsm.rsm(rng.normal(size=shape), **({"kernel": "linear"} | options))


def test_shift_refuses_grids_of_different_shape(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = save(tmp_path / "a.h5", rng.normal(size=(2, 3, 2, 8)))
    columns = save(tmp_path / "b.h5", rng.normal(size=(2, 3, 4, 4)))
    with pytest.raises(SemrsmError, match=r"grid \(2, 8\) .* \(4, 4\)"):
        semrsm.compute(rows, tmp_path / "o.rsm.h5", matcher="shift", against=str(columns))


@every_matcher
def test_the_file_says_with_which_parameters_it_was_made(
    matcher: Matcher, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = save(tmp_path / "a.h5", rng.normal(size=(5, 3, 2, 8)))
    given = {name: getattr(SETTINGS, name) for name in matcher.parameters}
    out = tmp_path / "o.rsm.h5"
    semrsm.compute(maps, out, matcher=matcher.name, kernel="linear", **given)
    rsm, about = semrsm.read_rsm(out, kernel="linear")
    recorded = about["parameters"]
    assert {name: recorded[name] for name in vars(SETTINGS) if name in recorded} == {
        "solver": recorded["solver"]
    } | given
    np.testing.assert_array_equal(rsm, rsm.T)


@every_matcher
def test_only_matched_inner_products_are_finished_to_a_cosine_later(
    matcher: Matcher, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps, out = save(tmp_path / "a.h5", rng.normal(size=(3, 3, 2, 8))), tmp_path / "o.rsm.h5"
    semrsm.compute(maps, out, matcher=matcher.name, kernel="linear")
    if matcher.permutation:
        assert (np.abs(semrsm.read_rsm(out, kernel="cosine")[0]) <= 1).all()
        return
    with pytest.raises(SemrsmError, match="cosine needs matched maps"):
        semrsm.read_rsm(out, kernel="cosine")


@every_matcher
def test_tiles_and_threads_change_nothing(matcher: Matcher, rng: np.random.Generator) -> None:
    array = rng.normal(size=(9, 6, 4, 4)) + 0.5
    whole = semrsm.rsm(array, matcher.name, "linear", dtype="float64", threads=1)
    sample = 6 * 16 * 16 + matcher.prepared_bytes(16, 6, 8, Settings())
    tight = 14 * sample + 3 * matcher.workspace_bytes(16, 6, 8, Settings())
    cut = semrsm.rsm(array, matcher.name, "linear", dtype="float64", threads=2, memory=tight)
    np.testing.assert_allclose(cut, whole, rtol=1e-11, atol=1e-11)
