"""The table of formats: whoever reads activations asks what is true of a file, never what it is called."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from semrsm.engine.positions import DEFAULT_LAYOUTS, LAYOUTS
from semrsm.storage.formats import FORMATS

PACKAGE = Path(__file__).resolve().parents[2] / "semrsm"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_no_file_asks_for_the_name_of_a_format(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = [ast.unparse(s) for s in sides if isinstance(s, ast.Attribute)]
            texts = {s.value for s in sides if isinstance(s, ast.Constant)}
            assert not (any(n.endswith(".format") for n in named) and texts & FORMATS.keys()), (
                f"{path}:{node.lineno}"
            )


def test_the_page_of_formats_has_every_one() -> None:
    page = (PACKAGE.parent / "docs" / "formats.md").read_text()
    for known in FORMATS.values():
        suffixes = ", ".join(f"`{suffix}`" for suffix in known.suffixes)
        assert f"| {known.name} | {suffixes} | {known.summary} |\n" in page


def test_the_page_of_formats_has_every_layout() -> None:
    page = (PACKAGE.parent / "docs" / "formats.md").read_text()
    assert all(f"`{layout}`" in page for layout in LAYOUTS)
    assert all(f"| `{name}` ({axes}-D)" in page for axes, name in DEFAULT_LAYOUTS.items())
