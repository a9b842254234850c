"""Whole commands on a faked CUDA device, and on two: what `--device` means, from the options to the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.compute import grid
from semrsm.compute.pair import compare_pair
from semrsm.compute.trial import try_matchers
from semrsm.errors import SemrsmError
from semrsm.storage.rsm_file import open_rsm
from tests.faked_cuda import Card, FakedCuda
from tests.helpers import fail, succeed, write_h5


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> FakedCuda:
    from semrsm.engine.assignment import triton_sinkhorn

    monkeypatch.setattr(triton_sinkhorn, "annealing", lambda S: (2, 0.1))
    return FakedCuda().install(monkeypatch)


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    maps = rng.normal(size=(5, 9, 2, 2)).astype(np.float32) + 0.2
    return write_h5(tmp_path / "a.h5", layer=maps)


def test_a_run_on_a_gpu_gives_the_file_of_the_cpu(
    dump: Path, tmp_path: Path, faked: FakedCuda
) -> None:
    for device in ("cuda", "cpu"):
        out = tmp_path / f"{device}.rsm.h5"
        succeed("compute", dump, "-o", out, "--device", device, "--certify", "-k", "cosine")
    with open_rsm(tmp_path / "cuda.rsm.h5") as gpu, open_rsm(tmp_path / "cpu.rsm.h5") as cpu:
        for name in ("matched", "upper_bound", "rsm/cosine"):
            found, expected = (file.file[f"layers/layer/{name}"][:] for file in (gpu, cpu))
            assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
        about = gpu.layer("layer").parameters
        assert (about["device"], about["solver"]) == ("Faked GPU", "triton")
    assert faked.races == []


def test_auto_takes_the_gpu_and_an_estimate_says_so(dump: Path, faked: FakedCuda) -> None:
    done = succeed(
        "compute", dump, "-o", dump.with_name("o.h5"), "-m", "pool", "-k", "linear", "--dry-run"
    )
    assert "Faked GPU" in done.stdout


def test_more_positions_than_the_solver_takes_are_refused_before_anything_is_read(
    tmp_path: Path, faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semrsm.compute.layers import LayerInput

    large = write_h5(tmp_path / "large.h5", layer=np.ones((2, 1, 65, 64), np.float32))
    monkeypatch.setattr(LayerInput, "read", None)
    message = fail("compute", large, "-o", tmp_path / "o.h5", "--device", "cuda")
    assert "takes at most 4096 positions, here it would be given 4160" in message
    message = fail("pair", large, 0, 1, "--device", "cuda")
    assert "takes at most 4096 positions" in message
    with pytest.raises(SemrsmError, match="4160"):
        semrsm.rsm(np.ones((2, 1, 65, 64)), device="cuda")


def test_windows_of_large_maps_are_small_enough(
    faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semrsm.engine.assignment import SOLVERS

    monkeypatch.setitem(SOLVERS, "triton", replace(SOLVERS["triton"], most_positions=3))
    maps = np.random.default_rng(3).normal(size=(2, 5, 2, 2)).astype(np.float32)
    options = {"matcher": "batch-optimal", "window": 2, "kernel": "linear"}
    found, expected = (semrsm.rsm(maps, **options, device=d) for d in ("cuda", "cpu"))
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    with pytest.raises(SemrsmError, match="at most 3 positions"):
        semrsm.rsm(maps, device="cuda")


@pytest.mark.parametrize("matcher", ["optimal", "pool"])
def test_a_pair_on_a_gpu(matcher: str, dump: Path, faked: FakedCuda) -> None:
    gpu, cpu = (compare_pair(dump, 3, 1, matcher=matcher, device=d) for d in ("cuda", "cpu"))
    for one, other in zip(gpu.values, cpu.values, strict=True):
        assert (one.matched is None) == (other.matched is None)
        assert one.matched is None or one.matched == pytest.approx(other.matched, rel=1e-6)
    if cpu.permutation is not None:
        np.testing.assert_array_equal(gpu.permutation, cpu.permutation)
    assert "cosine" in succeed("pair", dump, 0, 1, "-m", "pool", "--device", "cuda").stdout


def test_matchers_tried_on_a_gpu(dump: Path, faked: FakedCuda) -> None:
    chosen = ["optimal", "identity"]
    gpu, cpu = (
        try_matchers(dump, matcher=chosen, pairs=4, device=device) for device in ("cuda", "cpu")
    )
    # Chunks are of other sizes on another device, so the pairs that are drawn are other ones.
    for trials in (gpu, cpu):
        best, same = trials
        assert (best.pairs, same.pairs) == (4, 4)
        assert best.relative_mean == pytest.approx(1, abs=1e-6)
        assert best.gap_mean == pytest.approx(0, abs=1e-6)
        assert same.relative_mean < 1


@pytest.mark.parametrize("matcher", ["greedy", "identity"])
@pytest.mark.parametrize("certify", [False, True])
def test_fast_products_are_not_silent(matcher: str, certify: bool, dump: Path) -> None:
    notes: list[str] = []
    out = dump.with_name("o.rsm.h5")
    options = {"precision": "fast", "certify": certify, "device": "cpu", "matcher": matcher}
    semrsm.compute(dump, out, on_note=notes.append, **options)
    found = [note for note in notes if "products in TF32 or bfloat16" in note]
    assert len(found) == (matcher == "greedy")
    for note in found:
        assert ("no matching raises a cosine" in note) == certify


SITE = """
import sys
sys.path.insert(0, {root!r})
from tests.faked_cuda import Card, FakedCuda, Lasting
FakedCuda([Card("one"), Card("other")]).install(Lasting)
"""


@pytest.mark.slow
def test_two_gpus_share_a_run(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    root = Path(__file__).resolve().parents[2]
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(root=str(root)))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{root}")  # of the processes that are started
    FakedCuda([Card("one"), Card("other")]).install(monkeypatch)
    maps = rng.normal(size=(6, 9, 2, 2)).astype(np.float32)
    dump = write_h5(tmp_path / "many.h5", layer=maps)
    options = {"matcher": "greedy", "kernel": "linear"}
    monkeypatch.setattr(grid, "AIM", 1e-12)  # tiles of one sample: there is work for both
    semrsm.compute(dump, tmp_path / "cpu.h5", device="cpu", **options)
    semrsm.compute(dump, tmp_path / "gpu.h5", device="all", **options)
    with open_rsm(tmp_path / "gpu.h5") as gpu, open_rsm(tmp_path / "cpu.h5") as cpu:
        found, expected = (file.file["layers/layer/matched"][:] for file in (gpu, cpu))
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
        assert set(gpu.layer("layer").parameters["device"].split(", ")) == {"one", "other"}
