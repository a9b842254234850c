"""Greedy matching in Triton against its readable twin; on the CPU it runs in Triton's interpreter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semrsm.engine.assignment import triton_greedy
from semrsm.engine.matchers import greedy
from semrsm.engine.matchers.greedy import greedy_in_turn, greedy_permutations

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("S", [1, 2, 7, 17, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_its_twin_ties_and_all(S: int, dtype: torch.dtype, rng: np.random.Generator) -> None:
    real = torch.from_numpy(rng.normal(size=(2, S, S)) * 10.0 ** rng.integers(-20, 20))
    few = torch.from_numpy(rng.integers(-1, 2, (1, S, S)))
    affinity = torch.cat([real, few, torch.zeros(1, S, S)]).to(DEVICE, dtype)
    for given in (affinity, affinity.mT):
        assert torch.equal(triton_greedy.greedy(given), greedy_in_turn(given))


def test_no_problems() -> None:
    assert triton_greedy.greedy(torch.zeros(0, 3, 3, device=DEVICE)).shape == (0, 3)


@pytest.mark.parametrize("solver", ["triton", "triton-scaling"])
def test_no_position_is_looped_over_on_the_host(
    solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greedy, "greedy_in_turn", None)
    best = torch.tensor([[[1.0, 2.0, 0.0], [9.0, 3.0, 0.0], [8.0, 1.0, 1.0]]], device=DEVICE)
    assert greedy_permutations(best, solver).tolist() == [[2, 0, 1]]
