"""What a child process does within limits: its result, its error, or one sentence on how it ended."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from semrsm.errors import SemrsmError
from semrsm.in_child import in_child

MEMORY = 1 << 28


def done(work: Callable[[], object], seconds: int = 60) -> object:
    return in_child(work, "a.h5", seconds, MEMORY)


def test_what_comes_of_it_is_given_back() -> None:
    found = {"é\udc80\n": [1, 2.5, None, True], "many": "x" * 3_000_000}
    assert done(lambda: found) == found
    assert math.isnan(done(lambda: math.nan))  # type: ignore[arg-type]


def test_the_child_changes_nothing_here(capfd: pytest.CaptureFixture[str]) -> None:
    here: list[int] = []

    def work() -> int:
        here.append(1)
        print("words")
        print("words", file=sys.stderr, flush=True)
        os.write(2, b"words of a library\n")
        return os.getpid()

    assert done(work) != os.getpid()
    assert here == []
    assert capfd.readouterr() == ("", "")


def raise_semrsm() -> None:
    raise SemrsmError("a.h5::b: sample 3 holds NaN; leave it out")


def take_memory() -> None:
    bytearray(4 * MEMORY)


def loop() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (raise_semrsm, "^a.h5::b: sample 3 holds NaN; leave it out$"),
        (
            lambda: [][1],
            "^a.h5 cannot be read .IndexError: list index out of range.: it is damaged",
        ),
        (take_memory, f"^a.h5 takes more than {MEMORY} bytes to read: it is damaged"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), r"^reading a.h5 ends .* \(SIGSEGV\): it is"),
        (lambda: os.abort(), r"^reading a.h5 ends the process that does it \(SIGABRT\)"),
        (lambda: os._exit(3), r"^reading a.h5 ends the process that does it \(at once\)"),
        (lambda: sys.exit(), r"^reading a.h5 ends the process that does it \(at once\)"),
        (lambda: object(), "TypeError"),
    ],
)
def test_each_end_is_one_sentence(work: Callable, says: str) -> None:
    with pytest.raises(SemrsmError, match=says):
        done(work)


def test_computing_without_end_is_ended() -> None:
    with pytest.raises(SemrsmError, match=r"a\.h5 takes more than 1 s to read: it is damaged"):
        done(loop, seconds=1)


def test_waiting_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semrsm.in_child.PATIENCE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SemrsmError, match=r"a\.h5 takes more than 1 s to read"):
        done(lambda: (tmp_path / "pipe").open("rb").read(), seconds=1)


@pytest.mark.parametrize("work", [int, raise_semrsm, os.abort])
def test_no_child_is_left(work: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    children, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: children.append(fork()) or children[-1])
    with contextlib.suppress(SemrsmError):
        done(work)
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)
