"""`semrsm pair`: its table, the saved permutation, the picture, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from semrsm.data import digits_path
from tests.helpers import fail, run, succeed, write_h5

COLUMNS = ["layer", "i", "j", "kernel", "identity", "matcher", "matched", "reason"]


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(4, 3, 2, 4)).astype(np.float32)
    images = rng.integers(0, 255, (4, 3, 8, 16), dtype=np.uint8)
    tokens = rng.normal(size=(4, 5, 3)).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", map=x, images=images, tokens=tokens)


def test_the_table_has_a_line_for_each_kernel(dump: Path) -> None:
    result = succeed("pair", f"{dump}::map", 0, 2, "-m", "greedy", "--sigma", 3)
    header, *rows = (line.split("\t") for line in result.stdout.splitlines())
    assert header == COLUMNS
    assert [row[:4] for row in rows] == [["map", "0", "2", k] for k in ("linear", "cosine", "rbf")]
    assert {row[5] for row in rows} == {"greedy"}
    assert result.stderr == ""


def test_json_has_null_and_a_reason_for_rbf_without_a_width(dump: Path) -> None:
    rows = json.loads(succeed("pair", dump, 0, 2, "-l", "map", "--json").stdout)
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert rows[2]["matched"] is None
    assert "--sigma" in rows[2]["reason"]


def test_the_saved_permutation_gives_the_printed_value(dump: Path, tmp_path: Path) -> None:
    import h5py

    out = tmp_path / "p.npy"
    args = ("pair", dump, 3, 1, "-l", "map", "--json", "--matching", out)
    linear = json.loads(succeed(*args).stdout)[0]
    permutation = np.load(out)
    assert (permutation.dtype, permutation.shape) == (np.int64, (8,))
    with h5py.File(dump) as file:
        x = file["map"][:].astype(float).reshape(4, 3, 8)
    assert (x[3] * x[1][:, permutation]).sum() == pytest.approx(linear["matched"], rel=1e-6)
    assert "exists" in fail(*args)
    succeed(*args, "--overwrite")


def test_pictures_with_and_without_images_and_of_tokens(dump: Path, tmp_path: Path) -> None:
    for name, args in {
        "a.png": (dump, 0, 2, "-l", "map"),
        "b.pdf": (dump, 0, 2, "-l", "map", "--images", f"{dump}::images"),
        "c.svg": (dump, 0, 2, "-l", "tokens", "--skip-tokens", 1),
    }.items():
        result = succeed("pair", *args, "--plot", tmp_path / name)
        assert result.stderr == f"wrote {tmp_path / name}\n"
        assert (tmp_path / name).stat().st_size > 1000


def test_two_views_of_a_digit_are_more_alike_once_matched() -> None:
    args = ("-l", "resnet/layer2", "--json")
    cosine = json.loads(succeed("pair", digits_path(), 0, 10, *args).stdout)[1]
    assert cosine["matched"] > 0.85
    assert cosine["identity"] < 0.3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["@", 0, 1], "holds the layers map, tokens; choose one with --layer"),
        (["@", 0, 1, "-l", "*"], "holds the layers map, tokens"),
        (["@", 0, 1, "-l", "mapp"], "did you mean 'map'"),
        (["@", 0, 9, "-l", "map"], "no sample 9; give a number of 0 to 3"),
        (["@", "9" * 5000, 1, "-l", "map"], "as it holds no ids"),
        (["@", "a.png", 1, "-l", "map"], "no sample 'a.png', as it holds no ids (samples, "),
        (["@", 0, 1, "-l", "map", "--sigma", "x"], "--sigma is 'x', not a number; change it"),
        (["@", 0, 1, "-l", "map", "--skip-tokens", "x"], "--skip-tokens"),
        (["@", 0, 1, "-l", "map", "-m", "maxsim", "--matching", "p.npy"], "no matching to save"),
        (["@", 0, 1, "-l", "map", "-m", "pool", "--plot", "p.png"], "no matching to save or draw"),
        (["@", 0, 1, "-l", "tokens", "--plot", "p.png"], "5 tokens are no square"),
        (["@", 0, 1, "-l", "map", "--plot", "p.txt"], ".png"),
        (["@", 0, 1, "-l", "map", "--plot", "p.png", "--images", "@::mops"], "there is no array"),
        (["@", 0, 1, "-l", "map", "--sigma", "-1"], "sigma must be"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    dump: Path, tmp_path: Path, args: list[object], said: str
) -> None:
    words = [str(arg).replace("@", str(dump)) for arg in args]
    words = [str(tmp_path / word) if word.startswith("p.") else word for word in words]
    assert said in fail("pair", *words, out=tmp_path / "any")


def test_wrong_usage_exits_with_2(dump: Path) -> None:
    assert run("pair", dump, 0, 1, "-l", "map", "--images", dump).exit_code == 2
    assert run("pair", dump, 0).exit_code == 2


def test_samples_are_named_by_ids_too(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    ids = np.array([b"cat/1.png", b"cat/2.png", b"3", b"0007"])
    dump = write_h5(tmp_path / "dump.h5", map=x, samples=ids)

    def samples(i: object, j: object) -> tuple[int, int]:
        record = json.loads(succeed("pair", dump, i, j, "--json").stdout)[0]
        return record["i"], record["j"]

    assert samples("cat/2.png", "0007") == (1, 3)
    assert samples(3, "cat/1.png") == (3, 0)  # a number is one where there is such a sample
    assert "did you mean 'cat/1.png'?" in fail("pair", dump, "cat/11.png", 0)
    twice = write_h5(tmp_path / "twice.h5", map=x, samples=np.array([b"a", b"a", b"b", b"c"]))
    assert "several samples with the id 'a'" in fail("pair", twice, "a", "b")
