"""EVALUATIONS: what it says of columns holds, and help, `semrsm methods` and docs read it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.evaluate import EVALUATIONS
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.storage.tables import write_table
from tests.conftest import ROOT
from tests.helpers import run

KS = (1, 2)


def evaluated(folder: Path, seed: int, n: int, several: bool) -> dict[str, Evaluation]:
    """Run every evaluation on an RSM with ties; samples 0 and 1 have a common label, 2 and 3 a thing."""
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-2, 3, (n, n)) * 0.5
    np.save(folder / "r.npy", similarity + similarity.T)
    hot = np.eye(3, dtype=int)[rng.integers(0, 3, n)]
    hot[:2] = (1, several, 0)
    np.save(folder / "labels.npy", hot)
    np.save(folder / "views.npy", np.r_[0, 1, 2, 2, rng.integers(3, n, n - 4)])
    np.save(folder / "logits.npy", rng.standard_normal((n, 3)))
    rsm, views = [folder / "r.npy"], folder / "views.npy"
    labels, logits = folder / "labels.npy", folder / "logits.npy"
    [retrieval] = evaluate_retrieval(rsm, labels, view_ids=views, ks=KS)
    [predictions] = evaluate_predictions(rsm, logits=logits)
    [of_views] = evaluate_views(rsm, views)
    return {"retrieval": retrieval, "predictions": predictions, "views": of_views}


@given(st.integers(0, 2**32 - 1), st.integers(7, 14), st.booleans())
def test_columns_and_ranges_are_those_of_the_table(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, several: bool
) -> None:
    folder = tmp_path_factory.mktemp("table")
    found = evaluated(folder, seed, n, several)
    hot, views = np.load(folder / "labels.npy"), np.load(folder / "views.npy")
    relevant = ((hot @ hot.T > 0) & (views[:, None] != views)).sum(axis=1)
    redundant: tuple[str, ...] = ()
    if not several:  # of single labels precision@k is f1@k
        # ... and recall@k is f1@k k / R, if R is one number
        redundant = ("precision@", "recall@") if len({*relevant} - {0}) == 1 else ("precision@",)
    assert list(found) == list(EVALUATIONS)
    for name, row in EVALUATIONS.items():
        ranges = {
            metric.name.replace("@k", f"@{k}"): metric.range for metric in row.metrics for k in KS
        }
        columns = [*ranges, *row.counts]
        kept = {column for column in columns if not column.startswith(redundant or "no ")}
        assert set(found[name].values) == kept
        for column, (low, high) in ranges.items():
            value = found[name].values.get(column)
            assert value is None or low - 1e-12 <= value <= high + 1e-12


def test_methods_lists_every_evaluation() -> None:
    listed = json.loads(run("methods", "--json").stdout)
    rows = {row["name"]: row for row in listed if row["kind"] == "evaluation"}
    assert list(rows) == list(EVALUATIONS)
    for name, row in EVALUATIONS.items():
        assert row.summary in rows[name]["summary"]
        assert row.doi in rows[name]["reference"]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "evaluations.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "scripts" / "make_evaluations_page.py"))["make_page"]()
    assert page == made, "run python scripts/make_evaluations_page.py"


def test_a_table_is_written_with_all_digits_and_empty_cells(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    write_table(out, ("layer", "map"), [("a,b", 1 / 3), ("c", None)])
    assert out.read_text() == f'layer,map\n"a,b",{1 / 3!r}\nc,\n'
