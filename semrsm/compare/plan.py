"""What a comparison holds in memory, decided before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from semrsm.compare.samples import ComparedRsm, strip_bytes
from semrsm.machine import default_memory, require_memory
from semrsm.measures.memory import FOR_BLOCKS, NEEDS

Prepare = Callable[..., Any]


@dataclass(frozen=True)
class ComparisonPlan:
    """What is held at once.

    Attributes:
        loaded: Every RSM is read into memory once; otherwise blocks of its rows, again and again.
        rows: For each function that prepares RSMs, how many of the table's rows are prepared together.
    """

    loaded: bool
    rows: dict[Prepare, int]


def plan_comparison(
    rsms: list[ComparedRsm],
    prepares: Iterable[Prepare],
    *,
    resample: bool = False,
    permute: bool = False,
    memory: int | None = None,
) -> ComparisonPlan:
    """Decide what a comparison holds: as much as fits, so that each RSM is read and prepared once.

    Args:
        rsms: All RSMs of the table, of the same n.
        prepares: The functions that the measures prepare RSMs with, keys of NEEDS.
        resample: Bootstrap intervals are wanted, which need two whole RSMs in memory.
        permute: Permutation tests are wanted, which need as much and a copy.
        memory: Bytes granted; None means `default_memory()`.

    Raises:
        SemrsmError: Not even one pair at a time fits; says how much that would need.
    """
    granted = default_memory() if memory is None else memory
    entries = rsms[0].shape[0] ** 2
    sizes = [rsm.dtype.itemsize * entries for rsm in rsms]
    itemsize = max(rsm.dtype.itemsize for rsm in rsms)
    pair = 2 * itemsize * entries if resample or permute else 0
    least = {
        prepare: FOR_BLOCKS
        + 2 * strip_bytes(rsms[0].shape[0])
        + _working(prepare, resample, permute, itemsize) * entries
        for prepare in prepares
    }
    needed = max(least.values()) + pair
    what = f"comparing RSMs of {rsms[0].shape[0]} samples like this"
    require_memory(what, needed, granted, "choose another measure, such as cka")
    # Preparing an RSM again costs more than reading it again: prepared ones are held first.
    held = (len(rsms) - 1) * max(NEEDS[prepare].held for prepare in least) * entries
    loaded = max(least.values()) + held + sum(sizes) <= granted
    left = granted - (sum(sizes) if loaded else pair)
    return ComparisonPlan(
        loaded,
        {
            prepare: 1 + int((left - bytes_) / max(1, NEEDS[prepare].held * entries))
            for prepare, bytes_ in least.items()
        },
    )


def _working(prepare: Prepare, resample: bool, permute: bool, itemsize: int) -> float:
    """Bytes for each entry that one pair takes beside the RSMs themselves."""
    need = NEEDS[prepare]
    pair = max(need.held + need.prepare, 2 * need.held + need.compare)
    kept = 2 * need.held  # while intervals and p-values are found, which prepare the pair once more
    return max(
        pair,
        kept + max(pair, need.resample) if resample else 0,
        kept + pair + itemsize if permute else 0,
    )
