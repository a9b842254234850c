"""docs/command_line.md: names of ids, exit codes and the keys of JSON are those of the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from semrsm.cli import app
from semrsm.storage.sample_ids import ID_NAMES
from tests.helpers import run, succeed, write_h5

PAGE = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
ROW = re.compile(r"^\| `([^`]*)`([\w ,]*) \| ([\w ]+) \| (.*)\|$", re.MULTILINE)


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Return what is printed -> its keys, and those that it may have too."""
    table = PAGE[PAGE.index("## JSON") :]
    return {
        command + part.removesuffix(", a list"): (
            set(keys.split()),
            {key for key in re.findall(r"`([^`]*)`", more) if not key.startswith("-")},
        )
        for command, part, keys, more in ROW.findall(table)
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What commands print with --json, by what the page calls it."""
    folder = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(5)
    dump = write_h5(
        folder / "dump.h5",
        a=rng.normal(size=(6, 3, 2, 2)),
        labels=np.arange(6) % 2,
        views=np.arange(6) // 2,
        logits=rng.normal(size=(6, 3)),
    )
    rsm, part = folder / "a.rsm.h5", folder / "b.rsm.h5"
    few = ("-l", "a", "--threads", 1)
    found: dict[str, list[Any]] = {}

    def keep(name: str, *args: object) -> None:
        found.setdefault(name, []).append(json.loads(succeed(*args, "--json").stdout))

    (folder / "net.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 2, 2))\n"
    )
    model, pictures = f"{folder / 'net.py'}:net", ("--images", f"{dump}::a")
    keep("record", "record", model, *pictures, "-o", folder / "acts.h5", "-l", "0")
    keep("record --list-layers", "record", model, "--list-layers")
    keep("compute", "compute", dump, "-o", rsm, *few)
    keep("compute", "compute", dump, "-o", rsm, *few, "--certify", "--overwrite")
    keep("compute --dry-run", "compute", dump, "-o", part, *few, "--dry-run")
    succeed("compute", dump, "-o", part, *few, "--shard", "1/1")
    keep("status", "status", part)
    for check in ((), ("--check",)):
        keep("info FOLDER", "info", f"{part}.run", *check)
        keep("info ACTIVATIONS", "info", dump, *check)
        keep("info RSM", "info", rsm, *check)
    keep("finish", "finish", part)
    keep("methods", "methods")
    keep("methods --on", "methods", "--on", dump, "-l", "a", "-m", "identity", "--pairs", 2)
    keep("pair", "pair", dump, 0, 1, "-l", "a")
    keep("compare", "compare", rsm)
    keep("compare", "compare", rsm, "--bootstrap", 9, "--permutations", 9)
    more = ("--baseline", rsm, "--neighbours", 2, "--rdm", "correlation", "--measure")
    keep(
        "compare", "compare", rsm, "--bootstrap", 9, *more, "rsa-pearson", "--measure", "mutual-knn"
    )
    keep("compare --noise-ceiling", "compare", rsm, rsm, "--noise-ceiling", "--measure", "cka")
    keep("evaluate retrieval", "evaluate", "retrieval", rsm, "--labels", dump, "--at", 1, "--at", 9)
    keep("evaluate predictions", "evaluate", "predictions", rsm, "--logits", f"{dump}::logits")
    keep("export", "export", rsm, "--to", "npz", "-o", folder / "a.npz")
    keep("evaluate views", "evaluate", "views", rsm, "--views", dump)
    return found


@pytest.mark.parametrize("name", documented())
def test_keys_are_those_of_the_page(name: str, printed: dict[str, list[Any]]) -> None:
    command = max((c for c in printed if name.startswith(c)), key=len)
    parts = name.removeprefix(command).split()
    keys, may_be = documented()[name]
    seen: set[str] = set()
    for value in printed[command]:
        records = value if isinstance(value, list) else [value]
        for part in parts:
            records = [r[part] for r in records if part in r]
            records = [
                r for found in records for r in (found if isinstance(found, list) else [found])
            ]
        for record in records:
            assert keys <= set(record) <= keys | may_be
            seen |= set(record)
    assert keys <= seen


def commands() -> dict[str, Any]:
    """Return every command by its name."""
    root: Any = typer.main.get_command(app)
    found = dict(root.commands)
    found |= {f"evaluate {n}": c for n, c in found.pop("evaluate").commands.items()}
    return found


def test_every_command_with_json_is_on_the_page() -> None:
    names = {n for n, c in commands().items() if any("--json" in p.opts for p in c.params)}
    told = {name for name in names for line in documented() if line.startswith(name)}
    assert names - told == {"demo", "reproduce"}  # which print their tables


def test_a_flag_means_the_same_in_every_command() -> None:
    shorts: dict[str, set[str]] = {}
    for command in commands().values():
        for option in command.params:
            if option.param_type_name != "option":
                continue
            longs = [o for o in option.opts if o.startswith("--")]
            assert len(longs) == 1
            assert longs[0] not in ("--k", "--o", "--l", "--m")
            for short in set(option.opts) - set(longs):
                shorts.setdefault(short, set()).update(longs)
    assert shorts == {"-k": {"--kernel"}, "-l": {"--layer"}, "-m": {"--matcher"}, "-o": {"--out"}}


def test_names_of_ids_are_those_of_the_page() -> None:
    assert f"```\n{' '.join(ID_NAMES)}\n```" in PAGE


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("compare", "a.npy", "--bootstrap", -1), 1),
        (("compare", "a.npy", "--seed", "x"), 1),
        (("evaluate", "retrieval", "a.npy", "--labels", "l.npy", "--at", 0), 1),
        (("pair", "a.npy", "x", 1), 1),
        (("pair", "a.npy", 0, 1, "--sigma", "wide"), 1),
        (("methods", "--on", "a.npy", "--pairs", "many"), 1),
        (("plot", "a.npy", "-o", "x.png", "--neighbours", "few"), 1),
        (("compute", "a.npy", "--threads", 0, "-o", "x.rsm.h5"), 1),
        (("compute", "a.npy", "--threads", "x", "-o", "x.rsm.h5"), 1),
        (("compute", "a.npy", "-o", "x.rsm.h5", "--no-such-flag"), 2),
        (("compute",), 2),
        (("compute", "a.npy", "-o"), 2),
        (("plot", "a.npy"), 2),
        (("evaluate", "predictions", "a.npy"), 2),
        (("no-such-command",), 2),
    ],
)
def test_values_end_with_1_and_wrong_usage_with_2(args: tuple[object, ...], code: int) -> None:
    result = run(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.startswith("semrsm: ")
        assert result.stderr.count("\n") == 1
