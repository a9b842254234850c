"""Large runs on the command line: status, finish, shards of a Slurm array, what a dry run says of them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from semrsm.cli.compute import compute
from semrsm.compute import grid
from semrsm.compute.options import FIELDS
from semrsm.storage.run_folder import run_folder_of
from semrsm.storage.run_lock import locked
from tests.helpers import fail, succeed, write_h5

SLURM = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3"}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "LARGEST_EDGE", 4)


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(10, 3, 4, 4)).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", layer1=x, layer2=x[:, :2])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "o.rsm.h5"


def shard(dump: Path, out: Path, part: str, *args: object) -> str:
    return succeed("compute", dump, "-o", out, "--threads", 1, "--shard", part, *args).stderr


def test_every_option_is_a_flag_and_every_flag_an_option() -> None:
    flags = set(inspect.signature(compute).parameters)
    assert flags - set(FIELDS) == {
        *("activations", "out", "config", "dry_run", "untrusted", "json")
    }
    assert set(FIELDS) <= flags
    documented = inspect.getdoc(__import__("semrsm").compute) or ""
    assert all(f"\n    {name}: " in documented for name in FIELDS)


def test_the_status_of_a_run_that_is_half_done(dump: Path, out: Path) -> None:
    shard(dump, out, "1/2")
    shown = succeed("status", out)
    header, first, _ = (line.split("\t") for line in shown.stdout.splitlines())
    assert header == [
        *("layer", "tiles", "tiles_done", "tiles_missing", "pairs", "pairs_done"),
    ]
    assert first[:2] == ["layer1", "6"]
    assert int(first[2]) + int(first[3]) == 6
    assert "tiles are missing" in shown.stderr
    found = json.loads(succeed("status", out, "--json").stdout)
    assert found["folders"] == [str(run_folder_of(out))]
    assert [layer["tiles"] for layer in found["layers"]] == [6, 6]
    done = sum(layer["pairs_done"] for layer in found["layers"])
    assert 0 < done < 90 == sum(layer["pairs"] for layer in found["layers"])
    assert found["at_work"] is None
    assert found["seconds_since_last_tile"] >= 0


def test_the_status_of_a_run_that_somebody_is_at(dump: Path, out: Path) -> None:
    shard(dump, out, "1/2")
    with locked(run_folder_of(out)):
        assert "at work: process" in succeed("status", out).stderr


def test_the_status_before_and_after_a_run(dump: Path, out: Path) -> None:
    assert "is no run folder" in fail("status", out)
    succeed("compute", dump, "-o", out, "--threads", 1)
    done = succeed("status", out)
    assert done.stdout == ""
    assert done.stderr == f"{out} is finished\n"
    assert json.loads(succeed("status", out, "--json").stdout)["seconds_left"] == 0


def test_the_status_of_all_tiles_says_how_to_finish(dump: Path, out: Path) -> None:
    shard(dump, out, "1/1")
    assert f"semrsm finish {out}" in succeed("status", out).stderr
    succeed("finish", out, "--json", "-k", "linear")


def test_the_rate_is_that_of_the_last_tiles(dump: Path, out: Path) -> None:
    import os

    shard(dump, out, "1/2", "-l", "layer1")
    for second, path in enumerate(sorted(run_folder_of(out).glob("tiles/*/*.npz"))):
        os.utime(path, (1000 + 10 * second, 1000 + 10 * second))
    found = json.loads(succeed("status", out, "--json").stdout)
    [layer] = found["layers"]
    rate = found["pairs_per_second"]
    assert 0 < rate < layer["pairs"] / 10
    assert found["seconds_left"] == pytest.approx((layer["pairs"] - layer["pairs_done"]) / rate)


def test_finishing_names_what_is_missing(dump: Path, out: Path) -> None:
    assert "is no run folder" in fail("finish", out)
    shard(dump, out, "2/2")
    before = {p: p.read_bytes() for p in run_folder_of(out).rglob("*.npz")}
    message = fail("finish", out)
    assert "tiles of" in message
    assert "layer1 0-0" in message
    assert f"semrsm compute {dump} -o {out}" in message
    assert {p: p.read_bytes() for p in run_folder_of(out).rglob("*.npz")} == before
    assert not out.exists()


def test_finishing_prints_what_compute_prints(dump: Path, out: Path, tmp_path: Path) -> None:
    shard(dump, out, "1/1")
    report = json.loads(succeed("finish", out, "--json").stdout)
    other = tmp_path / "p.rsm.h5"
    plain = json.loads(succeed("compute", dump, "-o", other, "--json", "--threads", 1).stdout)
    assert report["output"] == str(out)
    assert [list(layer) for layer in report["layers"]] == [list(layer) for layer in plain["layers"]]
    assert [layer["pairs"] for layer in report["layers"]] == [45, 45]


def test_finishing_does_not_replace_an_output(dump: Path, out: Path) -> None:
    shard(dump, out, "1/1")
    out.write_bytes(b"older")
    assert "exists" in fail("finish", out)
    assert out.read_bytes() == b"older"
    succeed("finish", out, "--overwrite")


def test_finishing_folders_of_different_runs_is_refused(
    dump: Path, out: Path, tmp_path: Path
) -> None:
    shard(dump, out, "1/2", "--run-folder", tmp_path / "a")
    shard(dump, out, "2/2", "--run-folder", tmp_path / "b", "-m", "identity")
    assert "matcher is optimal and identity" in fail("finish", out, tmp_path / "a", tmp_path / "b")


def test_finishing_with_a_kernel_that_the_matcher_does_not_serve(dump: Path, out: Path) -> None:
    shard(dump, out, "1/1", "-m", "pool", "-k", "linear")
    assert "matches none" in fail("finish", out, "-k", "cosine")
    succeed("finish", out, "-k", "linear")


def test_the_command_for_missing_tiles_of_a_matcher_without_matches_runs(
    dump: Path, out: Path
) -> None:
    import shlex

    shard(
        dump,
        out,
        "1/2",
        "-m",
        "pool",
        "-k",
        "linear",
        "--against",
        f"{dump}::layer1",
        "-l",
        "layer1",
    )
    command = shlex.split(fail("finish", out, "-k", "linear").rsplit("compute them here: ", 1)[1])
    succeed(*command[1:])


def test_the_status_of_another_file(out: Path) -> None:
    out.write_text("no RSM")
    assert "is no run folder" in fail("status", out)


def test_a_task_of_a_slurm_array_knows_its_part(
    dump: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert "part 2 of 3 is done" in shard(dump, out, "auto")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "not set here"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "9"}, "has gaps"),
        (SLURM | {"SLURM_ARRAY_TASK_STEP": "2"}, "has gaps"),
    ],
)
def test_an_array_without_parts_is_refused(
    environment: dict[str, str], says: str, dump: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    message = fail("compute", dump, "-o", out, "--shard", "auto", out=out)
    assert says in message
    assert "--array=1-" in message


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_part_that_there_is_not(part: str, dump: Path, out: Path) -> None:
    message = fail("compute", dump, "-o", out, f"--shard={part}", out=out)
    assert "shard must be I/N with I from 1 to N" in message


def test_what_contradicts_itself_is_refused(dump: Path, out: Path) -> None:
    both = ("--workers", 2, "--dask", "local:2")
    assert "leave --workers" in fail("compute", dump, "-o", out, *both, out=out)
    assert "all CUDA devices" in fail("compute", dump, "-o", out, "--device", "all", out=out)
    assert "local:N" in fail("compute", dump, "-o", out, "--dask", "local:0", out=out)


def test_a_dry_run_says_what_each_process_and_each_shard_takes(dump: Path, out: Path) -> None:
    plain = json.loads(succeed("compute", dump, "--dry-run", "--json").stdout)["layers"][0]
    assert plain["seconds_per_part"] is None
    entries = 4 * 4 + 4 * 4 + 4 * 2 + 4 * 4 + 4 * 2 + 2 * 2
    assert (plain["tiles"], plain["run_folder_bytes"]) == (6, 8 * entries + 24 * 10)
    assert plain["bytes_read"] >= 10 * 3 * 16 * 4
    told = succeed("compute", dump, "--dry-run", "--shard", "1/4")
    assert "for each of 4 shards" in told.stderr
    assert "nothing was written" in told.stderr
    parts = json.loads(succeed("compute", dump, "--dry-run", "--shard", "1/4", "--json").stdout)[
        "layers"
    ][0]
    assert 0 < parts["seconds_per_part"] < parts["seconds"]
    assert "in 2 processes" in succeed("compute", dump, "--dry-run", "--workers", 2).stderr
    assert not out.exists()


def test_the_metadata_of_a_finished_run_names_what_shaped_it(dump: Path, out: Path) -> None:
    import semrsm

    shard(dump, out, "1/1", "-m", "greedy", "--pool", "2x2")
    succeed("finish", out, "-k", "linear")
    about = semrsm.read_rsm(out, "layer1", "linear")[1]
    options = about["metadata"]["options"]
    assert (options["matcher"], options["pool"], options["kernel"]) == (
        "greedy",
        [2, 2],
        ["linear"],
    )
    assert about["metadata"]["command"].startswith("semrsm ")
    assert about["metadata"]["activations"]["path"] == str(dump)
