"""The fuzzer: cases repeat, planted faults are seen, and hundreds of damaged files end as documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a minute of two cores
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "fuzz"


def fuzz(*args: object) -> subprocess.CompletedProcess:
    """Run the script; what it prints is in `stdout`."""
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)


def test_a_case_is_the_same_again(tmp_path: Path) -> None:
    def case_of(seed: int, number: int, folder: str) -> str:
        done = fuzz(
            "--seed", seed, "--case", number, "--only", "acts.n", "--folder", tmp_path / folder
        )
        return done.stdout[done.stdout.index("case ") : done.stdout.index("exit code")]

    first = case_of(5, 3, "a")
    assert case_of(5, 3, "b") == first
    assert case_of(5, 4, "b").splitlines()[0] != first.splitlines()[0]


def test_planted_faults_are_seen(tmp_path: Path) -> None:
    done = fuzz("--self-test", "--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": seen (") >= 12
    assert "OVERLOOKED" not in done.stdout


def test_damaged_files_end_in_results_or_one_sentence(tmp_path: Path) -> None:
    done = fuzz("--seed", 20241, "--cases", 600, "--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 cases" in done.stdout
