"""Shells ask for completions as they would after `semrsm --install-completion`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from semrsm.cli import app
from semrsm.data import digits_path
from semrsm.engine.kernels import KERNELS
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.positions import LAYOUTS
from semrsm.export.targets import TARGETS
from semrsm.measures import MEASURES
from semrsm.measures.intervals import INTERVALS
from semrsm.measures.rdm import RDMS
from semrsm.plot.kinds import PLOTS
from tests.helpers import succeed, write_h5


def completions(line: str) -> list[str]:
    """Return what bash is given for the last word of a line."""
    words = re.findall(r"'[^']*'|\S+", line)
    place = len(words) - (not line.endswith(" "))
    asked = {
        "_SEMRSM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(place),
    }
    result = CliRunner().invoke(app, [], prog_name="semrsm", env=asked)
    assert result.exit_code == 0
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("compute a.h5 -m ", MATCHERS),
        ("compute a.h5 --kernel ", KERNELS),
        ("compute a.h5 --layout ", LAYOUTS),
        ("finish a.rsm.h5 -k ", KERNELS),
        ("pair a.h5 0 1 --matcher ", MATCHERS),
        ("methods --on a.h5 -m ", MATCHERS),
        ("compare a.h5 b.h5 --measure ", MEASURES),
        ("compare a.h5 b.h5 --kernel-b ", KERNELS),
        ("compare a.h5 b.h5 --rdm ", RDMS),
        ("compare a.h5 b.h5 --interval ", INTERVALS),
        ("evaluate retrieval a.h5 --kernel ", KERNELS),
        ("plot a.rsm.h5 --kind ", PLOTS),
        ("plot a.rsm.h5 -k ", KERNELS),
        ("report a.rsm.h5 -k ", KERNELS),
        ("export a.rsm.h5 --to ", TARGETS),
    ],
)
def test_names_of_tables_are_completed(line: str, table: dict[str, object]) -> None:
    assert completions(f"semrsm {line}") == list(table)
    some = list(table)[-1][:2]
    assert completions(f"semrsm {line}{some}") == [n for n in table if n.startswith(some)]


@pytest.mark.parametrize("command", ["compute", "pair", "methods --on", "evaluate views", "plot"])
def test_layers_are_those_of_the_file_on_the_line(
    command: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(5, 3, 2, 2))
    dump = write_h5(tmp_path / "a dump.h5", conv1=x, conv2=x, block__mlp=x, labels=np.arange(5))
    line = f"semrsm {command} '{dump}' -m identity -l "
    assert completions(line) == ["block/mlp", "conv1", "conv2"]
    assert completions(f"{line}con") == ["conv1", "conv2"]
    rsms = tmp_path / "a.rsm.h5"
    succeed("compute", dump, "-o", rsms, "-l", "conv*", "-m", "identity")
    assert completions(f"semrsm {command} {rsms} --layer ") == ["conv1", "conv2"]


def test_the_embedded_example_is_completed() -> None:
    assert completions(f"semrsm compute {digits_path()} -l vit") == [
        *("vit/block1", "vit/block2", "vit/block3", "vit/block4")
    ]


@pytest.mark.parametrize("name", ["none.h5", "broken.h5", "'half", ""])
def test_nothing_is_completed_and_nothing_printed_where_there_is_no_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    assert completions(f"semrsm compute {name} -l ") == []


def test_completion_is_installed_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    result = CliRunner().invoke(app, ["--install-completion"], prog_name="semrsm")
    assert result.exit_code == 0
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "_SEMRSM_COMPLETE=complete_bash" in written
