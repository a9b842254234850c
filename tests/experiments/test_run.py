"""The three run files on a quarter of the embedded example; tables against values of another path."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.data import digits_path
from semrsm.errors import SemrsmError
from semrsm.evaluate.divergences import divergences, softmax
from semrsm.evaluate.pair_correlations import dense_ranks
from semrsm.evaluate.predictions import correlations
from semrsm.experiments.run import EXPERIMENTS, PAGE, Outcome, run_experiments, run_file_of
from semrsm.experiments.tables import count_changes
from semrsm.rsms import read_rsm
from tests.conftest import ROOT
from tests.helpers import fail, run

REPRODUCED = ROOT / "docs" / "reproduce.md"

ARRAYS = (
    *("labels", "views", "resnet/logits", "vit/logits"),
    *("resnet/layer2", "resnet/layer3", "vit/block1", "vit/block4"),
)
LAYERS = ARRAYS[4:]
MATCHERS = ("identity", "optimal")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run files of the experiments, for two views of twelve digits."""
    folder = tmp_path_factory.mktemp("small")
    with h5py.File(digits_path()) as whole, h5py.File(folder / "small.h5", "w") as part:
        kept = np.flatnonzero(whole["views"][:] < 12)
        for name in ARRAYS:
            part[name] = whole[name][:][kept]
    for name in EXPERIMENTS:
        text = run_file_of(name).read_text()
        text = text.replace('"digits"', f'"{folder / "small.h5"}"').replace("500", "20")
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def outcomes(small: Path) -> dict[str, Outcome]:
    found = run_experiments([small / f"{name}.toml" for name in EXPERIMENTS], small / "new" / "out")
    return {outcome.experiment: outcome for outcome in found}


def test_every_run_file_is_run_and_writes_what_it_says(outcomes, small: Path) -> None:
    assert list(outcomes) == list(EXPERIMENTS)
    written = {file for outcome in outcomes.values() for file in outcome.files}
    rsms = {small / f"new/out/{n}.{m}.rsm.h5" for n in ("resnet", "vit") for m in MATCHERS}
    page = small / "new" / "out" / PAGE
    assert set((small / "new" / "out").iterdir()) == written | rsms | {page}
    for name, outcome in outcomes.items():
        assert {file.suffix for file in outcome.files} == {".csv", ".png", ".toml"}
        copy = small / "new" / "out" / f"{name}.toml"
        assert copy.read_text() == (small / f"{name}.toml").read_text()
        for table in outcome.tables:
            with (small / "new" / "out" / f"{table.name}.csv").open() as stream:
                head, *rows = csv.reader(stream)
            assert tuple(head) == table.columns
            assert [len(row) for row in rows] == [len(table.columns)] * len(table.rows)
            assert table.rows


def table_of(outcome: Outcome, name: str) -> list[dict[str, object]]:
    [table] = [table for table in outcome.tables if table.name == name]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("kernel", ["rbf", "cosine", "linear"])
def test_translation_sensitivity_holds_the_medians(outcomes, small: Path, kernel: str) -> None:
    table = table_of(outcomes["translation_sensitivity"], f"translation_sensitivity.{kernel}")
    with h5py.File(small / "small.h5") as file:
        views = file["views"][:]
    upper = np.triu(np.ones((24, 24), dtype=bool), 1)
    same = views[:, None] == views[None, :]
    assert [row["layer"] for row in table] == list(LAYERS)
    for row in table:
        for matcher, kind in zip(MATCHERS, ("spatio-semantic", "semantic"), strict=True):
            rsm, _ = read_rsm(rsm_of(small, str(row["layer"]), matcher), str(row["layer"]), kernel)
            assert row[f"translated, {kind}"] == pytest.approx(np.median(rsm[upper & same]))
            assert row[f"different, {kind}"] == pytest.approx(np.median(rsm[upper & ~same]))


def rsm_of(small: Path, layer: str, matcher: str) -> Path:
    return small / "new" / "out" / f"{layer.split('/')[0]}.{matcher}.rsm.h5"


def test_retrieval_at_1_is_the_share_of_nearest_neighbours_with_the_label(outcomes, small) -> None:
    with h5py.File(small / "small.h5") as file:
        labels, views = file["labels"][:], file["views"][:]
    has_another = np.array(
        [
            np.any((labels == label) & (views != view))
            for label, view in zip(labels, views, strict=True)
        ]
    )
    for row in table_of(outcomes["retrieval"], "retrieval.f1@1"):
        layer = str(row["layer"])
        for matcher, head in zip(MATCHERS, ("cosine", "cosine PI"), strict=True):
            rsm, _ = read_rsm(rsm_of(small, layer, matcher), layer, "cosine")
            rsm[views[:, None] == views] = -np.inf
            hits = labels[rsm.argmax(axis=1)] == labels
            assert row[head] == pytest.approx(np.mean(hits[has_another]))


