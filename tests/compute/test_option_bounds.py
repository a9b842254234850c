"""Run files and numbers beyond all bounds end in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from semrsm.compute.options import LONGEST_RUN_FILE, options_of, read_run_file
from semrsm.errors import SemrsmError


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kernel = " + "[" * 100_000, "is nested too deeply"),
        ("a." * 50_000 + "b = 1", "is nested too deeply"),  # took ten gigabytes
        ("[" + "'a' . " * 5_000 + '"b"]', "is nested too deeply"),
        ("layer = " + "{a=" * 100_000, "is nested too deeply"),
        ("topk = " + "9" * 5000, "is no TOML"),
        ("# " + "x" * LONGEST_RUN_FILE, f"has more than {LONGEST_RUN_FILE} bytes"),
        ("a." * 50 + "b = 1", "no option 'a'"),
        ("topk = 1000000001", "topk must be at most 1000000000, got 1000000001"),
        ("device = 'cuda:99999999999999999999'", "device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_run_file_that_is_none(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(SemrsmError, match=says) as error:
        read_run_file(tmp_path / "r.toml")
    assert "r.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["topk", "window", "group", "threads", "workers", "skip_tokens"])
def test_a_count_is_bounded(name: str) -> None:
    assert getattr(options_of({name: "1000000000"}), name) == 10**9
    with pytest.raises(SemrsmError, match=r"must be at most 1000000000, got 9{30}"):
        options_of({name: "9" * 30})
