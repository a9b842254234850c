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


WITHIN_HDF5 = """
import os, signal
from h5py._objects import phil
from semrsm.cli.process import run_process

def commands():
    with phil:
        os.kill(os.getpid(), signal.SIGTERM)
        for k in range(1_000_000):
            pass
        print("whole")
    while True:
        pass

run_process(commands)
"""


def test_a_signal_waits_until_hdf5_is_in_order() -> None:
    """What is raised inside of HDF5 may end the process with SIGSEGV."""
    done = python(WITHIN_HDF5)
    assert (done.returncode, done.stdout) == (143, "whole\n")
    assert done.stderr == "semrsm: terminated; no output was written\n"


BETWEEN = """
import contextlib, functools, os, signal
from semrsm.cli.process import run_process

class Folder:
    __next__ = staticmethod(functools.partial(os.kill, os.getpid(), signal.SIGTERM))

    def throw(self, *error):  # one argument from Python 3.12 on, three before
        raise next(one for one in error if isinstance(one, BaseException))

@contextlib.contextmanager
def folder():
    return Folder()  # the signal is seen to where __enter__ returns

def commands():
    with folder():
        try:
            while True:
                pass
        except BaseException as error:
            error.add_note("the rest is kept")
            raise

run_process(commands)
"""


def test_a_signal_between_a_block_and_its_manager_waits_until_the_block_has_begun() -> None:
    done = python(BETWEEN)
    assert (done.returncode, done.stderr) == (143, "semrsm: terminated; the rest is kept\n")


WHILE_IT_TIDIES = """
import os, signal
from pathlib import Path
from semrsm.cli.process import run_process
from semrsm.storage.whole_files import aside

def commands():
    manager = aside(Path("o.csv"))
    manager.__enter__().write_text("half")
    os.kill(os.getpid(), signal.SIGTERM)  # as it leaves the block: its manager tidies nothing
    manager.__exit__(None, None, None)

run_process(commands)
"""


def test_a_signal_while_a_temporary_file_is_removed_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    done = python(WHILE_IT_TIDIES)
    assert (done.returncode, done.stderr) == (143, "semrsm: terminated; no output was written\n")
    assert list(tmp_path.iterdir()) == []


TAKEN = """
import os, signal
from semrsm.cli.process import ends_well, run_process
from semrsm.errors import SemrsmError

@ends_well
def command():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        str()
    except BaseException:
        error = SemrsmError("the tile is damaged")
        error.add_note("the rest is kept")
        raise error

run_process(command)
"""


def test_an_error_that_a_library_makes_of_a_signal_is_taken_for_the_signal() -> None:
    done = python(TAKEN)
    assert (done.returncode, done.stderr) == (143, "semrsm: terminated; the rest is kept\n")


CLOSED_TWICE = """
import os, signal
from semrsm.cli.process import run_process

def commands():
    folder = os.open(".", os.O_RDONLY)
    try:
        os.close(folder)
        os.kill(os.getpid(), signal.SIGTERM)
        str()
    except BaseException as error:
        error.add_note("the rest is kept")
        raise
    finally:
        os.close(folder)

run_process(commands)
"""


def test_an_error_of_the_system_that_a_signal_causes_is_taken_for_the_signal() -> None:
    """shutil.rmtree closes a folder twice when a signal comes just after the first time."""
    done = python(CLOSED_TWICE)
    assert (done.returncode, done.stderr) == (143, "semrsm: terminated; the rest is kept\n")


WHILE_IT_SAYS = """
import os, signal, sys
from semrsm.cli.console import say
from semrsm.cli.process import run_process

class Stderr:
    encoding, flush, isatty = "utf-8", sys.__stderr__.flush, sys.__stderr__.isatty

    def write(self, text):
        sys.stderr = sys.__stderr__
        sys.__stderr__.write(text)
        os.kill(os.getpid(), signal.SIGTERM)

def commands():
    sys.stderr = Stderr()
    say("wrote a file")

run_process(commands)
"""


def test_a_signal_while_a_line_is_written_has_a_line_of_its_own() -> None:
    done = python(WHILE_IT_SAYS)
    lines = ["wrote a file", "semrsm: terminated; no output was written", ""]
    assert (done.returncode, done.stderr.split("\n")) == (143, lines)


WHILE_IT_PRINTS = """
import os, signal
from semrsm.cli.console import print_table
from semrsm.cli.process import run_process

class Doomed:
    def __str__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return "doomed"

run_process(lambda: print_table(["layer", "f1"], [["layer1", 0.5], ["layer2", Doomed()]]))
"""


def test_no_half_table_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # each print is a write
    done = python(WHILE_IT_PRINTS)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "semrsm: terminated; no output was written\n"


OF_A_CLASS = """
import os, signal
from semrsm.cli.process import run_process

class Doomed:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGTERM)
        str()

run_process(lambda: type("Holder", (), {"doomed": Doomed()}))
"""


def test_an_error_that_python_makes_of_a_signal_is_taken_for_the_signal() -> None:
    """Python 3.11 raises a RuntimeError for what comes while a class is made, as in an import."""
    done = python(OF_A_CLASS)
    assert (done.returncode, done.stderr) == (143, "semrsm: terminated; no output was written\n")


SWALLOWED = """
import os, signal, time
from semrsm.cli import process

def commands():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        str()
    except BaseException:
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # too early: files may be removed just now
    process.Terminated.last.when -= 10
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass

process.run_process(commands)
"""


def test_a_later_signal_ends_what_swallowed_the_first() -> None:
    done = python(SWALLOWED)
    assert (done.returncode, done.stderr) == (130, "semrsm: interrupted; no output was written\n")


WHILE_IT_LEAVES = """
import signal
from semrsm.cli import process

def commands():
    process._terminate_later(signal.SIGTERM)
    process.remove_all_temporary = lambda: list(iter(lambda: signal.getitimer(signal.ITIMER_REAL)[0], 0.0))
    raise process.Terminated(signal.SIGINT)

process.run_process(commands)
"""


def test_a_signal_that_was_put_off_until_another_ends_the_process_changes_nothing() -> None:
    done = python(WHILE_IT_LEAVES)
    assert (done.returncode, done.stderr) == (130, "semrsm: interrupted; no output was written\n")


def test_a_signal_when_all_is_said_changes_nothing() -> None:
    end = "import atexit, os; atexit.register(os.kill, os.getpid(), 15); "
    done = python(end + "from semrsm.cli.process import run_process; run_process(lambda: None)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")


def test_memory_that_runs_out_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_all(*_: object) -> None:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(sys.modules["semrsm.cli.status"], "run_status", take_all)
    assert "memory ran out (Unable to allocate 7 TiB)" in fail("status", tmp_path / "o.rsm.h5")


def test_a_signal_that_was_put_off_until_all_was_done_does_not_end_the_process_at_its_exit() -> (
    None
):
    code = (
        "import atexit, signal; from semrsm.cli import process\n"
        "atexit.register(lambda: [0 for _ in iter(lambda: signal.getitimer(signal.ITIMER_REAL)[0], 0.0)])\n"
        "process.run_process(lambda: process._terminate_later(signal.SIGTERM))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