def test_predictions_takes_the_logits_of_the_network_and_its_last_layer(outcomes, small) -> None:
    table = table_of(outcomes["predictions"], "predictions.pearson.last")
    assert [row["layer"] for row in table] == ["resnet/layer3", "vit/block4"]
    for row in table:
        layer = str(row["layer"])
        with h5py.File(small / "small.h5") as file:
            divergence = divergences(softmax(file[f"{row['model']}/logits"][:]))
        rsm, _ = read_rsm(rsm_of(small, layer, "optimal"), layer, "rbf")
        pairs = rsm[np.triu_indices(24, 1)].astype(np.float64)
        wanted = correlations(pairs, divergence, dense_ranks(pairs), dense_ranks(divergence))[
            "pearson"
        ]
        assert row["rbf PI"] == pytest.approx(wanted)
    assert len(table_of(outcomes["predictions"], "predictions.pearson.all")) == len(LAYERS)
    for row in table_of(outcomes["predictions"], "predictions.intervals"):
        assert row["pearson-low"] <= row["pearson-high"]


def test_the_verdict_counts_every_layer_once(outcomes) -> None:
    for name, outcome in outcomes.items():
        for row in table_of(outcome, f"{name}.verdict"):
            assert row["better"] + row["equal"] + row["worse"] == 2


def test_a_lower_correlation_is_better_and_rounding_is_no_change() -> None:
    assert count_changes([(-0.2, -0.3), (0.1, 0.1 + 1e-16), (0.0, 0.4)], False)[:3] == (1, 1, 1)
    assert count_changes([(None, 1.0)], True) == (0, 0, 0, None)


def test_one_name_for_two_ways_to_read_a_network_is_refused(small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = (small / "retrieval.toml").read_text()
    other.write_text(text.replace("skip_tokens = 1", "skip_tokens = 0"))
    with pytest.raises(SemrsmError, match="the network vit in two ways"):
        list(run_experiments([small / "retrieval.toml", other], tmp_path / "out"))


def test_the_page_holds_every_table_and_marks_what_is_worse(outcomes, small: Path) -> None:
    page = (small / "new" / "out" / PAGE).read_text()
    assert page.count("\n|---") == 1 + sum(len(outcome.tables) for outcome in outcomes.values())
    table = table_of(outcomes["retrieval"], "retrieval.f1@1")
    section = page.split("Retrieval, F1@1")[1].split("\n\n")[1].splitlines()[2:]
    for row, line in zip(table, section, strict=True):
        cells = dict(zip(row, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        for kernel in ("cosine", "linear", "rbf"):
            before, after = row[kernel], row[f"{kernel} PI"]
            assert (cells[f"{kernel} PI"][0] == "*") == (after < before - 1e-12)
            assert cells[f"{kernel} PI"].strip("*") == f"{after:.3f}"


def test_the_command_prints_the_tables_tab_separated(small: Path, tmp_path: Path) -> None:
    done = run("reproduce", small / "retrieval.toml", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    blocks = done.stdout.strip().split("\n\n")
    titles = [block.splitlines()[0].partition(";")[0] for block in blocks[:3]]
    assert titles == [f"# Retrieval, F1@{k}" for k in (1, 3, 5)]
    assert blocks[0].splitlines()[1].split("\t")[:4] == ["model", "layer", "cosine", "cosine PI"]
    assert f"wrote {tmp_path / 'out' / PAGE}" in done.stderr


def test_the_command_fails_with_one_sentence(tmp_path: Path) -> None:
    said = fail("reproduce", tmp_path / "gone.toml", "-o", tmp_path / "out")
    assert "the run file" in said
    assert "did you mean 'retrieval'?" in fail("reproduce", "retreival", "-o", tmp_path / "out")


def numbers(page: str) -> list[list[str]]:
    """Return the cells of all tables of a page."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.slow
def test_the_page_in_docs_is_what_the_command_writes(tmp_path: Path) -> None:
    for _ in run_experiments([run_file_of(name) for name in EXPERIMENTS], tmp_path):
        pass
    made, kept = (numbers(page.read_text()) for page in (tmp_path / PAGE, REPRODUCED))
    assert len(made) == len(kept)
    for row, other in zip(made, kept, strict=True):
        for cell, expected in zip(row, other, strict=True):
            try:
                value = float(expected)
            except ValueError:
                assert cell == expected
            else:  # another machine rounds otherwise, and a neighbour may change places
                assert (
                    float(cell) == pytest.approx(value, abs=0.03, rel=0.01) or "." not in expected
                )
