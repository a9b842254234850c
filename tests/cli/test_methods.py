"""`semrsm methods --on`: the table, its files, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from semrsm.compute.trial import Trial
from tests.helpers import fail, run, succeed, write_h5

COLUMNS = [f.name for f in fields(Trial)]


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = np.abs(rng.normal(size=(6, 3, 4, 4))).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", layer1=x, layer2=x[:, :2])


def test_the_table_is_printed_written_and_drawn(dump: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "table.csv", tmp_path / "q.png"
    args = ("--on", dump, "-m", "identity", "-m", "optimal", "--pairs", 5, "--seed", 3)
    result = succeed("methods", *args, "-o", table, "--plot", picture)
    header, *rows = (line.split("\t") for line in result.stdout.splitlines())
    assert header == COLUMNS
    assert [(row[0], row[3], row[5]) for row in rows] == [
        (layer, matcher, "5")
        for layer in ("layer1", "layer2")
        for matcher in ("identity", "optimal")
    ]
    assert result.stderr == f"wrote {table}\nwrote {picture}\n"
    assert table.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "exists" in fail("methods", *args, "-o", table)
    succeed("methods", *args, "-o", table, "--overwrite")


def test_json_has_the_same_columns_and_null_for_what_was_skipped(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(4, 6, 3)).astype(np.float32)
    path = write_h5(tmp_path / "tokens.h5", tokens=x)
    rows = json.loads(succeed("methods", "--on", path, "--pairs", 2, "--json").stdout)
    assert [list(row) for row in rows] == [COLUMNS] * len(rows)
    [shift] = [row for row in rows if row["matcher"] == "shift"]
    assert (shift["pairs"], shift["ms_median"]) == (0, None)
    assert "grid" in shift["reason"]


def test_what_is_wrong_is_said_in_a_sentence(dump: Path, tmp_path: Path) -> None:
    assert "did you mean 'optimal'" in fail("methods", "--on", dump, "-m", "optimel")
    assert "there is no layer 'l9'" in fail("methods", "--on", dump, "-l", "l9")
    assert "at least one pair" in fail("methods", "--on", dump, "--pairs", 0)
    picture = fail("methods", "--on", dump, "--plot", tmp_path / "q.txt", out=tmp_path / "q.txt")
    assert ".png" in picture


@pytest.mark.parametrize("args", [["--pairs", "3"], ["-m", "optimal"], ["-o", "table.csv"]])
def test_options_of_a_trial_need_the_activations(args: list[str]) -> None:
    assert run("methods", *args).exit_code == 2
