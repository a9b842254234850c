"""What a plan refuses before anything is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semrsm.compute.options import options_of
from semrsm.compute.plan import open_plan
from semrsm.engine.assignment import SOLVERS
from semrsm.errors import SemrsmError
from tests.helpers import write_h5


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_h5(tmp_path / "a.h5", layer=rng.normal(size=(5, 2, 4, 4)).astype(np.float32))


def refusal(dump: Path, **options: object) -> str:
    with pytest.raises(SemrsmError) as error, open_plan(dump, options_of(options)):
        pass
    return str(error.value)


def test_a_map_too_large_for_the_solver(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, solver in SOLVERS.items():
        monkeypatch.setitem(SOLVERS, name, replace(solver, most_positions=15))
    assert "takes at most 15 positions, here it would be given 16" in refusal(dump)
    with open_plan(dump, options_of({"matcher": "identity"})) as plan:
        assert list(plan.layers) == ["layer"]


def test_kernels_that_could_not_be_finished(dump: Path) -> None:
    assert "matches none" in refusal(dump, matcher="maxsim", kernel="cosine")
    assert "one sample has no pairs" in refusal(dump, kernel="rbf", samples="0:1")


def test_processes_share_the_cores_and_the_memory(dump: Path) -> None:
    options = options_of({"memory": "1GiB", "matcher": "identity"})
    with open_plan(dump, options, 1) as one, open_plan(dump, options, 4) as four:
        assert four.layers["layer"].work.threads == max(1, one.layers["layer"].work.threads // 4)
        assert four.layers["layer"].budget.chunk == one.layers["layer"].budget.chunk
    with (
        pytest.raises(SemrsmError, match="raise `memory`"),
        open_plan(dump, options_of({"memory": "40kB"}), 40),
    ):
        pass
