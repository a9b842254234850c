"""README and the pages under docs/: their examples run, their links lead somewhere, nothing is missing."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from semrsm.cli import app
from semrsm.engine.assignment import SOLVERS
from semrsm.engine.kernels import KERNELS
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.positions import LAYOUTS
from semrsm.evaluate import EVALUATIONS
from semrsm.export.targets import TARGETS
from semrsm.measures import MEASURES
from semrsm.measures.intervals import INTERVALS
from semrsm.measures.rdm import RDMS
from semrsm.plot.kinds import PLOTS
from semrsm.storage.formats import FORMATS
from semrsm.storage.rsm_file import is_rsm_file
from tests.conftest import ROOT
from tests.helpers import fail, succeed, write_h5

GENERATED = ("commands.md",)
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
BY_HAND = {name: text for name, text in PAGES.items() if not name.endswith(GENERATED)}
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NOT_RUN = ("bash", "git", "pip", "python", "sbatch", "source", "cd", "pre-commit")
"""Programs whose lines are for a person: they install, submit, or run all tests."""
RUN = sorted(
    name
    for name, text in BY_HAND.items()
    if re.search(r"^```\n.*?^\$? ?semrsm ", text, re.M | re.S)
)


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of every fenced block of a page."""
    yield from BLOCK.findall(PAGES[page])


def lines(text: str) -> Iterator[list[str]]:
    """Yield the words of the commands of a block, as a shell would split them; outputs have a $ before."""
    shown = [line for line in text.splitlines() if line.startswith("$ ")]
    for line in shown or text.splitlines():
        if "…" not in line and (words := shlex.split(line.removeprefix("$ "), comments=True)):
            yield words


def commands(page: str) -> Iterator[list[str]]:
    """Yield the arguments of every command `semrsm` that stands in a block of a page."""
    for language, text in blocks(page):
        if not language:
            yield from (words[1:] for words in lines(text) if words[0] == "semrsm")


def leaf(words: list[str]) -> tuple[str, Any]:
    """Return the name of the command that words call, and the command."""
    command: Any = typer.main.get_command(app)
    names = []
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
        names.append(word)
    return " ".join(names), command


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_has_the_flags_that_stand_there(page: str) -> None:
    for words in commands(page):
        if words[0].startswith("--"):
            continue
        _, command = leaf(words)
        flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= flags, f"{page}: {words}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_scripts_and_tests_that_pages_name_exist() -> None:
    for page, text in PAGES.items():
        for script in re.findall(r"\b((?:scripts|configs|tests)/[\w/]+(?:\.\w+)?)\b", text):
            assert (ROOT / script).exists(), f"{page}: {script}"


def test_the_page_of_commands_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_commands_page.py"))["make_page"]()
    assert PAGES["docs/commands.md"] == made, "run python scripts/make_commands_page.py"


def test_every_command_is_shown_at_work() -> None:
    shown = {leaf(words)[0] for page in BY_HAND for words in commands(page)}
    names = runpy.run_path(str(ROOT / "scripts" / "make_commands_page.py"))["commands"]()
    spoken = {name for name in names if any(f"semrsm {name}" in text for text in BY_HAND.values())}
    assert set(names) == shown | spoken
    assert shown >= {"compute", "info", "compare", "plot", "report", "finish", "status", "pair"}


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(MATCHERS, id="matchers"),
        pytest.param(KERNELS, id="kernels"),
        pytest.param(SOLVERS, id="solvers"),
        pytest.param(MEASURES, id="measures"),
        pytest.param(RDMS, id="rdms"),
        pytest.param(INTERVALS, id="intervals"),
        pytest.param(EVALUATIONS, id="evaluations"),
        pytest.param(PLOTS, id="pictures"),
        pytest.param(LAYOUTS, id="layouts"),
        pytest.param(FORMATS, id="formats"),
        pytest.param(TARGETS, id="targets"),
    ],
)
def test_every_method_is_mentioned_in_a_page_that_is_written_by_hand(table: dict[str, Any]) -> None:
    words = "\n".join(BY_HAND.values()).lower()
    missing = [name for name in table if not re.search(rf"(?<![\w-]){name}(?![\w-])", words)]
    assert not missing


