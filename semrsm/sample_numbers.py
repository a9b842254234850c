"""Numbers of samples in a file: as few words as they take, and which of them an RSM is of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import eq

_PART = re.compile(r"(\d{1,18})(?::(\d{1,18})(?::(\d{1,18}))?)?")


def compact(numbers: Iterable[int]) -> Sequence[int]:
    """Return ascending numbers as a range where they are one, else as a tuple: equal ones are equal.

    >>> compact([4, 6, 8]), compact([0, 1, 5]), compact(range(0, 6, 5))
    (range(4, 9, 2), (0, 1, 5), (0, 5))
    """
    sequence = numbers if isinstance(numbers, range) else tuple(numbers)
    if len(sequence) < 2:
        return range(sequence[0], sequence[0] + 1) if sequence else range(0)
    step = sequence[1] - sequence[0]
    if step > 1 and len(sequence) == 2:
        return tuple(sequence)
    spread = range(sequence[0], sequence[-1] + 1, step)
    if isinstance(sequence, range):  # of any length
        return spread
    return spread if len(spread) == len(sequence) and all(map(eq, spread, sequence)) else sequence


def runs_of(numbers: Sequence[int]) -> list[range]:
    """Return ascending numbers as ranges, each as long as can be; a range is one.

    >>> runs_of((0, 1, 2, 7, 9))
    [range(0, 3), range(7, 8), range(9, 10)]
    """
    if isinstance(numbers, range):
        return [numbers] if numbers else []
    ends = [k for k, (a, b) in enumerate(pairwise(numbers), start=1) if b != a + 1]
    starts = [0, *ends] if numbers else []
    return [
        range(numbers[a], numbers[b - 1] + 1)
        for a, b in zip(starts, [*ends, len(numbers)], strict=False)
    ]


def spans(numbers: Iterable[int]) -> str:
    """Return ascending numbers as text: START:STOP, START:STOP:STEP, single ones, or a list of these.

    >>> spans(range(20)), spans([4]), spans([0, 1, 2, 7, 9]), spans(range(0, 9, 4))
    ('0:20', '4', '0:3,7,9', '0:9:4')
    """
    sequence = compact(numbers)
    if isinstance(sequence, range) and sequence.step > 1:
        return f"{sequence.start}:{sequence.stop}:{sequence.step}"
    return ",".join(
        f"{run.start}:{run.stop}" if len(run) > 1 else str(run.start) for run in runs_of(sequence)
    )


def ranges_of(text: str) -> list[range] | None:
    """Return what a list of numbers, START:STOP and START:STOP:STEP names; None if it is none.

    >>> ranges_of("4,17,30:40:5"), ranges_of("a.txt")
    ([range(4, 5), range(17, 18), range(30, 40, 5)], None)
    """
    ranges = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if not match or match[3] == "0":
            return None
        start, step = int(match[1]), int(match[3] or 1)
        ranges.append(range(start, start + 1 if match[2] is None else int(match[2]), step))
    return ranges


@dataclass(frozen=True)
class Taken:
    """Which samples of a file an RSM is of.

    Attributes:
        numbers: Their numbers in the file, ascending.
        of: How many samples the file holds; None where that is not known.
    """

    numbers: Sequence[int]
    of: int | None

    @classmethod
    def of_text(cls, text: str, of: int | None, n: int) -> Taken | None:
        """Return what `spans` wrote of n samples; None if it is not that.

        >>> Taken.of_text("0:3,7", 80, 4)
        Taken(numbers=(0, 1, 2, 7), of=80)
        """
        ranges = ranges_of(text)
        if ranges is None or sum(map(len, ranges)) != n:
            return None
        numbers = [i for part in ranges for i in part]
        ascending = bool(numbers) and all(a < b for a, b in pairwise(numbers))
        if not ascending or (of is not None and numbers[-1] >= of):
            return None
        return cls(compact(numbers), of)

    def __str__(self) -> str:
        """Return the numbers in words: "samples 0:20 of 80"."""
        return f"samples {spans(self.numbers)}" + ("" if self.of is None else f" of {self.of}")
