"""docs/measures.md and docs/intervals.md say what the tables say."""

import csv
import runpy
from pathlib import Path

import pytest

from semrsm.measures import MEASURES

ROOT = Path(__file__).resolve().parents[2]
INTERVALS_PAGE = str(ROOT / "scripts" / "make_intervals_page.py")


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))["make_page"]()
    assert page == made, "run python scripts/make_docs.py"


def test_every_measure_has_a_section_with_its_reference() -> None:
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    for row in MEASURES.values():
        assert f"\n## {row.name}\n" in page
        assert f"https://doi.org/{row.doi}" in page


def test_the_page_of_intervals_is_up_to_date() -> None:
    page = (ROOT / "docs" / "intervals.md").read_text(encoding="utf-8")
    assert page == runpy.run_path(INTERVALS_PAGE)["make_page"](), f"run python {INTERVALS_PAGE}"


def coverage() -> list[dict[str, str]]:
    with (ROOT / "docs" / "coverage.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_interval_that_is_offered_by_default_covers_what_it_should() -> None:
    low, high = runpy.run_path(INTERVALS_PAGE)["RIGHT"]
    for row in coverage():
        assert int(row["simulations"]) == 500, row
        if row["interval"] == "corrected":
            assert low <= float(row["coverage"]) <= high, row


@pytest.mark.parametrize("n", ["50", "200"])
def test_the_coverage_of_every_default_interval_was_measured(n: str) -> None:
    same = runpy.run_path(INTERVALS_PAGE)["SAME"]
    found = {row["what"] for row in coverage() if row["n"] == n and row["interval"] == "corrected"}
    wanted = {same.get(row.name, row.name) for row in MEASURES.values() if row.resample is not None}
    assert {*wanted, *(f"difference of {name}" for name in wanted), "auroc of views"} <= found