def test_help_is_sentences() -> None:
    for name, command in runpy.run_path(str(ROOT / "scripts" / "make_commands_page.py"))[
        "commands"
    ]().items():
        assert "Example: semrsm" in command.help, name
        for parameter in command.params:
            text = parameter.help or ""
            assert re.fullmatch(r"[A-Za-z].*[.)]", text, flags=re.DOTALL), (
                f"{name} {parameter.name}"
            )
            assert text[0].isupper() or ":" in text, f"{name} {parameter.name}: {text}"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.chdir(tmp_path)
    if not re.search(
        r'"dump\.h5".* as recorder', PAGES[page]
    ):  # a page that records one has none before
        x = rng.normal(size=(20, 3, 4, 4)).astype(np.float32)
        ids, labels = np.arange(20), np.arange(20) % 2
        write_h5(tmp_path / "dump.h5", early=x, late=x[:, :, :2, :2], samples=ids, labels=labels)
    write_model_and_photos(tmp_path, rng)
    variables: dict[str, Any] = {"torch": torch}
    torch.manual_seed(1)
    for language, text in blocks(page):
        if language == "python":
            for _ in range(2):  # whoever reads a page tries a block again
                exec(compile(text, page, "exec"), variables)
        elif not language:
            for words in lines(text):
                run_line(words, text)


def write_model_and_photos(folder: Path, rng: np.random.Generator) -> None:
    """Write what README's `semrsm record` takes: a function that returns a model, and a folder of images."""
    (folder / "model.py").write_text(
        "from collections import OrderedDict\n\nfrom torch import nn\n\n\ndef build():\n"
        "    parts = OrderedDict(layer1=nn.Conv2d(3, 4, 3), layer2=nn.Conv2d(4, 5, 3, stride=2))\n"
        "    return nn.Sequential(parts).eval()\n"
    )
    (folder / "photos").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, size=(12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")


def run_line(words: list[str], block: str) -> None:
    """Do what a line of a page does: a command of ours, or a file copied from the repository."""
    if words[0] == "cp":
        shutil.copy(ROOT / words[1], words[2])
    elif words[0] != "semrsm":
        assert words[0] in NOT_RUN or "=$(sbatch" in words[0], words
    elif "all" in words or any(
        "cuda" in word for word in words
    ):  # no GPU, as far as tests can tell
        assert "CUDA" in fail(*words[1:], "--overwrite")
    elif any("tcp://" in word for word in words):  # tests/compute/test_dask.py has a scheduler
        pass
    else:
        if "local:2" in words:
            pytest.importorskip("distributed")
        if words[1] == "record" and ":" in words[2] and not words[2].startswith("model.py"):
            library = words[2].split(":")[0]
            if find_spec("transformers" if library == "hf" else library) is None:
                pytest.skip(f"{words[2]} is not installed")
            words = [*words, "--weights", "random"]  # nothing is downloaded
        check_output(succeed(*expanded(words[1:])).stdout, block)


def expanded(words: list[str]) -> list[str]:
    """Expand globs as a shell does, and let outputs of an earlier line be replaced."""
    found = [
        str(path)
        for word in words
        for path in (sorted(Path().glob(word)) if "*" in word and "::" not in word else [])
        or [word]
    ]
    _, command = leaf(found)
    again = any("--overwrite" in p.opts for p in command.params) and "--shard" not in found
    if found[0] == "finish":
        Path(found[1]).unlink(missing_ok=True)
    return [*found, "--overwrite"] if again and found[0] != "finish" else found


def check_output(printed: str, block: str) -> None:
    """Compare the numbers at the ends of the lines of a block that shows output."""
    if not block.startswith("$ "):
        return
    shown = [line.split("\t") for line in block.splitlines()[2:]]
    values = [line.split("\t") for line in printed.splitlines()]
    column = values[0].index("value")
    assert len(shown) == len(values) - 1
    for short, row in zip(shown, values[1:], strict=True):
        assert set(short[:-1]) <= set(row)
        assert float(row[column]) == pytest.approx(float(short[-1]), abs=6e-4)


def test_the_page_of_large_runs_names_what_there_is() -> None:
    words = list(commands("docs/large_runs.md"))
    flags = {word for line in words for word in line if word.startswith("--")}
    assert flags >= {"--workers", "--device", "--shard", "--dask"}
    assert {line[0] for line in words} == {"compute", "status", "finish"}


@pytest.mark.slow
def test_a_run_of_the_page_of_large_runs_leaves_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    write_h5(tmp_path / "dump.h5", layer=rng.normal(size=(40, 3, 4, 4)).astype(np.float32))
    for words in commands("docs/large_runs.md"):
        run_line(["semrsm", *words], "")
    assert is_rsm_file(tmp_path / "dump.rsm.h5")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["dump.h5", "dump.rsm.h5"]
