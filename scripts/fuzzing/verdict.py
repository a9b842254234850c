"""Whether a case ended as it should, and if not, what is wrong with it in a few words."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from fuzzing.children import MOST_MEMORY, UNPREPARED, Outcome

LONGEST_LINE = 2100  # characters of a sentence: console.LONGEST_SENTENCE, and what stands before it
LONGEST_USAGE = 4000  # of what is said of wrong usage, which may name all that is right
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
WARNING = re.compile(r"^\S+\.py:\d+: \w*Warning", re.MULTILINE)
OWN_FRAME = re.compile(r'File ".*?/(semrsm/[\w/]+\.py)", line \d+, in (\w+)')


@dataclass(frozen=True)
class Finding:
    """What is wrong with a case: its cause, by which findings are counted, and its kind.

    Attributes:
        kind: crash, time, memory, traceback, exit code, sentence, warning, control characters,
            changed number, left behind, or fuzzer.
        cause: In a few words, the same for cases of the same cause.
    """

    kind: str
    cause: str


def findings(outcome: Outcome, expected: str | None) -> list[Finding]:
    """Return what is wrong with a case.

    Args:
        outcome: What became of it.
        expected: The values of the same command on the file as it was; None if any may come out.
    """
    if outcome.code == UNPREPARED:
        return [Finding("fuzzer", outcome.stderr.strip().rpartition("\n")[2][:200])]
    if ended := _ended(outcome):
        return [ended]
    found = [*_memory(outcome), *_text(outcome)]
    if outcome.code == 0:
        return found + _values(outcome, expected)
    return found + (_usage(outcome) if outcome.code == 2 else _sentence(outcome))


def _ended(outcome: Outcome) -> Finding | None:
    """Return what is wrong if the child did not end by itself, or by an exception."""
    command = outcome.case.command.split()[0]
    if outcome.signal == signal.SIGXCPU:
        return Finding("time", f"{command} computes for ever")
    if outcome.signal == signal.SIGKILL:
        return Finding("time", f"{command} waits for ever")
    if outcome.signal is not None:
        return Finding("crash", f"{command}, {signal.Signals(outcome.signal).name}")
    if "Traceback (most recent call last)" in outcome.stderr:
        return Finding("traceback", _cause_of(outcome.stderr))
    if outcome.code not in (0, 1, 2):
        return Finding("exit code", f"{command} ends with {outcome.code}")
    return None


def _cause_of(stderr: str) -> str:
    """Return the exception of a traceback and the last frame of semrsm in it."""
    frames = OWN_FRAME.findall(stderr) or [("?", "?")]
    last = [
        line for line in stderr.splitlines() if re.match(r"[\w.]+(Error|Exception|Interrupt)", line)
    ]
    file, function = frames[-1]
    return f"{(last or ['?'])[-1].split(':')[0]} in {file}, {function}"


def _memory(outcome: Outcome) -> list[Finding]:
    if outcome.memory <= MOST_MEMORY:
        return []
    return [
        Finding("memory", f"{outcome.case.command.split()[0]} takes {outcome.memory >> 20} MiB")
    ]


def _text(outcome: Outcome) -> list[Finding]:
    found = []
    for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if CONTROL.search(text):
            command = " ".join(outcome.case.command.split()[:2])
            found.append(Finding("control characters", f"{name} of {command}"))
    if warning := WARNING.search(outcome.stderr):
        found.append(Finding("warning", warning[0].rpartition("/")[2]))
    return found


def _usage(outcome: Outcome) -> list[Finding]:
    if 0 < len(outcome.stderr) <= LONGEST_USAGE:
        return []
    return [Finding("sentence", f"{len(outcome.stderr)} characters of usage")]


def _sentence(outcome: Outcome) -> list[Finding]:
    """Return what is wrong with the one sentence that says why a command failed."""
    lines = outcome.stderr.split("\n")
    told = [k for k, line in enumerate(lines) if line.startswith("semrsm: ")]
    if told != [len(lines) - 2] or lines[-1]:
        return [Finding("sentence", f"no single one at the end but {outcome.stderr[:80]!r}")]
    found = []
    if longest := [line for line in lines if len(line) > LONGEST_LINE]:
        start = re.sub(r"[\w./~-]*/[\w./~-]+|\d+", "_", longest[0])[:70]
        found.append(Finding("sentence", f"too long: {start}"))
    left = sorted(p.name for p in outcome.folder.iterdir() if p.name.startswith(("out.", ".")))
    if left := [n for n in left if ".run" not in n or n.endswith(".partial")]:
        found.append(Finding("left behind", re.sub(r"\d+", "_", left[0])))
    return found


def _values(outcome: Outcome, expected: str | None) -> list[Finding]:
    values = outcome.values or ""
    if values.startswith("unreadable: "):
        return [Finding("changed number", f"{outcome.case.target.file}: {values}")]
    sealed = outcome.case.target.file.endswith(".run")  # with digests of its numbers
    if expected is None or values == expected or (outcome.valid and not sealed):
        return []
    kind = " ".join(outcome.case.command.split()[:1])
    return [Finding("changed number", f"{outcome.case.target.file}, {kind}")]
