"""The first batches of scripts/rational_check: every kind of map, every matcher, kernel and certificate."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from semrsm.engine.assignment import choose_solver
from semrsm.engine.matchers import MATCHERS
from tests.conftest import ROOT

KINDS = 15


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "rational_check", ROOT / "scripts/rational_check.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["rational_check"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# First in float32, then in float64; at last two positions whose rounding adds up.
@pytest.mark.parametrize("seed", [*range(2 * KINDS), 223, 562, 580])
def test_small_maps_agree_with_brute_force_in_rationals(script: ModuleType, seed: int) -> None:
    assert len(script.KINDS) == KINDS
    worst = {name: script.Worst() for name in MATCHERS}
    assert script.check_batch(seed, worst) == []
    assert {found.pairs for found in worst.values()} == {20}


def test_the_solver_that_users_are_given_is_checked(script: ModuleType) -> None:
    # The default of Settings is SciPy, so that the native core was not looked at.
    assert script.SETTINGS.solver == choose_solver("cpu").name


def test_a_wrong_bound_and_a_wrong_value_are_faults(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = script.match_pairs

    def wrong(*given: object) -> object:
        found = real(*given)
        found.matched.mul_(1 - 1e-6)
        if found.upper_bound is not None:
            found.upper_bound.copy_(torch.minimum(found.upper_bound, found.matched))
        return found

    monkeypatch.setattr(script, "match_pairs", wrong)
    faults = script.check_batch(0, {name: script.Worst() for name in MATCHERS})
    for what in ("the value is off by", "is below", "the cosine is off by"):
        assert any(what in fault for fault in faults), what
