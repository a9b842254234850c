"""What the commands print: JSON and TSV for machines, tables for people, help with examples."""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from semrsm import cli
from semrsm.cli.console import print_table
from semrsm.cli.progress import LineProgress, progress
from semrsm.version import __version__
from tests.helpers import run, succeed, write_h5

LAYER_KEYS = [
    *("layer", "n_samples", "n_positions", "n_channels", "pairs", "seconds", "pairs_per_second"),
    *("matcher", "solver", "device", "sigma"),
]


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(6, 3, 4, 4)).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", layer1=x, layer2=x[:, :2], labels=np.arange(6))


def test_compute_prints_the_json_of_the_contract(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.rsm.h5"
    result = succeed("compute", dump, "-o", out, "--json", "-k", "cosine", "--threads", 1)
    report = json.loads(result.stdout)
    assert list(report) == ["output", "layers"]
    assert report["output"] == str(out)
    assert [list(layer) for layer in report["layers"]] == [LAYER_KEYS, LAYER_KEYS]
    first = report["layers"][0]
    assert [first[k] for k in LAYER_KEYS[:5]] == ["layer1", 6, 16, 3, 15]
    assert (first["matcher"], first["device"], first["sigma"]) == ("optimal", "cpu", None)
    assert result.stderr == ""


def test_sigma_and_the_solver_are_null_where_there_is_none(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.rsm.h5"
    args = ("-o", out, "--json", "-k", "rbf", "-m", "identity", "--samples", "0:2")
    layers = json.loads(succeed("compute", dump, *args).stdout)["layers"]
    assert all(layer["sigma"] > 0 and layer["solver"] is None for layer in layers)


def test_compute_prints_tabs_and_a_header_when_piped(dump: Path, tmp_path: Path) -> None:
    result = succeed("compute", dump, "-o", tmp_path / "o.rsm.h5", "--threads", 1)
    header, *rows = (line.split("\t") for line in result.stdout.splitlines())
    assert header == LAYER_KEYS
    assert [row[:5] for row in rows] == [
        ["layer1", "6", "16", "3", "15"],
        ["layer2", "6", "16", "2", "15"],
    ]
    assert {len(row) for row in rows} == {len(LAYER_KEYS)}
    assert result.stderr == f"wrote {tmp_path / 'o.rsm.h5'}\n"


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(dump: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    args = ("compute", dump, "-o", tmp_path / "o.rsm.h5", "--dry-run", "-k", "linear", "-k", "rbf")
    result = succeed(*args, "--json")
    for layer in json.loads(result.stdout)["layers"]:
        assert (layer["pairs"], layer["n_positions"], layer["tiles"]) == (15, 16, 1)
        assert layer["bytes_written"] == 36 * (8 + 2 * 4)
        assert layer["seconds"] > 0
    assert "nothing was written" in succeed(*args).stderr
    assert sorted(tmp_path.iterdir()) == before


def test_info_tells_what_each_file_holds(dump: Path, tmp_path: Path) -> None:
    about = json.loads(succeed("info", dump, "--json").stdout)
    assert about["kind"] == "activation file (hdf5)"
    layers = {layer["layer"]: layer for layer in about["layers"]}
    assert list(layers) == ["labels", "layer1", "layer2"]
    assert layers["layer1"]["shape"] == [6, 3, 4, 4]
    assert (layers["layer1"]["positions"], layers["layer1"]["channels"]) == (16, 3)
    assert layers["labels"]["computed"] == "no: labels of the samples"
    out = tmp_path / "o.rsm.h5"
    succeed("compute", dump, "-o", out, "-k", "rbf", "--threads", 1)
    about = json.loads(succeed("info", out, "--json").stdout)
    assert about["kind"] == "RSM file"
    assert [(row["layer"], row["kernels"]) for row in about["layers"]] == [
        ("layer1", "rbf"),
        ("layer2", "rbf"),
    ]
    assert about["metadata"]["activations"]["path"] == str(dump)
    shown = succeed("info", out)
    assert shown.stdout.startswith("layer\trows\tcolumns\t")
    assert "generated_by: semrsm" in shown.stderr


def test_methods_lists_every_row_of_the_tables() -> None:
    from semrsm.engine.assignment import SOLVERS
    from semrsm.engine.kernels import KERNELS
    from semrsm.engine.matchers import MATCHERS

    rows = json.loads(succeed("methods", "--json").stdout)
    for kind, table in (("matcher", MATCHERS), ("kernel", KERNELS), ("solver", SOLVERS)):
        assert [row["name"] for row in rows if row["kind"] == kind] == list(table)
    assert all(row["summary"] and row["reference"] for row in rows)
    lines = succeed("methods").stdout.splitlines()
    assert lines[0].split("\t")[:2] == ["kind", "name"]
    assert len(lines) == len(rows) + 1


def test_tables_are_drawn_on_a_terminal_and_hold_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["[red]a[/red]", 1.23456789, None], ["[/]", 1e-9, 7]]
    print_table(["name", "value", "other"], rows)
    plain = capsys.readouterr().out
    assert plain == "name\tvalue\tother\n[red]a[/red]\t1.23456789\t\n[/]\t1e-09\t7\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(["name", "value", "other"], rows)
    drawn = capsys.readouterr().out
    assert "\t" not in drawn
    for text in ("[red]a[/red]", "[/]", "1.235", "1e-09", "-", "7", "name"):
        assert text in drawn


def test_progress_is_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress() as on_progress:
        on_progress("[b]layer", 0, 100)
        on_progress("[b]layer", 100, 100)
        on_progress("empty", 0, 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "[b]layer" in captured.err
    assert "100/100 pairs" in captured.err


def test_progress_is_a_line_every_30_seconds_elsewhere() -> None:
    now, lines = [1000.0], []
    tell = LineProgress(clock=lambda: now[0], write=lines.append)
    for second in range(0, 100, 5):
        now[0] = 1000.0 + second
        tell("layer1", second, 200)
    assert lines == [
        f"layer1: {s} of 200 pairs, 1 pairs/s, {left} left"
        for s, left in ((30, "2 min 50 s"), (60, "2 min 20 s"), (90, "1 min 50 s"))
    ]
    now[0] += 29
    tell("layer2", 0, 10)
    now[0] += 29
    tell("layer2", 9, 10)
    assert len(lines) == 3


@pytest.mark.parametrize("command", ["", *(c.__name__ for c in cli.COMMANDS)])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_every_command_shows_an_example(command: str, flag: str) -> None:
    text = " ".join(succeed(*command.split(), flag).output.split())
    assert f"Example: semrsm {command}".strip() in text


@pytest.mark.parametrize(
    "args",
    [
        ["compute"],
        ["compute", "a.h5"],
        ["compute", "a.h5", "-o"],
        ["compute", "a.h5", "-o", "b", "--no-such-flag"],
        ["info"],
        ["no-such-command"],
        ["methods", "surplus"],
    ],
)
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_the_version_is_printed() -> None:
    assert succeed("--version").stdout == f"semrsm {__version__}\n"
    assert run("--verbose").exit_code == 2


def test_the_version_with_verbose_prints_what_a_bug_report_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    printed = succeed("--version", "--verbose").stdout
    for text in (
        *(f"semrsm {__version__}", f"python {platform.python_version()}", "OMP_NUM_THREADS 1"),
        *(f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "scipy", "h5py")),
        *(f"{name} {metadata.version(name)}" for name in ("typer", "rich", "matplotlib")),
        *("hdf5 ", "native core ", "solver on the CPU ", "processor ", "memory ", "GPUs "),
    ):
        assert f"\n{text}" in f"\n{printed}"
    assert all(line.isprintable() for line in printed.splitlines())


def test_progress_of_a_run_that_goes_on_counts_what_it_does_itself() -> None:
    now, lines = [1000.0], []
    tell = LineProgress(clock=lambda: now[0], write=lines.append)
    tell("layer1", 900, 1000)
    now[0] += 31
    tell("layer1", 931, 1000)
    assert lines == ["layer1: 931 of 1000 pairs, 1 pairs/s, 1 min 9 s left"]
