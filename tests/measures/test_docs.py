"""docs/measures.md says what the table says."""

import runpy
from pathlib import Path

from semrsm.measures import MEASURES

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))["make_page"]()
    assert page == made, "run python scripts/make_docs.py"


def test_every_measure_has_a_section_with_its_reference() -> None:
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    for row in MEASURES.values():
        assert f"\n## {row.name}\n" in page
        assert f"https://doi.org/{row.doi}" in page
