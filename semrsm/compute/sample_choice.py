"""Which samples a run takes: a slice, a list from a file, some at random; and which it leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semrsm.compute.parsers import WHOLE
from semrsm.errors import SemrsmError
from semrsm.sample_numbers import compact, ranges_of
from semrsm.storage.sample_ids import ID_NAMES, read_sample_list

SLICE = re.compile(rf"(-?{WHOLE})?:(-?{WHOLE})?(?::(-?{WHOLE})?)?")
RANDOM = re.compile(rf"random:({WHOLE})")
FORMS = "START:STOP[:STEP], such as 0:1000, random:K or a file of ids or numbers"

Ids = Callable[
    [int], Sequence[str] | None
]  # how many samples -> their ids, None where there are none


@dataclass(frozen=True)
class SampleChoice:
    """Which samples are taken.

    Attributes:
        text: As it was given.
        part: Of a slice.
        count: So many at random; None unless they are.
        listed: Ids or numbers; None unless they are listed.
    """

    text: str
    part: tuple[int | None, int | None, int | None] = (None, None, None)
    count: int | None = None
    listed: tuple[str, ...] | None = None


ALL = SampleChoice(":")


@dataclass(frozen=True)
class Chosen:
    """The samples of a file that a run takes.

    Attributes:
        numbers: Counted in the file, ascending.
        note: What should be known of how they were chosen, or None.
    """

    numbers: Sequence[int]
    note: str | None = None


def parse_samples(value: Any) -> SampleChoice:
    """Return which samples START:STOP[:STEP], random:K, the name of a file or a list of them means.

    >>> parse_samples("0:100:2").part, parse_samples("random:5").count, parse_samples([4, 17]).listed
    ((0, 100, 2), 5, ('4', '17'))
    """
    if isinstance(value, SampleChoice):
        return value
    if not isinstance(value, str):
        return _parse_list(value)
    if match := SLICE.fullmatch(value):
        start, stop, step = (int(part) if part else None for part in match.groups())
        if step is not None and step < 1:
            raise SemrsmError(f"the STEP of samples must be at least 1, got {value!r}")
        return SampleChoice(value, (start, stop, step))
    if match := RANDOM.fullmatch(value):
        if int(match[1]) < 1:
            raise SemrsmError(f"random:K of samples must be at least random:1, got {value!r}")
        return SampleChoice(value, count=int(match[1]))
    try:
        return SampleChoice(value, listed=tuple(read_sample_list(value)))
    except SemrsmError as error:
        if re.fullmatch(r"[\d:,\s-]*|random.*", value):  # meant for numbers, and not for a file
            raise SemrsmError(f"samples must be {FORMS}, got {value!r}") from error
        raise SemrsmError(f"samples must be {FORMS}: {error}") from error


def _parse_list(value: Any) -> SampleChoice:
    entries = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(e, int | str) for e in entries):
        raise SemrsmError(f"samples must be {FORMS}, got {value!r}")
    listed = tuple(map(str, entries))
    if not listed or len(set(listed)) < len(listed):
        raise SemrsmError(f"a list of samples must name at least one, and each once, got {value!r}")
    return SampleChoice(f"{len(listed)} listed", listed=listed)


def parse_exclude(value: Any) -> str:
    """Return I,J,… with single numbers and START:STOP as it is, once it is seen to be that.

    >>> parse_exclude("4,17"), parse_exclude([4, 17]), parse_exclude(4)
    ('4,17', '4,17', '4')
    """
    listed = isinstance(value, list | tuple | np.ndarray)
    text = ",".join(map(str, value)) if listed else str(value)
    if isinstance(value, bool) or ranges_of(text) is None:
        raise SemrsmError(
            f"exclude must be numbers of samples, such as 4,17 or 4,30:40, got {value!r}"
        )
    return text


def choose_samples(
    samples: SampleChoice | None, exclude: str | None, seed: int, n: int, ids: Ids
) -> Chosen:
    """Return which of n samples a run takes, in the order of the file.

    Args:
        samples: Which; None means all.
        exclude: Which of them not, counted in the file; numbers beyond n leave out nothing.
        seed: Of a random choice.
        n: How many there are.
        ids: Gives their ids; asked where ids or numbers are listed.

    Raises:
        SemrsmError: No sample is left, or one that is listed is not there.

    >>> choose_samples(parse_samples("0:100"), "1:5", 0, 6, lambda n: None).numbers
    (0, 5)
    """
    choice = samples or ALL
    if choice.listed is not None:
        numbers, note = _listed(choice, n, ids(n))
    elif choice.count is not None:
        drawn = np.random.default_rng(seed).permutation(n)[: choice.count]
        numbers, note = compact(sorted(drawn.tolist())), None
    else:
        numbers, note = range(n)[slice(*choice.part)], None
    if _reaches_beyond(choice, n):
        note = f"`samples='{choice.text}'`: there are {n} samples, {len(numbers)} of them are taken"
    if exclude is not None:
        out = {i for part in ranges_of(exclude) or () for i in range(n)[_as_slice(part)]}
        numbers = [i for i in numbers if i not in out]
    if not numbers:
        texts = {"samples": samples and samples.text, "exclude": exclude}
        words = " with ".join(f"`{name}='{text}'`" for name, text in texts.items() if text)
        raise SemrsmError(f"{words} leaves none of {n} samples; choose others")
    return Chosen(compact(numbers), note)


def _as_slice(part: range) -> slice:
    return slice(part.start, part.stop, part.step)


def _reaches_beyond(choice: SampleChoice, n: int) -> bool:
    ends = [part for part in choice.part[:2] if part is not None]
    return any(not -n <= part <= n for part in ends) or (choice.count or 0) > n


def refuse_beyond(exclude: str | None, n: int) -> None:
    """Raise SemrsmError if a sample is left out that none of the files, of at most n samples, has."""
    last = max((part[-1] for part in ranges_of(exclude or "") or () if part), default=0)
    if last >= n:
        raise SemrsmError(
            f"`exclude='{exclude}'` names sample {last} and there are {n}, 0 to {n - 1}; name others"
        )


def _listed(
    choice: SampleChoice, n: int, ids: Sequence[str] | None
) -> tuple[Sequence[int], str | None]:
    """Return the samples that are listed: by ids if all of them are ids, else by numbers."""
    listed = choice.listed or ()
    place = {} if ids is None else {sample: i for i, sample in enumerate(ids)}
    if all(entry in place for entry in listed):
        _refuse_twice(listed, ids or ())
        return sorted(place[entry] for entry in listed), _note(choice, n, "ids")
    if all(re.fullmatch(WHOLE, entry) for entry in listed):
        numbers = {int(entry) for entry in listed}
        if max(numbers) >= n:
            raise SemrsmError(
                f"`samples='{choice.text}'` names sample {max(numbers)} and there are {n}, 0 to {n - 1};"
                " name others"
            )
        return sorted(numbers), _note(choice, n, "numbers")
    missing = next(entry for entry in listed if entry not in place)
    there = (
        f"no sample has the id '{missing}'"
        if ids is not None
        else f"'{missing}' is no number, and the file holds no ids ({', '.join(ID_NAMES)})"
    )
    raise SemrsmError(f"`samples='{choice.text}'`: {there}; name samples that are there")


def _refuse_twice(listed: Collection[str], ids: Sequence[str]) -> None:
    distinct_ids = set(listed)
    matches = [sample for sample in ids if sample in distinct_ids]
    if len(matches) > len(distinct_ids):
        twice = next(sample for k, sample in enumerate(matches) if sample in matches[:k])
        raise SemrsmError(
            f"the sample id '{twice}' stands twice in the file; choose by numbers, or give every sample an"
            " id of its own"
        )


def _note(choice: SampleChoice, n: int, by: str) -> str:
    count = len(choice.listed or ())
    return f"`samples='{choice.text}'`: {count} of {n} samples are taken, by their {by}"
