"""Running many cases: valid files first, then what they give, then the mutations; findings by cause."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing import valid_files
from fuzzing.cases import case_of, unchanged
from fuzzing.children import Outcome, run_cases
from fuzzing.targets import TARGETS, Target
from fuzzing.verdict import Finding, findings

from semrsm.compute import grid

Expected = Mapping[tuple[str, str], str]
APART = ("crash", "time", "memory")  # what libhdf5 may do to files of others


@dataclass
class Summary:
    """What became of many cases.

    Attributes:
        codes: How many cases ended how.
        causes: How many cases have a finding, by its kind and cause.
        apart: The same for what libhdf5 does to activation files.
        first: The number of the first case of a cause.
        last: All that the last case wrote.
    """

    codes: Counter[str] = field(default_factory=Counter)
    causes: Counter[Finding] = field(default_factory=Counter)
    apart: Counter[Finding] = field(default_factory=Counter)
    first: dict[Finding, str] = field(default_factory=dict)
    last: str = ""

    @property
    def failed(self) -> int:
        """How many findings there are."""
        return sum(self.causes.values())

    def __str__(self) -> str:
        """Return a table: cases, then causes, the most frequent first."""
        cases = ", ".join(f"{n} {name}" for name, n in sorted(self.codes.items()))
        lines = [f"{sum(self.codes.values())} cases: {cases}; {self.failed} findings"]
        for title, counted in (("", self.causes), ("libhdf5, apart: ", self.apart)):
            for finding, n in counted.most_common():
                lines.append(
                    f"{n:6} {title}{finding.kind}: {finding.cause!s}; first {self.first[finding]}"
                )
        return "\n".join(lines)


def make_valid_files(folder: Path) -> None:
    """Write the valid files into `folder`/valid, in a child: making them may start threads.

    What the child imported on the way is imported here, too, so that no case has to do it again.
    """
    grid.LARGEST_EDGE = 4  # so few samples would be one tile
    shutil.rmtree(folder / "valid", ignore_errors=True)
    (folder / "valid").mkdir(parents=True)
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _be_maker(folder)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError(f"no valid files: {(folder / 'making').read_text()[-2000:]}")
    for name in (folder / "modules").read_text().split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("threads run in this process, which cannot be forked safely then")


def _be_maker(folder: Path) -> None:
    code = 1
    try:
        log = os.open(folder / "making", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        os.chdir(folder / "valid")
        valid_files.make(Path())
        names = [n for n in sys.modules if not n.startswith(("__", "_distutils", "encodings"))]
        (folder / "modules").write_text("\n".join(names))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def expected_values(folder: Path, wanted: Iterable[tuple[Target, str]], jobs: int) -> Expected:
    """Return what commands give for files as they are, by name of the file and command.

    Raises RuntimeError if a command does not take a valid file: its mutations would show nothing.
    """
    values: dict[tuple[str, str], str] = {}
    for target, command in dict.fromkeys(wanted):
        for outcome in run_cases([unchanged(target, command)], folder, jobs):
            if outcome.code != 0 or findings(outcome, None):
                raise RuntimeError(f"{command} fails for a valid {target.file}: {outcome.stderr}")
            values[target.file, command] = outcome.values or ""
            shutil.rmtree(outcome.folder)
    return values


def everything() -> list[tuple[Target, str]]:
    """Return every file with every command that reads it."""
    return [(target, command) for target in TARGETS for command in target.commands]


def fuzz(folder: Path, seed: int, numbers: Sequence[int], jobs: int, only: str = "") -> Summary:
    """Run cases and print each that fails, with the command that does it again.

    Args:
        folder: Holds the valid files.
        seed: Of all cases.
        numbers: Of the cases.
        jobs: Children at a time.
        only: Part of the name of the files, or of the commands, that are taken.
    """
    cases = [case_of(seed, number, only) for number in numbers]
    wanted = [(case.target, case.command) for case in cases if case.has_numbers()]
    expected = expected_values(folder, wanted, jobs)
    summary = Summary()
    for outcome in run_cases(cases, folder, jobs):
        case = outcome.case
        found = findings(outcome, expected.get((case.target.file, case.command)))
        _count(summary, outcome, found)
        summary.last = described(outcome, found)
        if found:
            again = f"scripts/fuzz --seed {seed} --case {case.number}"
            again += f" --only {shlex.quote(only)}" if only else ""
            kept = _keep(folder, outcome, f"{again}\n\n{summary.last}")
            print(f"{again}  # {found[0].kind}: {found[0].cause}; kept in {kept}", flush=True)
        else:
            shutil.rmtree(outcome.folder, ignore_errors=True)
    return summary


def _count(summary: Summary, outcome: Outcome, found: Sequence[Finding]) -> None:
    ended = f"exit {outcome.code}" if outcome.signal is None else f"signal {outcome.signal}"
    summary.codes[ended] += 1
    for finding in found:
        apart = outcome.case.is_libhdf5s_affair() and finding.kind in APART
        (summary.apart if apart else summary.causes)[finding] += 1
        summary.first.setdefault(finding, outcome.case.name)


def described(outcome: Outcome, found: Sequence[Finding]) -> str:
    """Return all that is known of a case."""
    case = outcome.case
    lines = [
        f"case {case.name}: {case.target.file}: {outcome.mutation}",
        f"command: semrsm {shlex.join(case.arguments())}",
        f"exit code {outcome.code}, signal {outcome.signal}, {outcome.memory >> 20} MiB,"
        f" {outcome.seconds:.2f} s",
        *(f"finding: {f.kind}: {f.cause}" for f in found),
        f"stdout: {outcome.stdout[:4000]}",
        f"stderr: {outcome.stderr[:8000]}",
    ]
    return "\n".join(lines)


def _keep(folder: Path, outcome: Outcome, text: str) -> Path:
    kept = folder / "failures" / outcome.case.name
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(exist_ok=True)
    outcome.folder.rename(kept)
    (kept / "case.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return kept
