"""The native core against SciPy in float64, for every kind of processor that this one can be."""

import functools
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semrsm.engine import native, potentials
from semrsm.engine.assignment import native_core
from semrsm.engine.maps import prepare
from semrsm.engine.matchers.greedy import greedy_in_turn
from semrsm.errors import SemrsmError

pytestmark = pytest.mark.skipif(not native.targets(), reason="the native core was not built here")


wanted = pytest.mark.skipif(native.core() is None, reason="SEMRSM_NATIVE_TARGET is none")


@pytest.fixture(params=native.TARGETS)
def target(request, monkeypatch):
    if request.param not in native.targets():
        pytest.skip(f"this processor does not run {request.param}")
    monkeypatch.setattr(native, "core", lambda: native.load(request.param))
    return request.param


def gaussian(rng, b, S, C):
    return rng.normal(size=(b, S, C))


def relu(rng, b, S, C):
    return np.maximum(rng.normal(size=(b, S, C)), 0)


def many_zero_positions(rng, b, S, C):
    return relu(rng, b, S, C) * (rng.random((b, S, 1)) < 0.3)


def small_integers(rng, b, S, C):
    return rng.integers(0, 3, (b, S, C)).astype(float)


def rank_one(rng, b, S, C):
    return rng.normal(size=(b, S, 1)) * rng.normal(size=(1, 1, C))


def duplicated(rng, b, S, C):
    return np.repeat(rng.normal(size=(b, S // 5 + 1, C)), 5, axis=1)[:, :S]


def zeros(rng, b, S, C):
    return np.zeros((b, S, C))


def tiny(rng, b, S, C):
    return rng.normal(size=(b, S, C)) * 1e-30


KINDS = (
    gaussian,
    relu,
    many_zero_positions,
    small_integers,
    rank_one,
    duplicated,
    zeros,
    tiny,
)


def optimum(x: torch.Tensor, y: torch.Tensor) -> float:
    affinity = (x.double() @ y.double().T).numpy()
    return affinity[linear_sum_assignment(affinity, maximize=True)].sum()


def check(x, y, dtype, tolerance=1e-7):
    rows, columns = (prepare(torch.from_numpy(v), centred=True, dtype=dtype) for v in (x, y))
    pairs = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(y)))
    packed = native_core.prepare(rows), native_core.prepare(columns)
    solved = native_core.solve_products(*packed, pairs, bounded=True)
    S = rows.n_positions
    assert torch.equal(solved.permutation.sort(1).values, torch.arange(S).expand(len(pairs), S))
    for k, (i, j) in enumerate(pairs.tolist()):
        a, b = rows.values[i], columns.values[j]
        size = float(a.double().norm() * b.double().norm())
        best = optimum(a, b)
        taken = (a.double() * b.double()[solved.permutation[k]]).sum()
        assert abs(solved.sums[k] - taken) <= 1e-14 * size
        assert abs(solved.sums[k] - best) <= tolerance * size
        bound = solved.bounds[k]
        exact = optimum(torch.from_numpy(x[i]), torch.from_numpy(y[j]))
        of_samples = float(np.linalg.norm(x[i]) * np.linalg.norm(y[j]))
        assert bound >= exact - 1e-14 * of_samples
        assert bound <= exact + (2 * tolerance + 2 * torch.finfo(dtype).eps) * of_samples
    return solved


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("S", "C"), [(1, 1), (2, 3), (3, 1), (17, 20), (49, 130), (63, 7), (100, 33)]
)
def test_equals_scipy_in_float64_and_proves_it(target, kind, dtype, S, C):
    rng = np.random.default_rng(S * C)
    x, y = kind(rng, 3, S, C), kind(rng, 2, S, C)
    check(x, y, dtype)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("S", "C"), [(196, 16), (257, 8), (401, 5), pytest.param(784, 12, marks=pytest.mark.slow)]
)
def test_equals_scipy_for_larger_maps(target, kind, S, C):
    rng = np.random.default_rng(S)
    check(kind(rng, 1, S, C), kind(rng, 1, S, C), torch.float32)


