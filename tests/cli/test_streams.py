"""Terminals, encodings, full disks and closed streams: results or a sentence, never a traceback."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.cli import console
from semrsm.cli.progress import progress
from semrsm.storage.rsm_file import is_rsm_file
from tests.helpers import fail, run, succeed, write_h5, write_rsm

ODD = ["\x1b[2Jx", "new\nline", "tab\tx", "\x07bell", "\u202eright", "\u2028line", "c1\x9b31m"]
MAIN = "from semrsm.cli import main; main()"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def shell(redirected: str, *args: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a command through a shell that redirects its streams."""
    command = [sys.executable, "-c", MAIN, *map(str, args)]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *command],
        capture_output=True, check=False, timeout=120, env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(6, 3, 4, 4)).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", größe=x, π=x)


@pytest.fixture
def odd(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Layers whose names hold what commands a terminal."""
    x = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    return write_h5(tmp_path / "odd.h5", **dict.fromkeys(ODD, x))


def test_what_a_line_cannot_show_is_escaped() -> None:
    assert console.printable("".join(map(chr, range(32)))).isprintable()
    assert console.printable("größe π 語 [red] \\ $x$") == "größe π 語 [red] \\ $x$"
    assert console.printable("\x1b]0;x\x07") == r"\x1b]0;x\x07"
    assert console.printable("\u202e\u2066\u200f\udcff") == r"\u202e\u2066\u200f\udcff"


def test_a_long_sentence_keeps_both_ends() -> None:
    line = console.sentence("begin" + "\n" * 10_000 + "end")
    assert len(line) == console.LONGEST_SENTENCE
    assert line.startswith(r"begin\n")
    assert line.endswith(r"\nend")


def test_names_are_shown_escaped_everywhere(odd: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.rsm.h5"
    results = [
        succeed("compute", odd, "-o", out, "-m", "identity", "--threads", 1),
        succeed("compute", odd, "--dry-run", "-m", "identity"),
        succeed("info", odd),
        succeed("info", out),
        succeed("compare", out, out, "--measure", "cka"),
        run("compute", odd, "-o", out, "--overwrite", "-l", "\x1b[2Jy"),
        run("compute", tmp_path / "no\x1b[2J\nfile", "-o", out, "--overwrite"),
        run("compute", odd, "-o", out, "--overwrite", "-m", "\x1b[2J"),
    ]
    for result in results:
        for line in (result.stdout + result.stderr).split("\n"):
            assert line.replace("\t", "").isprintable(), line
    assert [r.exit_code for r in results] == [0] * 5 + [1] * 3
    assert results[0].stdout.count("\n") == 1 + len(ODD)
    assert {line.count("\t") for line in results[2].stdout.splitlines()} == {7}


def test_tables_drawn_and_bars_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for columns in ("80", "9"):
        monkeypatch.setenv("COLUMNS", columns)
        console.print_table(["\x1b[2J", "b\n"], [["\x1b[2J", 1.0], ["\x9b", 2]], "title\x1b[2J")
    with progress() as on_progress:
        on_progress("\x1b]0;x\x07", 1, 2)
    shown = capsys.readouterr()
    for trap in ("\x1b[2J", "\x9b", "\x07", "\x1b]0"):
        assert trap not in shown.out + shown.err


def test_json_stays_json(odd: Path) -> None:
    import json

    layers = json.loads(succeed("info", odd, "--json").stdout)["layers"]
    assert {layer["layer"] for layer in layers} == set(ODD)


def test_an_error_with_a_very_long_name_is_a_sentence(dump: Path, tmp_path: Path) -> None:
    message = fail("compute", dump, "-o", tmp_path / "o.rsm.h5", "-l", "x" * 100_000)
    assert len(message) <= console.LONGEST_SENTENCE + 1
    assert message.endswith("größe, π\n")


@needs_full
@pytest.mark.parametrize("command", ["info", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout(command: str, unbuffered: str, dump: Path) -> None:
    source = [dump] * (command == "info")
    done = shell(">/dev/full", command, *source, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith(b"semrsm: ")
    assert done.stderr.count(b"\n") == 1, done.stderr.decode()
    assert b"No space left" in done.stderr


@needs_full
def test_a_result_that_cannot_be_printed_is_written_all_the_same(
    dump: Path, tmp_path: Path
) -> None:
    command = ("compute", dump, "-m", "identity", "--threads", 1, "-o")
    for name, redirected in (("full", ">/dev/full"), ("closed", ">&-")):
        out = tmp_path / f"{name}.rsm.h5"
        done = shell(redirected, *command, out)
        assert done.returncode == 1
        assert done.stderr.decode().endswith(f"; {out} was written\n")
        assert done.stderr.count(b"\n") == 1, done.stderr.decode()
        assert is_rsm_file(out)


@pytest.mark.parametrize("redirected", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_never_written_to(redirected: str, dump: Path, tmp_path: Path) -> None:
    """A file that took the number of stderr would hold what is told."""
    out = tmp_path / "o.rsm.h5"
    command = ("compute", dump, "-o", out, "-m", "identity", "--threads", 1)
    done = shell(redirected, *command)
    assert done.returncode == (1 if ">&- 2" in redirected else 0)
    assert done.stderr == b""
    assert is_rsm_file(out)
    failed = shell(redirected, "info", tmp_path / "missing")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, b"", b"")


@needs_full
def test_nobody_listens_to_stderr(dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.rsm.h5"
    done = shell("2>/dev/full", "compute", dump, "-o", out, "-m", "identity", "--threads", 1)
    assert done.returncode == 0
    assert is_rsm_file(out)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "utf-16"},
        {"TERM": "no-such-terminal", "COLUMNS": "1"},
        {"COLUMNS": "x" * 9999, "LINES": "-1"},
    ],
    ids=lambda environment: " ".join(f"{k}={v:.9}" for k, v in environment.items()),
)
def test_any_encoding_and_terminal(environment: dict[str, str], dump: Path) -> None:
    for file in (dump, "n\u00f6"):
        done = shell("", "info", file, **environment)
        assert done.returncode == (file != dump), done.stderr
        assert b"Traceback" not in done.stderr
        assert bool(done.stdout) == (file == dump)


@pytest.mark.parametrize("environment", [{"COLUMNS": "1"}, {"COLUMNS": "0", "TERM": "dumb"}])
def test_a_terminal_of_any_width(environment: dict[str, str], dump: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "info", str(dump)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    assert b"Traceback" not in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end was closed
        return b""


@pytest.mark.parametrize("backend", ["nonsense", "TkAgg"])
def test_pictures_do_not_depend_on_the_users_backend(backend: str, tmp_path: Path) -> None:
    rsm = write_rsm(tmp_path / "r.rsm.h5", {"a": np.eye(4)})
    for args in (("plot", rsm, "-o", "p.png"), ("report", rsm, "-o", "r.html")):
        done = shell("", *args[:-1], tmp_path / args[-1], MPLBACKEND=backend)
        assert (done.returncode, done.stdout) == (0, b""), done.stderr
        assert done.stderr.count(b"\n") == 1


def test_warnings_of_libraries_are_lines(tmp_path: Path) -> None:
    rsm = write_rsm(tmp_path / "r.rsm.h5", {"a\x1b[2J": np.eye(4)})
    done = shell("", "plot", rsm, "-o", tmp_path / "p.png")
    assert done.returncode == 0
    assert done.stderr.decode().replace("\n", "").isprintable()
    assert b"canvas.py" not in done.stderr


def test_names_that_are_no_utf8_are_written_escaped(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = rng.normal(size=(6, 5))
    name = os.fsdecode(b"r\xff.rsm.h5")
    write_rsm(tmp_path / "r", {"layer": x @ x.T}).rename(name)
    write_h5(tmp_path / "a.h5", views=np.arange(6) // 2)
    succeed("compare", name, name, "-o", "c.csv")
    succeed("evaluate", "views", name, "--views", "a.h5::views", "-o", "e.csv")
    succeed("report", name, "-o", "r.html", "--title", name)
    for written in ("c.csv", "e.csv", "r.html"):
        assert r"r\udcff.rsm.h5" in (tmp_path / written).read_text(encoding="utf-8")


def test_info_names_an_array_whose_name_is_no_utf8(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[b"la\xffyer"] = np.zeros((3, 2))
    assert r"la\udcffyer" in succeed("info", tmp_path / "a.h5").stdout
    message = fail("compute", tmp_path / "a.h5", "-o", tmp_path / "o.rsm.h5")
    assert r"the layer 'la\udcffyer' cannot be stored, as its name is not UTF-8" in message
