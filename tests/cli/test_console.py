"""What a person sees on a terminal of 80 columns."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from semrsm.cli import console
from tests.helpers import fail, succeed, write_h5


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


COLUMNS = [f"metric_{k}" for k in range(14)]


def test_a_table_too_wide_for_the_terminal_is_turned_and_says_once_what_rows_share(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[f"layer{i}", "optimal", *(i + k / 7 for k in range(12))] for i in range(9)]
    on_a_terminal(monkeypatch)
    console.print_table(COLUMNS, rows)
    shown = capsys.readouterr()
    assert shown.err.strip() == "metric_1 optimal"
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown.out).splitlines()
    assert max(map(len, lines)) <= 80
    for i, row in enumerate(rows):
        assert f"layer{i}" in shown.out
        for value in row[2:]:
            assert f"{value:.4g}" in shown.out
    assert all(name in shown.out for name in COLUMNS if name != "metric_1")


def test_a_table_that_fits_is_drawn_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch)
    console.print_table(["layer", "value"], [["a", 1.5], ["b", 2.5]], "title")
    shown = capsys.readouterr().out
    assert "layer" in shown
    assert "│ a     │   1.5 │" in shown


def test_an_rsm_file_is_no_activation_file(tmp_path: Path, rng: np.random.Generator) -> None:
    dump = write_h5(tmp_path / "a.h5", tok=rng.normal(size=(4, 17, 3)).astype(np.float32))
    done = succeed("compute", dump, "-o", tmp_path / "o.rsm.h5", "--threads", 1)
    assert "tok: 17 tokens are 4 x 4 and one more; if that is a class token" in done.stderr
    assert (
        "class token"
        not in succeed(
            "compute", dump, "-o", tmp_path / "p.rsm.h5", "--skip-tokens", 1, "--threads", 1
        ).stderr
    )
    message = fail("compute", tmp_path / "o.rsm.h5", "-o", tmp_path / "x.rsm.h5")
    assert "is an RSM file, not activations" in message
    assert "--pool is for maps with a grid" in fail(
        "compute", dump, "-o", tmp_path / "x.rsm.h5", "--pool", "2x2"
    )
    np.save(tmp_path / "wide.npy", rng.normal(size=(4, 3)))
    assert "is a matrix of 4 x 3, no RSM" in fail(
        "report", tmp_path / "wide.npy", "-o", tmp_path / "r.html"
    )
