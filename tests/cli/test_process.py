"""How a command ends as a process, whatever ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import fail

LOST = """
import os, signal
from semrsm.cli.process import run_process

class Doomed:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        str()  # the signal is raised here, where Python drops what is raised

def commands():
    Doomed()
    while True:
        pass

run_process(commands)
"""


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_python_loses_is_not_lost(sent: signal.Signals) -> None:
    done = python(LOST.format(name=sent.name))
    why = "interrupted" if sent == signal.SIGINT else "terminated"
    assert (done.returncode, done.stderr) == (128 + sent, f"semrsm: {why}; no output was written\n")


def test_a_signal_when_all_is_said_changes_nothing() -> None:
    end = "import atexit, os; atexit.register(os.kill, os.getpid(), 15); "
    done = python(end + "from semrsm.cli.process import run_process; run_process(lambda: None)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")


def test_memory_that_runs_out_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_all(_: Path) -> None:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(sys.modules["semrsm.cli.info"], "is_rsm_file", take_all)
    assert "memory ran out (Unable to allocate 7 TiB)" in fail("info", tmp_path)
