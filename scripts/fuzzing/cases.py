"""From a seed and a number to a case: which file, what is done to it, which command reads it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzzing.byte_edits import mutate_bytes, replace, splice
from fuzzing.mutation import Mutation, Mutator
from fuzzing.odd_things import pick
from fuzzing.targets import TARGETS, Target, arguments_of, name_in_case

# Of a hundred mutations so many are structural, of bytes, spliced, or put something else in place.
STRUCTURAL, BYTES, SPLICED = 50, 44, 5


@dataclass(frozen=True)
class Case:
    """One mutation and one command.

    Attributes:
        seed: Of the fuzzer's run.
        number: Of the case in the run.
        target: The file.
        command: A row of the target's commands.
        mutate: What is done to the file; None leaves it as it is.
    """

    seed: int
    number: int
    target: Target
    command: str
    mutate: Mutator | None

    @property
    def name(self) -> str:
        """What the folder of the case is called."""
        return f"{self.seed}-{self.number}"

    def arguments(self) -> list[str]:
        """Return the words of the command line, in the folder of the case."""
        return arguments_of(self.target, self.command, "../../valid")

    def has_numbers(self) -> bool:
        """Say whether no mutation may change what comes out; a status counts tiles."""
        return self.target.numbers and not self.command.startswith(("status", "info {f}.run"))

    def is_libhdf5s_affair(self) -> bool:
        """Say whether damaged HDF5 of others is read in the process itself, not in a child first."""
        contained = self.command.startswith("info") or "--untrusted" in self.command
        return self.target.foreign and not contained


def case_of(seed: int, number: int, only: str = "") -> Case:
    """Return a case; the same for the same seed and number.

    Args:
        seed: Of the run.
        number: Of the case.
        only: A part of the name of the files or of the commands that are taken.
    """
    rng = np.random.default_rng([seed, number])
    rows = [t for t in TARGETS for _ in range(t.weight) if _taken(t, only)]
    target = pick(rng, rows)
    chosen = [c for c in target.commands if only in target.file or only in c]
    draw = rng.random() * 100
    if target.is_folder or draw < STRUCTURAL:
        mutate = target.edit
    elif draw < STRUCTURAL + BYTES:
        mutate = mutate_bytes
    else:
        mutate = splice if draw < STRUCTURAL + BYTES + SPLICED else replace
    return Case(seed, number, target, pick(rng, chosen), mutate)


def _taken(target: Target, only: str) -> bool:
    return only in target.file or any(only in command for command in target.commands)


def unchanged(target: Target, command: str) -> Case:
    """Return the case of a file as it is."""
    return Case(0, -1, target, command, None)


def prepare(case: Case, valid: Path, folder: Path) -> Mutation:
    """Make the folder of a case: the mutated file in it."""
    folder.mkdir(parents=True)
    path = folder / name_in_case(case.target)
    source = valid / case.target.file
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, path)
    if case.mutate is None:
        return Mutation("nothing")
    if case.mutate is splice:
        shutil.copyfile(valid / _spare(case), folder / "spare")
    made = case.mutate(path, np.random.default_rng([case.seed, case.number, 1]))
    (folder / "spare").unlink(missing_ok=True)
    return made


def _spare(case: Case) -> str:
    """Return the name of another valid file, of the same kind where there is one."""
    rng = np.random.default_rng([case.seed, case.number, 2])
    names = [t.file for t in TARGETS if not t.is_folder]
    same = [n for n in names if Path(n).suffix == Path(case.target.file).suffix]
    return pick(rng, same if rng.random() < 0.7 else names)
