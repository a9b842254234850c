"""`semrsm info --check`: everything is read, and what is wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import fail, run, succeed, write_h5, write_rsm


@pytest.fixture
def rsm(tmp_path: Path) -> Path:
    """An RSM file of two layers."""
    x = np.random.default_rng(2).standard_normal((7, 3))
    return write_rsm(tmp_path / "o.rsm.h5", {"a": x @ x.T, "b": 2 * x @ x.T})


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """An activation file of two layers."""
    x = np.random.default_rng(2).standard_normal((7, 3, 2, 2)).astype(np.float32)
    return write_h5(tmp_path / "a.h5", a=x, b=x, samples=np.arange(7))


def test_a_file_that_is_whole_is_said_to_be(rsm: Path, dump: Path) -> None:
    for path in (rsm, dump):
        plain, checked = succeed("info", path), succeed("info", path, "--check")
        assert checked.stdout == plain.stdout
        assert checked.stderr == f"{plain.stderr}{path}: everything was read and nothing is wrong\n"
        about = json.loads(succeed("info", path, "--check", "--json").stdout)
        assert about.pop("faults") == []
        assert about == json.loads(succeed("info", path, "--json").stdout)


def test_without_checksums_no_more_is_promised_than_is_known(rsm: Path) -> None:
    with h5py.File(rsm, "r+") as file:
        for item in (file, file["layers/a"], file["layers/b"]):
            del item.attrs["record"]
    assert (
        "no checksums, so that changed numbers cannot be told"
        in succeed("info", rsm, "--check").stderr
    )
    assert json.loads(succeed("info", rsm, "--json").stdout)["checksums"] is False


def test_every_fault_of_an_rsm_file_is_said(rsm: Path) -> None:
    with h5py.File(rsm, "r+") as file:
        file["layers/a/matched"][2, 3] = 0
        file["layers/a/rsm/linear"][5, 5] = 0
        del file["layers/b/squared_norm"]
    result = run("info", rsm, "--check", "--json")
    assert result.exit_code == 1
    faults = json.loads(result.stdout)["faults"]
    remedy = "the file is damaged or was changed; compute it again"
    assert faults == [
        f"{rsm}::a: 'matched' is not what was written in row 2; {remedy}",
        f"{rsm}::a: 'rsm/linear' is not what was written in row 5; {remedy}",
        f"{rsm}::b: 'squared_norm' is missing; {remedy}",
    ]
    said = "".join(f"{fault}\n" for fault in faults)
    assert result.stderr == f"{said}semrsm: {rsm}: 3 parts are wrong, see above\n"
    with h5py.File(rsm) as file:  # nothing is mended
        assert "squared_norm" not in file["layers/b"]


def test_samples_that_are_not_finite_are_named(dump: Path) -> None:
    with h5py.File(dump, "r+") as file:
        file["b"][3, 0, 1, 1], file["b"][5] = np.nan, np.inf
    result = run("info", dump, "--check")
    assert result.exit_code == 1
    assert result.stdout.startswith("layer\t")
    assert result.stderr.splitlines()[-1] == (
        f"semrsm: {dump}::b: 2 of 7 samples hold NaN or infinity (3, 5);"
        " leave them out with --exclude 3,5 or save them again"
    )


def test_damage_that_lies_deep_in_an_activation_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.random.default_rng(1).standard_normal((200, 50)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"{path}::a: samples 0 to 199 cannot be read" in run("info", path, "--check").stderr


def test_a_file_that_cannot_be_opened(tmp_path: Path, rsm: Path) -> None:
    rsm.write_bytes(rsm.read_bytes()[:-100])
    about = json.loads(run("info", rsm, "--check", "--json").stdout)
    assert (about["kind"], about["layers"]) == ("damaged file", [])
    assert "truncated file" in about["faults"][0]
    assert "does not exist" in fail("info", tmp_path / "no.h5", "--check")


def test_a_run_folder_is_read_too(dump: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "o.rsm.h5", tmp_path / "o.rsm.h5.run"
    succeed("compute", dump, "-o", out, "--layer", "a", "--shard", "1/1", "--threads", 1)
    shown = succeed("info", folder, "--check")
    assert shown.stdout.splitlines()[1].split("\t") == ["a", "7", "7", "optimal", "1", "1"]
    assert "everything was read and nothing is wrong" in shown.stderr
    tile = folder / "tiles" / "a" / "0-0.npz"
    content = bytearray(tile.read_bytes())
    content[len(content) // 3] ^= 255
    tile.write_bytes(content)
    result = run("info", folder, "--check")
    assert result.exit_code == 1
    assert f"semrsm: {tile} is damaged or of another run; it is made again" in result.stderr
    (folder / "run.json").write_text("{}")
    assert "does not describe a run" in run("info", folder, "--check").stderr


def test_what_belongs_to_samples_is_no_fault(tmp_path: Path) -> None:
    x = np.random.default_rng(2).standard_normal((7, 3, 2, 2)).astype(np.float32)
    names = {"samples": np.array([b"%d.png" % k for k in range(7)]), "labels": np.arange(7) % 2}
    more = {"views": np.arange(7), "net__logits": x[:, :, 0, 0], "other": np.arange(7)}
    rows = json.loads(
        succeed("info", write_h5(tmp_path / "a.h5", a=x, **names, **more), "--json").stdout
    )["layers"]
    assert {row["layer"]: row["computed"] for row in rows} == {
        "a": "yes",
        "samples": "no: ids of the samples",
        "labels": "no: labels of the samples",
        "views": "no: of what thing each sample is a view",
        "net/logits": "when named: logits of the samples",
        "other": "no: holds int64, not float16, float32 or float64",
    }
