"""What a comparison holds in memory, decided before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from semrsm.compare.rdms import ComparedRdm
from semrsm.compare.samples import ComparedRsm, strip_bytes
from semrsm.machine import default_memory, require_memory
from semrsm.measures import Measure, Need
from semrsm.measures.matrices import BLOCK_BYTES, FOR_BLOCKS
from semrsm.measures.resamples import COUNTING

Prepare = Callable[..., Any]


@dataclass(frozen=True)
class ComparisonPlan:
    """What is held at once.

    Attributes:
        loaded: Every RSM is read into memory once; otherwise blocks of its rows, again and again.
        rows: For each function that prepares RSMs, how many of the table's rows are prepared together.
        at_once: How many RSMs are read together, block by block, by measures that compare many.
    """

    loaded: bool
    rows: dict[Prepare, int]
    at_once: int = 2


def plan_comparison(
    rsms: Sequence[ComparedRsm | ComparedRdm],
    measures: Mapping[Prepare, Sequence[Measure]],
    *,
    resample: bool = False,
    permute: bool = False,
    memory: int | None = None,
) -> ComparisonPlan:
    """Decide what a comparison holds: as much as fits, so that each RSM is read and prepared once.

    Args:
        rsms: All RSMs of the table, of the same n.
        measures: The measures by the function that they prepare RSMs with.
        resample: Intervals are wanted: some measures need two whole RSMs in memory for them.
        permute: Permutation tests are wanted, which need two whole RSMs and a copy.
        memory: Bytes granted; None means `default_memory()`.

    Raises:
        SemrsmError: Not even one pair at a time fits; says how much that would need.
    """
    granted = default_memory() if memory is None else memory
    n = rsms[0].shape[0]
    entries = n**2
    sizes = [rsm.dtype.itemsize * entries for rsm in rsms]
    itemsize = max(rsm.dtype.itemsize for rsm in rsms)
    whole = permute or any(m.resample is None for sharing in measures.values() for m in sharing)
    pair = 2 * itemsize * entries if whole and (resample or permute) else 0
    needs = {
        prepare: reduce(or_, (measure.need for measure in sharing))
        for prepare, sharing in measures.items()
    }
    least = {
        prepare: least_bytes(need, n, resample, permute, itemsize)
        for prepare, need in needs.items()
    }
    needed = max(least.values()) + pair
    what = f"comparing RSMs of {n} samples like this"
    require_memory(what, needed, granted, "choose another measure, such as cka")
    # Preparing an RSM again costs more than reading it again: prepared ones are held first.
    kept = {p: need.resident * entries + need.kept_sample * n for p, need in needs.items()}
    other_bytes = (len(rsms) - 1) * max(kept.values())
    loaded = max(least.values()) + other_bytes + sum(sizes) <= granted
    left = granted - (sum(sizes) if loaded else pair)
    strip = 0 if loaded else strip_bytes(n)
    return ComparisonPlan(
        loaded,
        {
            prepare: 1 + int((left - bytes_) / max(1, kept[prepare]))
            for prepare, bytes_ in least.items()
        },
        2 + int((left - max(least.values())) / (BLOCK_BYTES + strip)),
    )


def least_bytes(
    need: Need, n: int, resample: bool = False, permute: bool = False, itemsize: int = 4
) -> float:
    """Return what one pair of RSMs of n samples takes at least, beside RSMs held whole.

    Args:
        need: Of the measure.
        n: Samples.
        resample: With intervals.
        permute: With permutation tests.
        itemsize: Bytes of an entry of the RSMs.
    """
    of_samples = (need.sample + 2 * need.kept_sample) * n
    of_entries = _working(need, resample, permute, itemsize) * n**2
    return FOR_BLOCKS + 2 * strip_bytes(n) + of_entries + of_samples + resample * COUNTING


def _working(need: Need, resample: bool, permute: bool, itemsize: int) -> float:
    """Bytes for each entry that one pair takes beside the RSMs themselves."""
    pair = max(need.resident + need.prepare, 2 * need.resident + need.compare)
    # Intervals and p-values prepare the pair once more, beside what it keeps.
    kept = 2 * need.resident
    return max(
        pair,
        kept + max(pair, need.resample) if resample else 0,
        kept + pair + itemsize if permute else 0,
    )
