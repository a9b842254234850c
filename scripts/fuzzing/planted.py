"""Faults that are planted on purpose: a fuzzer that does not see them sees nothing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzzing.cases import Case
from fuzzing.children import Before, run_cases
from fuzzing.fuzzer import everything, expected_values
from fuzzing.mutation import Mutation, Mutator
from fuzzing.targets import TARGETS
from fuzzing.verdict import findings

RSM = next(target for target in TARGETS if target.file == "optimal.rsm.h5")
KEPT: list[bytearray] = []  # what a fault takes, so that it stays taken


def _as_it_is(path: Path, rng: np.random.Generator) -> Mutation:
    return Mutation("nothing")


def _other_numbers(path: Path, rng: np.random.Generator) -> Mutation:
    """Put a valid file with other numbers in place: no check of a file can notice that."""
    shutil.copyfile(path.parents[2] / "valid" / "identity.rsm.h5", path)
    return Mutation("another RSM file")


def _loop() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (2, 9))  # a shorter limit, for the sake of the tests
    while True:
        pass


def _memory() -> None:
    KEPT.append(bytearray(b"x" * (700 << 20)))


def _leave(code: int, *lines: str) -> Before:
    """Return what ends a child with these lines on stderr."""

    def end() -> None:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        os._exit(code)

    return end


@dataclass(frozen=True)
class Planted:
    """A fault, and the kind of finding that it must be."""

    kind: str
    before: Before
    mutate: Mutator = _as_it_is


def _nothing() -> None:
    pass


PLANTED: dict[str, Planted] = {
    "other numbers": Planted("changed number", _nothing, _other_numbers),
    "an exception": Planted(
        "traceback", _leave(1, "Traceback (most recent call last):", "KeyError")
    ),
    "a crash": Planted("crash", lambda: os.kill(os.getpid(), signal.SIGSEGV)),
    "an endless loop": Planted("time", _loop),
    "much memory": Planted("memory", _memory),
    "two sentences": Planted("sentence", _leave(1, "semrsm: one", "semrsm: two")),
    "a sentence of two lines": Planted("sentence", _leave(1, "semrsm: one", "and a half")),
    "no sentence": Planted("sentence", _leave(1)),
    "a long sentence": Planted("sentence", _leave(1, "semrsm: " + "x" * 5000)),
    "an escape": Planted("control characters", _leave(1, "semrsm: \x1b[31mred")),
    "a warning": Planted("warning", _leave(0, "a/b.py:3: RuntimeWarning: overflow")),
    "an odd exit code": Planted("exit code", _leave(3, "semrsm: one")),
}


def kinds_found(folder: Path, fault: Planted, expected: str) -> set[str]:
    """Return the kinds of findings of an RSM file with a planted fault, none if it is overlooked.

    Args:
        folder: Holds the valid files.
        fault: A row of PLANTED.
        expected: What `COMMAND` gives for the file as it is.
    """
    case = Case(0, 0, RSM, COMMAND, fault.mutate)
    [outcome] = run_cases([case], folder, 1, fault.before)
    found = findings(outcome, expected)
    shutil.rmtree(outcome.folder, ignore_errors=True)
    return {finding.kind for finding in found}


COMMAND = next(command for command in RSM.commands if command.startswith("@read"))


def report(folder: Path) -> int:
    """Plant every fault and print whether it is seen; return the exit code."""
    began = time.monotonic()
    values = expected_values(folder, everything(), 1)
    print(f"{len(values)} commands take valid files ({time.monotonic() - began:.0f} s)")
    missed = 0
    for name, fault in PLANTED.items():
        kinds = kinds_found(folder, fault, values[RSM.file, COMMAND])
        missed += fault.kind not in kinds
        print(f"{name}: {'seen' if fault.kind in kinds else 'OVERLOOKED'} ({', '.join(kinds)})")
    return 1 if missed else 0