@pytest.mark.parametrize(("S", "C"), [(16, 1), (400, 3), (401, 17), (784, 40)])
def test_groups_positions_as_the_readable_tree_does(target, S, C):
    values = prepare(torch.from_numpy(gaussian(np.random.default_rng(S), 3, S, C)), centred=True)
    wide = values.values.double()
    expected = potentials.grow(wide, (16, 4)).means
    for found, mean in zip(native_core.means_of_groups(wide, (16, 4)), expected, strict=True):
        torch.testing.assert_close(found, mean, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_groups_hold_every_position_once_whatever_the_ties(target, kind):
    values = torch.from_numpy(kind(np.random.default_rng(1), 2, 64, 5)).float()
    for size, means in zip((16, 4), native_core.means_of_groups(values, (16, 4)), strict=True):
        assert means.shape == (2, 64 // size, 5)
        torch.testing.assert_close(means.sum(1) * size, values.sum(1), rtol=1e-5, atol=1e-4)


@given(
    seed=st.integers(0, 2**32 - 1),
    S=st.integers(1, 70),
    values=st.sampled_from([2, 5, 10_000]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=100, deadline=None)
def test_greedy_is_that_of_the_readable_twin_also_for_ties(seed, S, values, dtype):
    affinity = torch.from_numpy(np.random.default_rng(seed).integers(-values, values, (3, S, S)))
    for target in native.targets():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "core", functools.partial(native.load, target))
            found = native_core.greedy(affinity.to(dtype))
        assert torch.equal(found, greedy_in_turn(affinity.to(dtype)))


def test_problems_of_equal_positions_are_handed_over_and_counted(target):
    rng = np.random.default_rng(8)
    x, y = (rank_one(rng, 1, 500, 4), zeros(rng, 1, 500, 4))
    alike = rng.integers(0, 2, (2, 1, 500, 3)).astype(float)
    assert check(*alike, torch.float32).handed_over
    assert not check(*rng.normal(size=(2, 1, 500, 8)), torch.float32).handed_over
    check(x, y, torch.float32)


@wanted
def test_float64_of_large_maps_leaves_no_gap():
    rng = np.random.default_rng(5)
    solved = check(relu(rng, 1, 500, 9), relu(rng, 1, 500, 9), torch.float64, tolerance=1e-11)
    assert solved.solved_again == 0


@pytest.mark.parametrize(
    "layer", ["layer4", "layer3", pytest.param("layer2", marks=pytest.mark.slow)]
)
def test_equals_scipy_on_real_maps(target, layer, shared_data):
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        maps = file[layer][:3].astype(np.float32)
    x = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    solved = check(x[:1], x[1:], torch.float32)
    assert solved.solved_again == 0


@wanted
@pytest.mark.slow
def test_equals_scipy_on_one_pair_of_the_largest_maps(shared_data):
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        maps = file["layer1"][:2].astype(np.float32)
    x = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    assert check(x[:1], x[1:], torch.float32).solved_again == 0


@wanted
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    S=st.integers(1, 40),
    values=st.sampled_from([2, 5, 1000]),
    scale=st.sampled_from([1e-20, 1.0, 1e20]),
    double=st.booleans(),
)
def test_minimises_given_costs(seed, S, values, scale, double):
    rng = np.random.default_rng(seed)
    costs = (rng.integers(0, values, (3, S, S)) * scale).astype(
        np.float64 if double else np.float32
    )
    permutations = native_core.minimise(torch.from_numpy(costs)).numpy()
    for cost, permutation in zip(costs.astype(float), permutations, strict=True):
        assert sorted(permutation) == list(range(S))
        taken = cost[np.arange(S), permutation].sum()
        best = cost[linear_sum_assignment(cost)].sum()
        assert taken <= best + 1e-6 * scale * values * S


@pytest.mark.parametrize("values", [3, 10_000])
def test_minimises_large_problems(target, values):
    rng = np.random.default_rng(values)
    costs = rng.integers(0, values, (1, 450, 450)).astype(np.float32)
    permutation = native_core.minimise(torch.from_numpy(costs))[0].numpy()
    taken = costs[0][np.arange(450), permutation].sum()
    assert taken == costs[0][linear_sum_assignment(costs[0])].sum()


def test_the_value_does_not_depend_on_the_processor(monkeypatch):
    rng = np.random.default_rng(1)
    maps = prepare(torch.from_numpy(relu(rng, 6, 49, 64)).float(), centred=True)
    pairs = torch.combinations(torch.arange(6))
    sums = []
    for name in native.targets():
        monkeypatch.setattr(native, "core", lambda name=name: native.load(name))
        packed = native_core.prepare(maps)
        sums.append(native_core.solve_products(packed, packed, pairs).sums)
    for other in sums[1:]:
        assert torch.allclose(sums[0], other, rtol=1e-7, atol=0)


ONE_PAIR = """
import sys
from pathlib import Path
import torch
from semrsm.engine.assignment import native_core
from semrsm.engine.maps import prepare
def peak():  # not ru_maxrss, which a process has from the one that starts it
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
S, pair = int(sys.argv[1]), torch.zeros(1, 2, dtype=torch.int64)
def match(values):
    block = native_core.prepare(prepare(values, centred=True))
    before = peak()
    native_core.solve_products(block, block, pair)
    return peak() - before
match(torch.rand(1, 2, 3))
print(match(torch.eye(3).repeat(S, 1)[None, :S]), native_core.workspace_bytes(S, 3, 4))
"""


@wanted
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("S", [300, 1600])
def test_a_pair_takes_no_more_memory_than_is_counted_also_for_ties(S):
    """Of three kinds of positions, a third of all entries have weight in every row."""
    done = subprocess.run([sys.executable, "-c", ONE_PAIR, str(S)], capture_output=True, check=True)
    taken, counted = map(int, done.stdout.split())
    assert 4 * S * S <= taken <= counted


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_chooses_a_target_or_none():
    code = "from semrsm.engine.assignment import choose_solver as c; print(c('cpu').name)"
    assert run(code, SEMRSM_NATIVE_TARGET="baseline").stdout == "native\n"
    assert run(code, SEMRSM_NATIVE_TARGET="none").stdout in ("laprust\n", "scipy\n")


def test_a_target_that_is_not_here_is_refused(monkeypatch):
    monkeypatch.setenv(native.CHOICE, "abacus")
    native.core.cache_clear()
    with pytest.raises(SemrsmError, match="SEMRSM_NATIVE_TARGET=abacus: no such native core here"):
        native.core()
    monkeypatch.undo()
    native.core.cache_clear()
