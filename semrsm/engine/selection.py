"""Order statistics of more numbers than fit into memory: exact, in two to four passes over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Blocks = Callable[[], Iterable[NDArray[np.floating]]]

BITS = 21  # that a pass counts; the first counts the sign, too
COLLECTED = 1 << 22  # numbers that are sorted at once: 32 MiB
NEEDS = 128 << 20  # bytes that a selection takes at most, beside the blocks and a copy of each


def select(blocks: Blocks, ranks_of: Callable[[int], Sequence[int]]) -> tuple[float, ...]:
    """Return the numbers that would stand at some ranks if all numbers were sorted.

    The bits of a float64, read as an integer and turned round below zero, are in the order of the
    numbers. So a first pass counts the numbers by their 22 leading bits, and a second one collects
    those that share them with a wanted number; only where these are too many does a pass count 21
    bits more.

    Args:
        blocks: Gives the numbers, without NaN, in blocks of any shape; called once a pass, and must
            give the same numbers each time.
        ranks_of: (how many numbers there are) -> the ranks wanted, from 0 for the smallest.

    Returns:
        A number for each rank; none where there are no numbers.

    >>> select(lambda: [np.array([4.0, -1.0]), np.array([[9.0, 16.0]])], lambda n: (0, (n - 1) // 2, 3))
    (-1.0, 4.0, 16.0)
    """
    shift = 63 - BITS
    whole = _Counts()
    for block in blocks():
        whole.add(_bits(block) >> shift)
    if not whole.total:
        return ()
    bins = [whole.narrow(rank) for rank in ranks_of(whole.total)]
    while shift:
        prefixes = {prefix for prefix, _, _ in bins}
        if sum({prefix: size for prefix, _, size in bins}.values()) <= COLLECTED:
            values = _collect(blocks, prefixes, shift)
            return tuple(_number(values[prefix][rank]) for prefix, rank, _ in bins)
        shift -= BITS
        by_prefix = _count(blocks, prefixes, shift)
        bins = [by_prefix[prefix].narrow(rank) for prefix, rank, _ in bins]
    return tuple(_number(prefix) for prefix, _, _ in bins)


def quantiles(blocks: Blocks, shares: Sequence[float]) -> tuple[float, ...]:
    """Return quantiles as np.quantile does, linear between two numbers; NaN where there are none.

    Args:
        blocks: As for `select`.
        shares: From 0 to 1; 0.5 is the median.

    >>> quantiles(lambda: [np.array([3.0, -1.0]), np.array([0.0, 1.0])], (0.5, 1.0))
    (0.5, 3.0)
    """
    places: list[float] = []

    def ranks_of(n: int) -> list[int]:
        places.extend(share * (n - 1) for share in shares)
        return [rank for place in places for rank in (math.floor(place), math.ceil(place))]

    numbers = select(blocks, ranks_of)
    if not numbers:
        return (math.nan,) * len(shares)
    ends = zip(numbers[::2], numbers[1::2], places, strict=True)
    return tuple(low + (high - low) * (place % 1) for low, high, place in ends)


def _bits(block: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the bits of numbers as integers in their order; adding 0 turns -0.0 into 0.0."""
    bits = (np.ascontiguousarray(block, np.float64).ravel() + 0.0).view(np.int64)
    negative = bits < 0
    if negative.any():
        bits[negative] ^= np.int64(2**63 - 1)
    return bits


def _number(bits: int | np.int64) -> float:
    """Return the number that `_bits` made an integer of."""
    value = np.int64(bits)
    return float((value if value >= 0 else value ^ np.int64(2**63 - 1)).view(np.float64))


@dataclass
class _Counts:
    """How often whole numbers occur, kept for the span that they have.

    Attributes:
        first: The smallest number counted.
        counts: Of it and those that follow.
    """

    first: int = 0
    counts: NDArray[np.int64] | None = None

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return 0 if self.counts is None else int(self.counts.sum())

    def add(self, numbers: NDArray[np.int64]) -> None:
        if not len(numbers):
            return
        low, high = int(numbers.min()), int(numbers.max())
        if self.counts is None:
            self.first, self.counts = low, np.zeros(high - low + 1, np.int64)
        below = max(0, self.first - low)
        above = max(0, high + 1 - self.first - len(self.counts))
        if below or above:
            self.first, self.counts = self.first - below, np.pad(self.counts, (below, above))
        part = self.counts[low - self.first : high + 1 - self.first]
        part += np.bincount(numbers - low, minlength=len(part))

    def narrow(self, rank: int) -> tuple[int, int, int]:
        """Return the number at a rank, the rank among those equal to it, and how many these are."""
        assert self.counts is not None
        ends = self.counts.cumsum()
        place = int(np.searchsorted(ends, rank, side="right"))
        count = int(self.counts[place])
        return self.first + place, rank - int(ends[place] - count), count


def _count(blocks: Blocks, prefixes: set[int], shift: int) -> dict[int, _Counts]:
    """Count, of the numbers that begin with each prefix, those that share 21 bits more."""
    counts = {prefix: _Counts() for prefix in prefixes}
    for block in blocks():
        leading = _bits(block) >> shift
        for prefix, count in counts.items():
            count.add(leading[leading >> BITS == prefix])
    return counts


def _collect(blocks: Blocks, prefixes: set[int], shift: int) -> dict[int, NDArray[np.int64]]:
    """Return the bits of the numbers that begin with each prefix, sorted."""
    parts: dict[int, list[NDArray[np.int64]]] = {prefix: [] for prefix in prefixes}
    for block in blocks():
        bits = _bits(block)
        leading = bits >> shift
        for prefix, some in parts.items():
            some.append(bits[leading == prefix])
    return {prefix: np.sort(np.concatenate(some)) for prefix, some in parts.items()}
