"""Write docs/commands.md from commands and tables: `python scripts/make_commands_page.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from semrsm.cli import app
from semrsm.cli.methods import facts_of
from semrsm.engine.kernels import KERNELS
from semrsm.engine.matchers import MATCHERS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"

INTRODUCTION = """\
# Every command, with its flags

This page is made from the commands by `python scripts/make_commands_page.py`; change their help, not
the page. `semrsm COMMAND --help` prints the same. What holds for all stands in
[command_line.md](command_line.md)."""

METHODS = """\
## Matchers and kernels

For `--matcher` and `--kernel`, as `semrsm methods` lists them. [matchers.md](matchers.md) says which to
take, [measures.md](measures.md) has the measures of `compare`, [evaluations.md](evaluations.md) the columns
of `evaluate`."""


def commands() -> dict[str, Any]:
    """Return every command by its name; those of a group with the group's name in front."""
    return dict(_of_group("", typer.main.get_command(app)))


def _of_group(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for child, command in group.commands.items():
        full = f"{name} {child}".strip()
        if hasattr(command, "commands"):
            yield from _of_group(full, command)
        else:
            yield full, command


def make_page() -> str:
    """Return the page in Markdown."""
    found = commands()
    overview = ["| command | what it does |", "|---|---|"]
    overview += [
        f"| [`semrsm {name}`](#semrsm-{name.replace(' ', '-')}) | {_summary(command)} |"
        for name, command in found.items()
    ]
    sections = [INTRODUCTION, "\n".join(overview)]
    sections += [_section(name, command) for name, command in found.items()]
    return "\n\n".join([*sections, METHODS, _matchers(), _kernels()]) + "\n"


def _paragraphs(command: Any) -> list[str]:
    text = inspect.cleandoc(command.help).split("\f")[0]
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _summary(command: Any) -> str:
    return _cell(_paragraphs(command)[0])


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(["semrsm", name, *(_usage(p) for p in arguments)])
    usage += "".join(f" {min(p.opts, key=len)} {p.metavar}" for p in options if p.required)
    texts = [p for p in _paragraphs(command) if not p.startswith("Example: ")]
    examples = [p.removeprefix("Example: ") for p in _paragraphs(command) if p not in texts]
    rows = ["| flag | what it does |", "|---|---|"]
    rows += [f"| `{_cell(_usage(p))}` | {_cell(p.help)} |" for p in arguments]
    rows += [f"| {_flags(p)} | {_cell(p.help)}{_default(p)} |" for p in options]
    code = [f"```text\n{usage} [flags]\n```"]
    code += ["\n".join(["For example:", "", "```text", *examples, "```"])] if examples else []
    return "\n\n".join([f"## semrsm {name}", *texts, *code, "\n".join(rows)])


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    several = argument.nargs == -1 and not name.endswith("...")
    text = f"{name} ..." if several else name
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _flags(option: Any) -> str:
    value = _cell(option.metavar or "VALUE")
    flags = ", ".join(
        f"`{flag}`" for flag in (*sorted(option.opts, key=len), *option.secondary_opts)
    )
    return flags if option.is_flag else f"{flags} `{value}`"


def _default(option: Any) -> str:
    has_default = "(default" in (option.help or "")
    if has_default or option.is_flag or option.required or option.default in (None, 0, [], ()):
        return ""
    return f" (default: {option.default})"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", " ".join(text.split())).replace("*", r"\*")


def _matchers() -> str:
    rows = ["| matcher | what it does | facts | source |", "|---|---|---|---|"]
    rows += [
        f"| `{m.name}` | {_cell(m.summary)} | {_cell('; '.join(facts_of(m)))} | {_cell(m.reference)} |"
        for m in MATCHERS.values()
    ]
    return "\n".join(rows)


def _kernels() -> str:
    rows = ["| kernel | what it is | formula | range | source |", "|---|---|---|---|---|"]
    rows += [
        f"| `{k.name}` | {_cell(k.summary)} | {_cell(k.formula)} | {_cell(k.range)} | {_cell(k.reference)} |"
        for k in KERNELS.values()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
