"""Cost scaling in Triton against SciPy by value; on the CPU it runs in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from semrsm.engine.assignment import SOLVERS, choose_solver, triton_scaling
from semrsm.errors import SemrsmError
from tests.engine import assignments
from tests.engine.assignments import every_pair, products

pytestmark = pytest.mark.usefixtures("poisoned_memory")
check = partial(assignments.check, triton_scaling.solve)
slow = pytest.mark.slow


@pytest.mark.parametrize(
    "S", [1, 2, 3, 17, pytest.param(49, marks=slow), pytest.param(63, marks=slow)]
)
def test_gaussian_features(S: int, rng: np.random.Generator) -> None:
    found = check(products(rng, 2, S), torch.tensor([[0, 1]]))
    assert not found.gave_up.any()


@slow
@pytest.mark.parametrize("scale", [1e-18, 1e12])
def test_any_scale(scale: float, rng: np.random.Generator) -> None:
    check(products(rng, 2, 17) * scale, torch.tensor([[0, 1]]))


@pytest.mark.parametrize("S", [2, 7, pytest.param(24, marks=slow)])
def test_ties(S: int, rng: np.random.Generator) -> None:
    """More equal columns than a list holds, and columns that all rows like alike."""
    few = torch.from_numpy(rng.integers(-2, 3, (1, S, 1, S))).float()
    few_rows = few[:, torch.from_numpy(rng.integers(0, (S + 2) // 3, S))]
    for affinity in (torch.zeros(1, S, 1, S), torch.full((1, S, 1, S), -7.0), few, few_rows):
        check(affinity)


@pytest.mark.parametrize("S", [9, pytest.param(40, marks=slow)])
def test_rank_one(S: int, rng: np.random.Generator) -> None:
    x, y = (torch.from_numpy(rng.standard_normal(S)).float() for _ in range(2))
    check((x[:, None] * y)[None, :, None])


@slow
def test_zero_positions(rng: np.random.Generator) -> None:
    affinity = products(rng, 1, 40).clamp(min=0)
    affinity[:, ::2] = 0
    check(affinity)


@slow
@pytest.mark.parametrize(("layer", "crop"), [("layer4", None), ("layer3", 10), ("layer3", None)])
def test_real_maps(layer: str, crop: int | None, real_affinity: Callable[..., Tensor]) -> None:
    """Short lists serve: hardly more than one is made for each row."""
    affinity = real_affinity(layer, 2, crop)
    found = check(affinity, torch.tensor([[0, 1]]))
    assert not found.gave_up.any()
    assert found.scans.item() <= 2 * affinity.shape[1]


def test_what_takes_too_long_is_handed_over(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    affinity = products(rng, 2, 7)
    done = check(affinity, torch.tensor([[0, 1]]))
    for limit in ("MOST_BIDS", "MOST_LISTS"):
        with monkeypatch.context() as patched:
            patched.setattr(triton_scaling, limit, 0)
            found = check(affinity, torch.tensor([[0, 1]]))
        assert (done.gave_up.tolist(), found.gave_up.tolist()) == ([False], [True])


def test_some_of_a_batch_are_handed_over(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs beside those that go on to augmenting paths stay as they are."""
    monkeypatch.setattr(triton_scaling, "MOST_BIDS", 0)
    affinity = products(rng, 2, 5)
    affinity[:, :, 0] = 3
    found = check(affinity, torch.tensor([[0, 0], [0, 1]]))
    assert found.gave_up.tolist() == [False, True]


def test_any_strides(rng: np.random.Generator) -> None:
    plain = products(rng, 1, 9)
    wide = torch.full((2, 18, 2, 27), torch.nan)
    wide[::2, 1::2, 1:, ::3] = plain
    for view in (wide[::2, 1::2, 1:, ::3], plain.permute(2, 3, 0, 1)):
        check(view)


def test_no_pairs() -> None:
    none = torch.empty((0, 2), dtype=torch.int64)
    found = assignments.solve(triton_scaling.solve, torch.zeros(1, 3, 1, 3), none)
    assert found.permutation.shape == (0, 3)


@slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(np.float32, (1, 4, 1, 4), elements=st.floats(-100, 100, width=32)),
    arrays(np.float32, (1, 4), elements=st.floats(-100, 100, width=32)),
)
def test_optimal_from_any_start(affinity: np.ndarray, start: np.ndarray) -> None:
    check(torch.from_numpy(affinity), start=torch.from_numpy(start))


def test_rounding_costs_accuracy_never_the_permutation(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences far under float32's resolution, and prices that swallow the affinities."""
    monkeypatch.setattr(triton_scaling, "MOST_BIDS", 5)
    affinity = 1e8 + products(rng, 1, 9)
    start = torch.from_numpy(rng.standard_normal((1, 9)) * 1e12).float()
    assignments.solve(triton_scaling.solve, affinity, every_pair(affinity), start=start)


def test_refusals() -> None:
    with pytest.raises(SemrsmError, match="4097"):
        triton_scaling.solve(torch.zeros(1, 1, 1, 1).expand(1, 4097, 1, 4097), torch.zeros(0, 2))


def test_it_is_chosen_as_its_row_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name only, until a GPU has shown from how many positions on it is faster: one field."""
    from dataclasses import replace

    row = SOLVERS["triton-scaling"]
    assert {choose_solver("cuda", S).name for S in (1, 399, 400, 3136)} == {"triton"}
    monkeypatch.setitem(SOLVERS, row.name, replace(row, chosen_from=400))
    assert [choose_solver("cuda", S).name for S in (399, 400)] == ["triton", "triton-scaling"]
    assert choose_solver("cpu", 4000).device == "cpu"
