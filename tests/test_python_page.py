"""docs/python.md: its examples run, and every public function is on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import semrsm

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(BLOCKS) == 4
    assert (tmp_path / "maps.pdf").read_bytes()[:4] == b"%PDF"
    said = capsys.readouterr().out
    promised = re.findall(r"print\(error\)  # (.*), …", PAGE)
    assert promised[0] in said


@pytest.mark.parametrize("name", [n for n in semrsm.__all__ if callable(getattr(semrsm, n))])
def test_every_public_function_is_on_the_page(name: str) -> None:
    assert f"semrsm.{name}" in PAGE
