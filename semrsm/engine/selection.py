"""Order statistics of more numbers than fit into memory: exact, in two or three passes over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Blocks = Callable[[], Iterable[NDArray[np.float64]]]

BITS = 21  # of the 63 that a number without sign has: three passes read them all
COLLECTED = 1 << 22  # numbers that are sorted at once: 32 MiB


def select(blocks: Blocks, ranks_of: Callable[[int], Sequence[int]]) -> tuple[float, ...]:
    """Return the numbers that would stand at some ranks if all numbers were sorted.

    The bits of a float64 that is not negative, read as an integer, are in the order of the numbers.
    So a first pass counts the numbers by their 21 leading bits, and a second one collects those that
    share them with a wanted number; only where these are too many does a pass count 21 bits more.

    Args:
        blocks: Gives the numbers, float64 and at least 0, in blocks of any shape; called once a pass,
            and must give the same numbers each time.
        ranks_of: (how many numbers there are) -> the ranks wanted, from 0 for the smallest.

    Returns:
        A number for each rank; none where there are no numbers.

    >>> select(lambda: [np.array([4.0, 1.0]), np.array([[9.0, 16.0]])], lambda n: (0, (n - 1) // 2, 3))
    (1.0, 4.0, 16.0)
    """
    shift = 63 - BITS
    [counts] = _count(blocks, {0}, shift).values()
    total = int(counts.sum())
    if not total:
        return ()
    found = [_narrow(counts, 0, rank) for rank in ranks_of(total)]
    while shift:
        prefixes = {prefix for prefix, _, _ in found}
        if sum({prefix: size for prefix, _, size in found}.values()) <= COLLECTED:
            values = _collect(blocks, prefixes, shift)
            return tuple(float(values[prefix][rank]) for prefix, rank, _ in found)
        shift -= BITS
        by_prefix = _count(blocks, prefixes, shift)
        found = [_narrow(by_prefix[prefix], prefix, rank) for prefix, rank, _ in found]
    return tuple(float(np.int64(prefix).view(np.float64)) for prefix, _, _ in found)


def _bits(block: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bits of numbers as integers; adding 0 turns -0.0 into 0.0."""
    return (np.ascontiguousarray(block, np.float64).ravel() + 0.0).view(np.int64)


def _count(blocks: Blocks, prefixes: set[int], shift: int) -> dict[int, NDArray[np.int64]]:
    """Count, of the numbers that begin with each prefix, the next 21 bits above `shift`."""
    counts = {prefix: np.zeros(1 << BITS, np.int64) for prefix in prefixes}
    for block in blocks():
        leading = _bits(block) >> shift
        for prefix, count in counts.items():
            inside = leading if shift + BITS == 63 else leading[leading >> BITS == prefix]
            count += np.bincount(inside - (prefix << BITS), minlength=len(count))
    return counts


def _narrow(counts: NDArray[np.int64], prefix: int, rank: int) -> tuple[int, int, int]:
    """Return the longer prefix that holds a rank, the rank among its numbers, and how many they are."""
    ends = counts.cumsum()
    place = int(np.searchsorted(ends, rank, side="right"))
    return (prefix << BITS) + place, rank - int(ends[place] - counts[place]), int(counts[place])


def _collect(blocks: Blocks, prefixes: set[int], shift: int) -> dict[int, NDArray[np.float64]]:
    """Return the numbers that begin with each prefix, sorted."""
    parts: dict[int, list[NDArray[np.int64]]] = {prefix: [] for prefix in prefixes}
    for block in blocks():
        bits = _bits(block)
        leading = bits >> shift
        for prefix, held in parts.items():
            held.append(bits[leading == prefix])
    return {
        prefix: np.sort(np.concatenate(held)).view(np.float64) for prefix, held in parts.items()
    }
