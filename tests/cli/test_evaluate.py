import csv
import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner, Result

import semrsm
from semrsm.cli import app
from tests.helpers import succeed


def run(*args: object) -> Result:
    """Run a command in this process; the handler of SIGTERM is left as it was."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(app, ["evaluate", *(str(arg) for arg in args)])
    finally:
        signal.signal(signal.SIGTERM, handler)


def table(*args: object) -> list[dict[str, str]]:
    """Return the rows of a command that must end well."""
    result = run(*args)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return list(csv.DictReader(result.stdout.splitlines(), delimiter="\t"))


def sentence(*args: object) -> str:
    """Return what a command says that must end with code 1, one line and nothing on stdout."""
    result = run(*args)
    assert (result.exit_code, result.stdout) == (1, ""), (result.output, result.exception)
    assert result.stderr.startswith("semrsm: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two RSM files, a rectangular one, a plain matrix, and what is known of their ten samples."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(7)
    things = rng.standard_normal((5, 3, 2, 2))
    views = np.repeat(np.arange(5), 2)
    with h5py.File(folder / "a.h5", "w") as file:
        for layer in ("layer1", "layer2", "head"):
            file[layer] = things[views] + 0.5 * rng.standard_normal((10, 3, 2, 2))
        file["samples"] = [f"img{i}.png" for i in range(10)]
    for name, matcher in (("a", "optimal"), ("b", "identity")):
        semrsm.compute(
            folder / "a.h5",
            folder / f"{name}.rsm.h5",
            layer=("layer1", "layer2"),
            matcher=matcher,
            threads=1,
        )
    with h5py.File(folder / "a.h5") as file, h5py.File(folder / "few.h5", "w") as few:
        few["head"] = file["head"][:4]
    semrsm.compute(
        folder / "few.h5", folder / "rect.rsm.h5", against=str(folder / "a.h5"), threads=1
    )
    np.savez(
        folder / "known.npz",
        labels=views % 2,
        short=views[:9],
        views=views,
        unique=np.arange(10),
        same=np.zeros(10, int),
        logits=rng.standard_normal((5, 3))[views],
        nan_logits=np.full((10, 3), np.nan),
        sums=np.full((10, 3), 0.4),
    )
    x = rng.standard_normal((10, 10))
    np.save(folder / "plain.npy", x + x.T)
    x[3, 4] = np.nan
    np.save(folder / "nan.npy", x + x.T)
    (folder / "other.csv").write_text("id,label\n" + "".join(f"x{i},a\n" for i in range(10)))
    return folder


def test_retrieval_has_a_row_for_each_file_layer_and_kernel(folder: Path) -> None:
    files = folder / "a.rsm.h5", folder / "b.rsm.h5"
    rows = table("retrieval", *files, "--labels", f"{folder}/known.npz::labels", "-k", "cosine")
    rows += table(
        *("retrieval", files[0], "--labels", f"{folder}/known.npz::labels", "--at", 2, "-l", "*2"),
        *("-k", "linear", "-k", "rbf"),
    )
    about = [(Path(r["rsm"]).name[0], r["layer"], r["matcher"], r["kernel"]) for r in rows]
    assert about == [
        ("a", "layer1", "optimal", "cosine"),
        ("a", "layer2", "optimal", "cosine"),
        ("b", "layer1", "identity", "cosine"),
        ("b", "layer2", "identity", "cosine"),
        ("a", "layer2", "optimal", "linear"),
        ("a", "layer2", "optimal", "rbf"),
    ]
    assert list(rows[-1])[4:] == [
        *("f1@2", "recall@2", "map", "mrr", "r-precision", "queries", "excluded")
    ]
    assert all(0 < float(row["map"]) <= 1 for row in rows)


def test_recall_that_says_nothing_new_is_no_column_and_cells_stay_in_theirs(
    folder: Path, tmp_path: Path
) -> None:
    balanced = tmp_path / "balanced.rsm.h5"  # labels 0 0 1 1 0 0 1 1; of all ten 0 has six, 1 four
    semrsm.compute(folder / "a.h5", balanced, layer="layer1", samples="0:8", threads=1)
    known = ("--labels", f"{folder}/known.npz::labels", "--at", 2)
    [alone] = table("retrieval", balanced, *known)
    assert "recall@2" not in alone
    both = table("retrieval", balanced, f"{folder}/a.rsm.h5::layer1", *known)
    assert {name: both[0][name] for name in alone} == alone
    assert both[0]["recall@2"] == ""
    assert (both[1]["queries"], both[0]["queries"]) == ("10", "8")
    assert 0 < float(both[1]["recall@2"]) < float(both[1]["f1@2"])


def test_json_is_the_table_in_long_form(folder: Path) -> None:
    args = ("retrieval", folder / "a.rsm.h5", "--labels", f"{folder}/known.npz::labels")
    rows = table(*args)
    result = run(*args, "--json")
    for record in json.loads(result.stdout):
        [row] = [r for r in rows if r["layer"] == record["layer"]]
        cell = row[record["metric"]]
        if record["value"] is None:
            assert cell == ""
            assert record["reason"] == "k = 10 with 9 candidates"
        else:
            assert float(cell) == pytest.approx(record["value"], rel=1e-9)
            assert set(record) == {"rsm", "layer", "matcher", "kernel", "metric", "value"}
    assert "no f1@10, recall@10: k = 10 with 9 candidates" in result.stderr


def test_values_of_each_query_are_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "queries.csv"
    args = ("retrieval", folder / "a.rsm.h5", "--labels", f"{folder}/known.npz::labels")
    args = (*args, "--details", out)
    rows = table(*args)
    with out.open(newline="") as stream:
        queries = list(csv.DictReader(stream))
    assert queries[3]["id"] == "img3.png"
    for row in rows:
        of_layer = [float(q["ap"]) for q in queries if q["layer"] == row["layer"]]
        assert np.mean(of_layer) == pytest.approx(float(row["map"]))
    assert "exists; replace it with --overwrite" in sentence(*args)
    assert table(*args, "--overwrite") == rows


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("retrieval", ("--labels", "known.npz::labels", "--views", "known.npz::views")),
        ("predictions", ("--logits", "known.npz::logits", "--bootstrap", "9")),
        ("views", ("--views", "known.npz::views")),
    ],
)
def test_the_table_that_is_printed_is_written(
    kind: str, known: tuple[str, ...], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    out = tmp_path / "table.csv"
    args = (kind, "a.rsm.h5", "b.rsm.h5", *known, "-o", out)
    printed = table(*args)
    with out.open(newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [list(row) for row in written] == [list(row) for row in printed]
    for row, cells in zip(written, printed, strict=True):
        names = list(row)
        assert [row[name] for name in names[:4]] == [cells[name] for name in names[:4]]
        found = [float(row[name] or "nan") for name in names[4:]]
        expected = [float(cells[name] or "nan") for name in names[4:]]
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert "exists; replace it with --overwrite" in sentence(*args)
    assert table(*args, "--overwrite") == printed
    assert "are one file" in sentence(*args, "--overwrite", "--details", out)


def test_views_of_a_query_are_left_out_and_it_is_said(folder: Path) -> None:
    args = ("retrieval", folder / "a.rsm.h5", "--labels", f"{folder}/known.npz::views", "--at", 1)
    other = ("retrieval", folder / "a.rsm.h5", "--labels", f"{folder}/known.npz::labels")
    views = ("--views", f"{folder}/known.npz::views")
    assert "none of 10 queries shares a label with a candidate" in sentence(*args, *views)
    result = run(*other, *views)
    assert f"views of a query, by {folder}/known.npz::views, are no candidates" in result.stderr
    assert {row["excluded-views"] for row in table(*other, *views)} == {"10"}
    kept = run(*other, *views, "--include-views")
    assert kept.stdout == run(*other).stdout
    assert "views" not in kept.stderr
    assert f"leave them out with --views {folder}/known.npz::views" in run(*other).stderr


def test_a_rectangular_file_is_queries_by_gallery(folder: Path) -> None:
    np.save(folder / "four.npy", np.arange(4) // 2)
    args = ("retrieval", folder / "rect.rsm.h5", "--labels", folder / "four.npy", "--at", 1)
    [row] = table(*args, "--gallery-labels", f"{folder}/known.npz::views")
    # Every query stands in the gallery too, and nothing is more alike than itself.
    assert row["f1@1"] == row["mrr"] == "1"
    assert "is rectangular (4 x 10), queries x gallery; give the labels of its columns" in sentence(
        *args
    )


def test_predictions_with_intervals(folder: Path) -> None:
    args = ("predictions", folder / "a.rsm.h5", "--logits", f"{folder}/known.npz::logits")
    for row in table(*args, "--bootstrap", 50, "--seed", 3):
        for name in ("pearson", "spearman"):
            low, high = float(row[f"{name}-low"]), float(row[f"{name}-high"])
            assert -1 <= low < float(row[name]) < high <= 1
    assert table(*args, "--bootstrap", 9) == table(*args, "--bootstrap", 9, "--seed", 0)
    assert list(table(*args)[0])[4:] == ["pearson", "spearman"]


def test_views_of_a_plain_matrix(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"
    [row] = table(
        *("views", folder / "plain.npy", "--views", f"{folder}/known.npz::views", "--details", out)
    )
    assert row["layer"] == row["matcher"] == row["kernel"] == ""
    with out.open(newline="") as stream:
        pairs = list(csv.DictReader(stream))
    same = [pair["same"] == "1" for pair in pairs]
    expected = roc_auc_score(same, [float(pair["similarity"]) for pair in pairs])
    assert (len(pairs), sum(same)) == (45, 5)
    assert float(row["auroc"]) == pytest.approx(expected)


def test_bad_input_gets_one_sentence(folder: Path) -> None:
    a, known = folder / "a.rsm.h5", folder / "known.npz"
    cases = {
        ("retrieval", a, "--labels", f"{known}::short"): "has 9 rows and",
        ("retrieval", a, "--labels", f"{known}::label"): "did you mean 'labels'?",
        ("retrieval", a, "--labels", folder / "no.csv"): "check the path",
        (
            "retrieval",
            a,
            "--labels",
            f"{known}::unique",
        ): "none of 10 queries shares a label with a candidate",
        ("retrieval", a, "--labels", folder / "other.csv"): "lacks the sample 'img0.png'",
        ("retrieval", folder / "no.h5", "--labels", f"{known}::labels"): "does not exist",
        ("retrieval", f"{a}::layer3", "--labels", f"{known}::labels"): "did you mean 'layer",
        ("retrieval", a, "--labels", f"{known}::labels", "-l", "x*"): "no layer matches 'x*'",
        ("retrieval", a, "--labels", f"{known}::labels", "-k", "cosin"): "did you mean 'cosine'?",
        ("retrieval", folder / "nan.npy", "--labels", f"{known}::labels"): "row 3 holds NaN",
        (
            *("retrieval", a, "--labels", f"{known}::labels"),
            *("--gallery-labels", f"{known}::labels"),
        ): "leave --gallery-labels out",
        (
            *("retrieval", folder / "rect.rsm.h5", "--labels", f"{known}::labels"),
            *("--gallery-labels", f"{known}::labels", "--views", f"{known}::views"),
        ): "leave --views out",
        (
            *("retrieval", a, "--labels", f"{known}::labels"),
            *("--views", f"{known}::same"),
        ): "nothing to retrieve; all its samples are views of one thing",
        ("predictions", a, "--logits", f"{known}::nan_logits"): "logits that are not finite",
        ("predictions", a, "--probabilities", f"{known}::sums"): "do not sum to 1 but to 1.2",
        ("predictions", a, "--probabilities", f"{known}::logits"): "probabilities below 0",
        ("predictions", a, "--logits", f"{known}::logit"): "did you mean 'logits'?",
        ("predictions", folder / "rect.rsm.h5", "--logits", f"{known}::logits"): "is rectangular",
        ("predictions", folder / "nan.npy", "--logits", f"{known}::logits"): "row 3 holds NaN",
        ("views", folder / "rect.rsm.h5", "--views", f"{known}::views"): "is rectangular",
        ("views", folder / "nan.npy", "--views", f"{known}::views"): "row 3 holds NaN",
        ("views", a, "--views", f"{known}::unique"): "no two samples are views of one thing",
        ("views", a, "--views", f"{known}::short"): "has 9 rows and",
        ("views", a, "--views", f"{known}::views", "--memory", "lots"): "memory must be a size",
        ("views", a, "--views", f"{known}::views", "--memory", "1kB"): "needs 5 KiB and --memory",
        (
            *("retrieval", a, "--labels", f"{known}::labels"),
            *("--memory", "1kB"),
        ): "raise --memory or take fewer samples",
        (
            *("predictions", a, "--logits", f"{known}::logits"),
            *("--memory", "1kB"),
        ): "layer1: ranking the pairs of 10 samples needs",
    }
    for args, said in cases.items():
        assert said in sentence(*args), args


@pytest.mark.parametrize(
    "args",
    [
        ("retrieval", "a.rsm.h5"),
        ("predictions", "a.rsm.h5"),
        ("predictions", "a.rsm.h5", "--logits", "l.npy", "--probabilities", "p.npy"),
        ("views",),
        ("view", "a.rsm.h5"),
    ],
)
def test_wrong_usage_ends_with_2(args: tuple[str, ...]) -> None:
    assert run(*args).exit_code == 2


def test_what_all_rsms_lack_is_said_once_with_the_flag_that_helps(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    paths = [tmp_path / f"{name}.npy" for name in "ab"]
    for path in paths:
        x = rng.normal(size=(12, 5))
        np.save(path, x @ x.T)
    np.save(tmp_path / "labels.npy", np.arange(12) % 3)
    labels = ("--labels", tmp_path / "labels.npy", "--at", 1, "--bootstrap", 20)
    result = succeed("evaluate", "retrieval", *paths, *labels, "--baseline", paths[0])
    [line] = [line for line in result.stderr.splitlines() if "jackknife" in line]
    assert line.startswith("all 2 RSMs: no ")
    assert "interval of f1@1" in line
    assert "--interval jackknife leaves samples out" in line
