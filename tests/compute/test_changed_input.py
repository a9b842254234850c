"""The input changes while a run reads it: the run stops and says where, or its numbers are right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from semrsm.compute import grid, pair, run, scan, trial
from semrsm.storage.run_folder import RunFolder, run_folder_of
from tests.helpers import fail, succeed, write_h5
from tests.helpers import run as run_command

X = np.random.default_rng(20241).normal(size=(40, 48, 7, 7)).astype(np.float32)
OPTIONS = ("-k", "linear", "-m", "identity", "--threads", 1)


def chunked(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=array, chunks=(1, 48, 7, 7), compression="gzip")


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "a.h5": lambda path, array: write_h5(path, a=array),
    "chunked.h5": chunked,
    "a.npz": lambda path, array: np.savez(path, a=array),
    "compressed.npz": lambda path, array: np.savez_compressed(path, a=array),
    "a.npy": np.save,
    "a.pt": lambda path, array: torch.save({"a": torch.from_numpy(array)}, path),
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "LARGEST_EDGE", 8)


def overwrite(path: Path) -> None:
    """Write other values into the same file, a second later by its clock."""
    other = path.with_name(f"other-{path.name}")
    WRITERS[path.name](other, X + 1)
    with path.open("r+b") as stream:
        stream.write(other.read_bytes())
    later(path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 8)
    later(path)


def replace(path: Path) -> None:
    other = path.with_name(f"other-{path.name}")
    WRITERS[path.name](other, X + 1)
    os.replace(other, path)


def later(path: Path) -> None:
    moment = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(moment, moment))


CHANGES = {change.__name__: change for change in (overwrite, cut, replace)}


def before_matching(change: Callable, patch: pytest.MonkeyPatch) -> None:
    match = run.match_tiles

    def changed(*args: object) -> None:
        change()
        match(*args)

    patch.setattr(run, "match_tiles", changed)


def while_scanning(change: Callable, patch: pytest.MonkeyPatch) -> None:
    digests_of, blocks = scan.digests_of, []

    def changed(array: np.ndarray) -> np.ndarray:
        blocks.append(len(array))
        if len(blocks) == 2:
            change()
        return digests_of(array)

    patch.setattr(scan, "digests_of", changed)


def while_matching(change: Callable, patch: pytest.MonkeyPatch) -> None:
    write, tiles = RunFolder.write_tile, []

    def changed(self: RunFolder, *args: object) -> None:
        write(self, *args)
        tiles.append(args)
        if len(tiles) == 1:
            change()

    patch.setattr(RunFolder, "write_tile", changed)


MOMENTS = {moment.__name__: moment for moment in (before_matching, while_scanning, while_matching)}


def matched_of(out: Path) -> np.ndarray:
    with h5py.File(out) as file:
        return next(iter(file["layers"].values()))["matched"][:]


def tiles(out: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(run_folder_of(out).glob("tiles/*/*.npz"))}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_whose_input_changes(moment: str, change: str, name: str, tmp_path: Path) -> None:
    path, out, saved = tmp_path / name, tmp_path / "o.rsm.h5", tmp_path / "saved"
    WRITERS[name](path, X)
    shutil.copy2(path, saved)
    x = X.reshape(40, -1).astype(np.float64)
    # So little memory that blocks of samples are read several times.
    command = ("compute", path, "-o", out, *OPTIONS, "--memory", "1.5MB")
    with pytest.MonkeyPatch.context() as patch:
        MOMENTS[moment](lambda: CHANGES[change](path), patch)
        result = run_command(*command)
    # An archive that is unpacked whole, and chunks in HDF5's cache, are not read again.
    held = name in ("compressed.npz", "chunked.h5") and moment != "while_scanning"
    if change == "replace" or held:
        assert result.exit_code == 0, result.stderr
    else:
        assert result.exit_code == 1, result.output
        assert result.stderr.count("\n") == 1
        assert f"{path}::a" in result.stderr
        assert "sample" in result.stderr
        found = tiles(out)
        assert bool(found) == (moment == "while_matching")
        shutil.copy2(saved, path)
        succeed(*command)
    np.testing.assert_allclose(matched_of(out), x @ x.T, rtol=1e-6, atol=1e-4)


def test_another_process_reads_the_file_that_is_there_now_and_notices(tmp_path: Path) -> None:
    path, out = tmp_path / "a.npy", tmp_path / "o.rsm.h5"
    np.save(path, X)
    with pytest.MonkeyPatch.context() as patch:
        before_matching(lambda: replace(path), patch)
        message = fail("compute", path, "-o", out, *OPTIONS, "--workers", 2)
    assert f"{path}::a: sample " in message
    assert "has changed since the run began" in message


@pytest.mark.parametrize("name", WRITERS)
def test_a_pair_whose_file_changes_between_its_samples(name: str, tmp_path: Path) -> None:
    path, work_of = tmp_path / name, pair.work_of
    WRITERS[name](path, X)
    calls: list[object] = []

    def changed(*args: object) -> object:
        calls.append(args)
        if len(calls) == 2:  # both samples have been read once
            overwrite(path)
        return work_of(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair, "work_of", changed)
        message = fail("pair", path, 0, 39)
    assert f"{path}::a: samples 0 to 0 cannot be read" in message
    assert "was written to since it was opened" in message or "bytes, and had" in message


@pytest.mark.parametrize("name", WRITERS)
def test_matchers_that_are_tried_on_a_file_that_changes(name: str, tmp_path: Path) -> None:
    path, read_block = tmp_path / name, trial.read
    WRITERS[name](path, X)
    blocks: list[object] = []

    def changed(*args: object) -> object:
        blocks.append(args)
        if len(blocks) == 2:
            cut(path)
        return read_block(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "read", changed)
        args = ("-m", "identity", "--pairs", 20)
        message = fail("methods", "--on", path, *args)
    assert f"{path}::a: samples " in message
