"""Matchers in whole runs: what is refused, what is recorded, tiles and threads."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import semrsm
from semrsm.cli import app
from semrsm.engine.matchers import Matcher, Settings
from semrsm.errors import SemrsmError
from tests.engine.matching import SETTINGS, every_matcher


def save(path: Path, maps: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["layer"] = maps
    return path


@every_matcher
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_refused_when_read(
    matcher: Matcher, bad: float, rng: np.random.Generator
) -> None:
    array = rng.normal(size=(3, 2, 4, 4))
    array[1, 0, 2, 2] = bad
    with pytest.raises(SemrsmError, match="sample 1"):
        semrsm.rsm(array, matcher.name, "linear")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"matcher": "greedy", "window": 4}, "greedy takes no parameter, not `window`"),
        ({"matcher": "coarse", "topk": 4}, "coarse takes `group`, not `topk`"),
        ({"matcher": "optimal", "epsilon": 0.1}, "optimal takes no parameter, not `epsilon`"),
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


@pytest.mark.parametrize(
    ("matcher", "flag", "value"),
    [
        ("topk-greedy", "topk", 3),
        ("batch-optimal", "window", 3),
        ("sinkhorn", "epsilon", 0.5),
        ("coarse", "group", 3),
    ],
)
def test_a_flag_and_a_key_of_a_run_file_reach_the_matcher(
    matcher: str, flag: str, value: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps, out = save(tmp_path / "a.h5", rng.normal(size=(3, 3, 2, 8))), tmp_path / "o.rsm.h5"
    run_file = tmp_path / "run.toml"
    run_file.write_text(f'matcher = "{matcher}"\n{flag} = {value}\n')
    for arguments in (["-m", matcher, f"--{flag}", str(value)], ["--config", str(run_file)]):
        result = CliRunner().invoke(
            app, ["compute", str(maps), "-o", str(out), "--overwrite", *arguments]
        )
        assert result.exit_code == 0, result.output
        assert semrsm.read_rsm(out)[1]["parameters"][flag] == value


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
