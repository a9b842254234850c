"""Code that Python calls, too, names options as keyword arguments; only the command line has flags."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from semrsm.cli import app
from semrsm.cli.console import KEYWORD, with_flags
from tests.helpers import fail, write_h5

PACKAGE = Path(__file__).resolve().parents[1] / "semrsm"
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*(?![\w.])")
# The help of flags, a command that is given again, and what other programs are called with.
ABOUT_COMMANDS = (
    "compute/options.py",
    "compute/shards.py",
    "evaluate/__init__.py",
    "experiments/page.py",
)
OTHER_PROGRAMS = ("sbatch", "--array", "native/__init__.py")
FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] != "cli"
    and str(path.relative_to(PACKAGE)) not in ABOUT_COMMANDS
]


def sentences(tree: ast.AST) -> Iterator[str]:
    """Yield every text of a file that is no docstring, those in f-strings included."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_text_names_a_flag(path: Path) -> None:
    texts = [t for t in sentences(ast.parse(path.read_text())) if " " in t]
    wrong = [t for t in texts if FLAG.search(t) and not any(o in t for o in OTHER_PROGRAMS)]
    assert not wrong


def test_a_flag_would_be_seen() -> None:
    tree = ast.parse(
        'def f(x):\n    """Use --kernel."""\n    raise E(f"{x}: use --kernel linear")\n'
    )
    assert [bool(FLAG.search(text)) for text in sentences(tree)] == [True]


def keywords() -> set[str]:
    """Return every keyword that a sentence names; extras of pip, kinds of programs and the like are none."""
    found = set()
    for path in FILES:
        for text in sentences(ast.parse(path.read_text())):
            found |= {match[1] for match in re.finditer(r"`([a-z]\w*)[`=]", text)}
    return found - {"fast", "none", "solve"}


def flags() -> set[str]:
    """Return every flag of every command."""
    root: Any = typer.main.get_command(app)
    commands = [*root.commands.values(), *root.commands["evaluate"].commands.values()]
    return {opt for command in commands for param in command.params for opt in param.opts}


def test_every_keyword_of_a_sentence_has_its_flag() -> None:
    assert {"exclude", "device", "skip_tokens", "out"} <= keywords()
    assert {with_flags(f"`{name}`") for name in keywords()} <= flags()


def test_the_command_line_puts_its_flag_in(tmp_path: Path, rng: Any) -> None:
    array = rng.normal(size=(3, 2, 2, 2))
    array[1, 0, 0, 0] = float("nan")
    dump = write_h5(tmp_path / "a.h5", a=array)
    said = fail("compute", dump, "-o", tmp_path / "a.rsm.h5")
    assert "leave it out with --exclude 1 or save it again" in said
    assert "`" not in said


def test_names_of_files_in_backticks_stay(tmp_path: Path) -> None:
    assert with_flags("`dump.h5` is `no file`") == "`dump.h5` is `no file`"
    assert KEYWORD.search(inspect.cleandoc("plain text")) is None
