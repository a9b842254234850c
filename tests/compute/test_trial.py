"""Matchers tried on data: the same pairs for all, values against the optimum, who is skipped and why."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from semrsm import SemrsmError
from semrsm.api.compute import compute
from semrsm.compute import trial_runs
from semrsm.compute.trial import Trial, as_csv, try_matchers
from semrsm.compute.trial_pairs import band_of, chunks_of_pairs
from semrsm.data import digits_path
from semrsm.engine import pairs
from semrsm.engine.blocks import Block
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.pairs import Work
from tests.helpers import scipy_matched, vectors, write_h5


@pytest.fixture
def maps(rng: np.random.Generator) -> np.ndarray:
    return np.maximum(rng.normal(size=(9, 5, 3, 4)), 0).astype(np.float32)


@pytest.fixture
def dump(tmp_path: Path, maps: np.ndarray) -> Path:
    tokens = maps.reshape(9, 5, 12).transpose(0, 2, 1)
    return write_h5(tmp_path / "dump.h5", grid=maps, tokens=np.ascontiguousarray(tokens))


def test_values_keep_to_their_side_of_the_optimum(dump: Path) -> None:
    trials = try_matchers(dump, layer=["grid"], pairs=10)
    assert [trial.matcher for trial in trials] == list(MATCHERS)
    for trial in trials:
        low, high = {
            "exact": (1, 1),
            "at most the optimum": (0, 1),
            "at least the optimum": (1, math.inf),
        }[MATCHERS[trial.matcher].value]
        for relative in (trial.relative_mean, trial.relative_worst):
            assert relative is not None
            assert low - 1e-6 <= relative <= high + 1e-6, trial
        assert (trial.pairs, trial.reason) == (10, None)
        assert abs(trial.relative_worst - 1) >= abs(trial.relative_mean - 1) - 1e-12


def test_maps_that_are_alike_are_tried_like_others(tmp_path: Path, maps: np.ndarray) -> None:
    alike = np.concatenate([maps[:3], maps[:3] * 1.001, maps[:3] * 1.002])
    [trial] = try_matchers(
        write_h5(tmp_path / "alike.h5", layer=alike), matcher=["optimal"], pairs=36
    )
    assert trial.relative_worst == pytest.approx(1.0, abs=1e-6)
    assert trial.gap_mean == pytest.approx(0.0, abs=1e-6)


def test_the_numbers_are_those_of_the_pairs_that_were_drawn(dump: Path, maps: np.ndarray) -> None:
    x = vectors(maps)
    ratios, gaps = [], []
    for chunk in chunks_of_pairs(9, 20, 2, seed=5):  # two pairs: 36 in all make 16 chunks of a run
        for i, j in [(i, j) for i in chunk.rows for j in chunk.columns][: chunk.size]:
            best, same = scipy_matched(x[i], x[j]), (x[i] * x[j]).sum()
            ratios.append(same / best)
            gaps.append((best - same) / math.sqrt((x[i] ** 2).sum() * (x[j] ** 2).sum()))
    names = ["identity", "optimal"]
    identity, optimal = try_matchers(dump, layer=["grid"], matcher=names, pairs=20, seed=5)
    assert identity.relative_mean == pytest.approx(np.mean(ratios), rel=1e-6)
    assert identity.relative_worst == pytest.approx(np.min(ratios), rel=1e-6)
    # The bound without an optimal matching is above the optimum, so the certified gap is wider.
    assert np.mean(gaps) - 1e-9 <= identity.gap_mean <= np.mean(gaps) + 0.2
    assert 0 <= optimal.gap_mean < 1e-5


def test_seeds_decide_the_pairs(dump: Path) -> None:
    def values(seed: int) -> float | None:
        [trial] = try_matchers(dump, layer=["grid"], matcher=["pool"], pairs=5, seed=seed)
        return trial.relative_mean

    assert values(1) == values(1) != values(2)


def test_tokens_are_the_same_but_for_matchers_of_grids(dump: Path) -> None:
    grid, tokens = (try_matchers(dump, layer=[name], pairs=6) for name in ("grid", "tokens"))
    for a, b in zip(grid, tokens, strict=True):
        if a.matcher == "shift":
            assert (b.pairs, b.relative_mean, b.ms_median) == (0, None, None)
            assert "needs a grid" in b.reason
        else:
            assert b.relative_mean == pytest.approx(a.relative_mean, rel=1e-6)


def test_times_belong_together(dump: Path) -> None:
    for trial in try_matchers(dump, layer=["grid"], pairs=30):
        assert 0 < trial.ms_median <= trial.ms_p90
        whole = 36 / trial.pairs_per_second + 9 * trial.ms_prepare / 1000
        assert trial.whole_seconds == pytest.approx(whole)


def test_a_matcher_stops_when_its_time_is_up(dump: Path) -> None:
    trials = try_matchers(dump, layer=["grid"], matcher=["identity"], pairs=64, seconds=1e-9)
    assert 1 <= trials[0].pairs < 64
    assert trials[0].reason == "stopped after 1e-09 s"


def test_activations_that_are_never_positive_have_no_relative_value(tmp_path: Path) -> None:
    x = np.ones((4, 2, 2, 2), np.float32) * np.array([1, -1, 1, -1])[:, None, None, None]
    zero = write_h5(tmp_path / "zero.h5", zero=np.zeros_like(x), signs=x.astype(np.float32))
    for trial in try_matchers(zero, layer=["zero"], pairs=4):
        assert (trial.relative_mean, trial.relative_worst) == (None, None)
        assert trial.gap_mean in (None, 0)
    for trial in try_matchers(zero, layer=["signs"], pairs=16, matcher=["pool"]):
        assert trial.relative_mean == pytest.approx(1)


@given(n=st.integers(2, 90), chunk=st.integers(1, 300), pairs=st.integers(1, 300))
def test_chunks_hold_different_samples_and_so_many_pairs(n: int, chunk: int, pairs: int) -> None:
    chunks = list(chunks_of_pairs(n, pairs, chunk, seed=3))
    assert sum(found.size for found in chunks) == pairs
    for found in chunks:
        samples = [*found.rows.tolist(), *found.columns.tolist()]
        assert len(set(samples)) == len(samples)
        assert 0 <= min(samples) <= max(samples) < n
        assert found.pairs.shape == (found.size, 2)
        assert found.size <= chunk


@given(n=st.integers(2, 200))
def test_a_band_holds_many_pairs(n: int) -> None:
    band = band_of(n, seed=0)
    assert band.size == len(band.rows) * len(band.columns) == len(band.pairs)
    assert len({*band.rows, *band.columns}) == min(n, 128)


def test_chunks_are_those_of_a_run(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_h5(tmp_path / "many.h5", layer=rng.normal(size=(120, 2, 3, 3)).astype(np.float32))
    sizes: dict[str, list[int]] = {"tried": [], "run": []}
    match = pairs.match_pairs

    def noted(key: str) -> Callable[..., pairs.MatchedPairs]:
        def noting(rows: Block, columns: Block, which: Tensor, work: Work) -> pairs.MatchedPairs:
            sizes[key].append(len(which))
            return match(rows, columns, which, work)

        return noting

    for key in sizes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pairs, "match_pairs", noted(key))
            if key == "run":
                compute(path, tmp_path / "o.rsm.h5", threads=1)
            else:
                try_matchers(path, matcher=["greedy"], pairs=600)
    assert max(sizes["tried"]) == max(sizes["run"]) == 256


@pytest.mark.parametrize("name", ["identity", "greedy"])
def test_few_pairs_are_timed_several_times(
    name: str, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = trial_runs.Runner._timed
    times = []

    def noted(runner: trial_runs.Runner, *given: Any) -> pairs.MatchedPairs:
        times.append(given)
        return timed(runner, *given)

    monkeypatch.setattr(trial_runs.Runner, "_timed", noted)
    [few] = try_matchers(dump, layer=["grid"], matcher=[name], pairs=1)
    assert few.pairs == 1
    assert len(times) == trial_runs.TIMES


def test_what_bounds_is_said_to_bound(dump: Path) -> None:
    trials = try_matchers(dump, layer=["grid"], pairs=2)
    assert {t.matcher: t.bound for t in trials if t.bound} == {"maxsim": "upper", "pool": "lower"}


def test_what_cannot_be_tried_is_refused_in_a_sentence(dump: Path, tmp_path: Path) -> None:
    one = write_h5(tmp_path / "one.h5", layer=np.ones((1, 2, 2, 2), np.float32))
    with pytest.raises(SemrsmError, match="one sample"):
        try_matchers(one)
    with pytest.raises(SemrsmError, match="did you mean 'greedy'"):
        try_matchers(dump, matcher=["gredy"])
    with pytest.raises(SemrsmError, match="0 pairs"):
        try_matchers(dump, pairs=0)


def test_a_table_reads_back() -> None:
    trials = [Trial("a,b", 4, 2, "pool", "", 3, relative_mean=0.1 + 0.2), Trial("c", 1, 1, "x", "")]
    [first, second] = csv.DictReader(io.StringIO(as_csv(trials).decode()))
    assert (first["layer"], float(first["relative_mean"])) == ("a,b", 0.1 + 0.2)
    assert second["ms_median"] == ""


def test_tokens_are_skipped_and_grids_pooled_as_in_compute() -> None:
    [vit] = try_matchers(
        digits_path(), layer=["vit/block1"], matcher=["pool"], pairs=4, skip_tokens=1
    )
    [cnn] = try_matchers(
        digits_path(), layer=["resnet/layer1"], matcher=["pool"], pairs=4, pool="4x4"
    )
    assert (vit.n_positions, cnn.n_positions) == (64, 16)
