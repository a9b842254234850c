"""The whole tool from Python: the commands' flags as keywords, records as results, no talk."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import semrsm
from semrsm.api.arguments import Records, bytes_in, names_in
from semrsm.cli import app
from semrsm.compute.options import FIELDS
from semrsm.data import digits_path
from tests.helpers import succeed, write_h5

NOT_IN_PYTHON = {"json", "untrusted", "help"}  # how a command prints, and a child process for files
PYTHON_ONLY = {"on_progress", "on_note", "command"}


def commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(app)
    return root.commands | {
        f"evaluate {name}": command for name, command in root.commands["evaluate"].commands.items()
    }


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


# Function -> its command, and the flags of it that write or print what Python returns.
COMMAND_OF = {
    "compute": ("compute", {"config", "dry_run"}),
    "status": ("status", set()),
    "finish": ("finish", set()),
    "report": ("report", set()),
    "pair": ("pair", {"matching", "plot", "images", "overwrite"}),
    "methods_on": ("methods", {"on", "out", "plot", "overwrite"}),
    "compare": ("compare", {"out", "plot", "overwrite"}),
    "evaluate_retrieval": ("evaluate retrieval", {"out", "details", "overwrite"}),
    "evaluate_predictions": ("evaluate predictions", {"out", "details", "overwrite"}),
    "evaluate_views": ("evaluate views", {"out", "details", "overwrite"}),
    "plot": ("plot", set()),
    "export": ("export", set()),
}


@pytest.mark.parametrize("name", COMMAND_OF)
def test_keywords_are_the_flags_of_the_command(name: str) -> None:
    command, left_out = COMMAND_OF[name]
    flags = {param.name for param in commands()[command].params} - NOT_IN_PYTHON - left_out
    own = set(parameters(getattr(semrsm, name))) - PYTHON_ONLY
    own = {{"activations": "activations", "inputs": "rsm"}.get(k, k) for k in own}
    flags = {{"inputs": "rsm"}.get(k, k) for k in flags}
    if name == "methods_on":
        own -= {"activations"}
    assert own == flags


@pytest.mark.parametrize("name", COMMAND_OF)
def test_nothing_hides_behind_options(name: str) -> None:
    kinds = {p.kind for p in parameters(getattr(semrsm, name)).values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    doc = inspect.getdoc(getattr(semrsm, name)) or ""
    told = [p for p in parameters(getattr(semrsm, name)) if f"{p}:" not in doc]
    assert not told, "the docstring says nothing of them"
    assert ">>> " in doc


@pytest.mark.parametrize("function", [semrsm.compute, semrsm.finish, semrsm.rsm, semrsm.methods_on])
def test_options_are_those_of_the_table(function: Callable) -> None:
    own = {n: p for n, p in parameters(function).items() if n in FIELDS and n != "against"}
    for name, parameter in own.items():
        if function is semrsm.methods_on and name in ("matcher", "device"):
            continue  # all matchers, one thread of the CPU
        parse, default = FIELDS[name].metadata["parse"], FIELDS[name].default
        assert parameter.default is None or parse(parameter.default) == default, name
        assert parameter.default is not None or default is None, name
    if function is semrsm.compute:
        assert own.keys() | {"against"} == FIELDS.keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """RSM files of the embedded example, identity and optimal."""
    folder = tmp_path_factory.mktemp("api")
    paths = {}
    for matcher in ("identity", "optimal"):
        paths[matcher] = folder / f"{matcher}.rsm.h5"
        semrsm.compute(
            digits_path(), paths[matcher], layer="resnet/layer3", matcher=matcher, threads=1
        )
    return paths


def as_json(*args: object) -> Any:
    return json.loads(succeed(*args, "--json").stdout)


def test_compare_gives_what_the_command_prints(made: dict[str, Path]) -> None:
    flags = ("--measure", "cka", "--measure", "rsa-spearman", "--bootstrap", 20, "--seed", 3)
    printed = as_json("compare", *made.values(), *flags)
    options = {"measure": ["cka", "rsa-spearman"], "bootstrap": 20, "seed": 3}
    found = semrsm.compare(*made.values(), **options)
    assert list(found) == printed
    assert semrsm.compare([str(p) for p in made.values()], **options) == found
    assert isinstance(found.notes, tuple)


@pytest.mark.parametrize(
    ("name", "flags", "keywords"),
    [
        ("retrieval", ("--labels", "{d}::labels", "--at", 1), {"labels": "{d}::labels", "at": 1}),
        ("predictions", ("--logits", "{d}::resnet/logits"), {"logits": "{d}::resnet/logits"}),
        ("views", ("--views", "{d}::views"), {"views": "{d}::views"}),
    ],
)
def test_evaluations_give_what_the_command_prints(
    name: str, flags: tuple[Any, ...], keywords: dict[str, Any], made: dict[str, Path]
) -> None:
    def fill(value: Any) -> Any:
        return value.format(d=digits_path()) if isinstance(value, str) else value

    printed = as_json("evaluate", name, *made.values(), *map(fill, flags))
    function = getattr(semrsm, f"evaluate_{name}")
    found = function(*made.values(), **{k: fill(v) for k, v in keywords.items()})
    assert list(found) == printed


def test_arrays_in_memory_give_what_files_do(made: dict[str, Path]) -> None:
    import h5py

    with h5py.File(digits_path()) as file:
        labels, views, logits = (file[n][:] for n in ("labels", "views", "resnet/logits"))
    path = made["optimal"]
    rsm, _ = semrsm.read_rsm(path)
    for of_file, of_array in (
        (
            semrsm.evaluate_retrieval(path, labels=f"{digits_path()}::labels"),
            semrsm.evaluate_retrieval(rsm, labels=labels),
        ),
        (
            semrsm.evaluate_views(path, views=f"{digits_path()}::views"),
            semrsm.evaluate_views(rsm, views=list(views)),
        ),
        (
            semrsm.evaluate_predictions(path, logits=f"{digits_path()}::resnet/logits"),
            semrsm.evaluate_predictions(rsm, logits=logits),
        ),
        (
            semrsm.compare(path, made["identity"]),
            semrsm.compare(rsm, made["identity"], kernel="cosine"),
        ),
    ):
        pairs = list(zip(of_file, of_array, strict=True))
        assert pairs
        for a, b in pairs:
            assert a["value"] == pytest.approx(b["value"], rel=1e-12)
    assert of_array[0]["a"] == "RSM 1"
    assert semrsm.compare(rsm, baseline=rsm, bootstrap=5)[0]["difference"] == 0


def test_a_noise_ceiling_from_python(made: dict[str, Path]) -> None:
    found = semrsm.compare(*made.values(), noise_ceiling=True, measure="cka")
    assert found[0]["lower"] <= found[0]["upper"]
    with pytest.raises(semrsm.SemrsmError, match="a noise ceiling takes no `bootstrap`"):
        semrsm.compare(*made.values(), noise_ceiling=True, bootstrap=5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: semrsm.compare(), "no RSM is named"),
        (lambda: semrsm.compare(5), "RSM 1 is of type int; give the path"),
        (lambda: semrsm.compare(np.ones(3)), "RSM 1 is an array of shape"),
        (lambda: semrsm.compare(np.eye(4), kernel="rbf"), "plain matrices have no kernels"),
        (lambda: semrsm.compare(np.eye(4), bootstrap=-1), "bootstrap must be a whole number"),
        (lambda: semrsm.compare(np.eye(4), layer=7), "layer must be a name or a list of names"),
        (lambda: semrsm.compare(np.eye(4), memory="much"), "memory must be a size"),
        (lambda: semrsm.plot(np.eye(4), kind="heatmpa"), "did you mean 'heatmap'"),
        (lambda: semrsm.plot(np.eye(4), kind="compare"), "a table is a file or a list of records"),
        (lambda: semrsm.plot(np.eye(4), out="a.gif"), "no kind of picture"),
        (lambda: semrsm.plot(np.eye(4), queries=5), "queries are numbers or ids of samples"),
        (lambda: semrsm.plot(np.eye(4), labels=[1, 2]), "2 rows and RSM 1 has 4 samples"),
        (lambda: semrsm.evaluate_views(np.eye(4), views=np.ones((2, 2, 2))), "the views in memory"),
        (lambda: semrsm.evaluate_predictions(np.eye(4), logits=[1, 2, 3, 4]), "two classes"),
        (lambda: semrsm.compute(np.ones((3, 2)), "o.rsm.h5"), "use semrsm.rsm"),
        (lambda: semrsm.compute("a.h5", None), "out must be a path"),
        (lambda: semrsm.pair(3, 0, 1), "activations must be a path"),
        (lambda: semrsm.methods_on([1]), "activations must be a path"),
        (lambda: semrsm.read_rsm(np.eye(3)), "path must be a path, got one of type ndarray"),
        (lambda: semrsm.status(3), "out must be a path"),
        (lambda: semrsm.status("a.rsm.h5", "folder"), "folders are a list"),
    ],
)
def test_a_wrong_call_gets_a_sentence(call: Callable[[], object], says: str) -> None:
    with pytest.raises(semrsm.SemrsmError, match=says) as raised:
        call()
    assert "\n" not in str(raised.value)
    assert "--" not in str(raised.value)


def test_records_are_taken_by_pandas(made: dict[str, Path]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    few = {"layer": "resnet/layer3", "matcher": "identity", "pairs": 4}
    tables = {
        "value": semrsm.compare(*made.values()),
        "metric": semrsm.evaluate_views(made["optimal"], views=f"{digits_path()}::views"),
        "kernel": semrsm.pair(digits_path(), 0, 10, layer="resnet/layer3"),
        "ms_median": semrsm.methods_on(digits_path(), **few),
    }
    for column, records in tables.items():
        table = pandas.DataFrame(records)
        assert column in table.columns
        assert len(table) == len(list(records)) > 0


def test_a_shard_and_its_status(tmp_path: Path, rng: np.random.Generator) -> None:
    dump = write_h5(tmp_path / "a.h5", a=rng.normal(size=(6, 3, 2, 2)))
    told: list[tuple[str, int, int]] = []
    report = semrsm.compute(
        dump,
        tmp_path / "a.rsm.h5",
        shard="1/1",
        threads=1,
        on_progress=lambda *args: told.append(args),
    )
    assert list(report) == []
    assert told[-1][1:] == (15, 15)
    found = semrsm.status(str(tmp_path / "a.rsm.h5"))
    [record] = found
    assert record["tiles_missing"] == 0
    assert record["pairs"] == 15
    assert found.seconds_left == 0
    [record] = semrsm.finish(tmp_path / "a.rsm.h5", kernel=["linear", "rbf"], sigma=1)
    assert record["pairs"] == 15
    assert list(semrsm.status(tmp_path / "a.rsm.h5")) == []


@pytest.mark.slow
def test_figures_are_matplotlibs_and_show_in_notebooks(
    made: dict[str, Path], tmp_path: Path
) -> None:
    from matplotlib.figure import Figure

    out = tmp_path / "a.png"
    figure = semrsm.plot(*made.values(), kind="side-by-side", out=out)
    assert isinstance(figure, Figure)
    assert out.read_bytes()[:4] == figure._repr_png_()[:4] == b"\x89PNG"
    figure.savefig(tmp_path / "b.pdf")
    table = semrsm.plot(semrsm.compare(*made.values()), kind="compare")
    assert table._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(semrsm.SemrsmError, match="no notebook to show a figure in"):
        table.show()


@pytest.mark.slow
def test_a_report_of_files_and_arrays(made: dict[str, Path], tmp_path: Path) -> None:
    notes: list[str] = []
    out = tmp_path / "page.html"
    given = {"labels": np.arange(80) % 5, "by_position": True, "on_note": notes.append}
    page = semrsm.report(*made.values(), out=out, kernel="cosine", **given)
    assert page.read_text().count("data:image/png;base64") >= 3
    with pytest.raises(semrsm.SemrsmError, match="exists; replace it"):
        semrsm.report(np.eye(4), out=out)
    assert semrsm.report(np.eye(4), out=out, overwrite=True) == out


def test_no_function_writes_over_what_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, a=np.eye(4))
    before = path.read_bytes()
    picture = tmp_path / "m.png"
    picture.write_bytes(before)
    for write in (
        lambda: semrsm.export(path, path, to="npz", overwrite=True),
        lambda: semrsm.export(f"{path}::a", path, to="npz", overwrite=True),
        lambda: semrsm.report([path], out=path, overwrite=True),
        lambda: semrsm.plot(picture, out=picture, overwrite=True),
    ):
        with pytest.raises(semrsm.SemrsmError, match="is an input of this command"):
            write()
    assert path.read_bytes() == picture.read_bytes() == before


def test_images_and_queries_in_memory(tmp_path: Path) -> None:
    images = np.arange(4 * 5 * 5).reshape(4, 5, 5) / 100
    rsm = np.eye(4) + 0.1
    figure = semrsm.plot(rsm, kind="retrieved", images=images, queries=[0, 2], neighbours=2)
    assert len(figure.axes) >= 6


@pytest.mark.slow
def test_python_is_quiet_and_imports_no_terminal_library(tmp_path: Path) -> None:
    script = f"""
import sys, semrsm
from semrsm.data import digits_path
semrsm.compute(digits_path(), {str(tmp_path / "a.rsm.h5")!r}, layer="resnet/layer3", samples="0:6")
semrsm.compare({str(tmp_path / "a.rsm.h5")!r}, bootstrap=5)
semrsm.plot({str(tmp_path / "a.rsm.h5")!r})
assert not {{"rich", "typer", "matplotlib.pyplot"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_small_things_that_callers_give() -> None:
    assert names_in(("a", "b"), "layer") == ("a", "b")
    assert bytes_in(5000) == 5000
    assert bytes_in("1KiB") == 1024
    assert Records([{"a": 1}]) == [{"a": 1}]
    assert set(semrsm.__all__) == {n for n in vars(semrsm) if n in semrsm.__all__}
