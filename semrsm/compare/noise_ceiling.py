"""The noise ceiling of measures over several RSMs of one kind: of subjects, seeds or models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semrsm.compare.lookup import measures_of, rdm_of
from semrsm.compare.models import is_model
from semrsm.compare.pairs import Compared, Progress
from semrsm.compare.rdms import as_rdms, note_of_products
from semrsm.compare.samples import as_compared, strip_bytes
from semrsm.compare.sides import open_side
from semrsm.errors import SemrsmError
from semrsm.machine import default_memory, require_memory
from semrsm.measures import MEASURES, Measure
from semrsm.measures.matrices import FOR_BLOCKS
from semrsm.rsms import Rsm, stored_kernels
from semrsm.same_samples import MATCH_IDS, check_same_samples


@dataclass(frozen=True)
class CeilingTable:
    """Noise ceilings, layer by layer.

    Attributes:
        results: A record for each layer and measure, as `records` says.
        notes: What a person should know of how they were made.
    """

    results: Sequence[dict[str, Any]]
    notes: tuple[str, ...]

    def records(self) -> list[dict[str, Any]]:
        """Return records of layer, kernel, measure, lower, upper, rsms (how many) and reason."""
        return [dict(record) for record in self.results]


def noise_ceiling(
    addresses: Sequence[str | Path | Rsm],
    *,
    measures: Sequence[str] = (),
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    distance: bool = False,
    align: bool = False,
    by_position: bool = False,
    rdm: str | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> CeilingTable:
    """Say how alike RSMs of one kind are to their mean: what a model of them can reach.

    Lower: the mean of the measure of each RSM and the mean of the others; upper: of each and the mean
    of all. RSMs belong together that have one layer name; or all of them, where each file gives one.

    Args:
        addresses: RSM files or plain matrices, two at least, as in `compare`.
        measures: Measures that have a ceiling; none means cka and cka-debiased.
        layers: Globs of layers, for every file; none means all.
        kernel: As in `compare`, and so are `distance`, `align`, `by_position`, `rdm`,
            `memory` and `on_progress`.

    Raises:
        SemrsmError: As `compare`; or a measure has no ceiling, or there are no RSMs to belong together.

    Source: Nili et al., PLoS Comput Biol 2014, doi:10.1371/journal.pcbi.1003553; with the values of
    rsatoolbox's boot_noise_ceiling.

    Example:
        >>> table = noise_ceiling(["s1.rsm.h5", "s2.rsm.h5", "s3.rsm.h5"])  # doctest: +SKIP
        >>> table.records()[0]["lower"], table.records()[0]["upper"]  # doctest: +SKIP
        (0.71, 0.84)
    """
    rows = measures_of(measures)
    if without := [row.name for row in rows if row.ceiling is None]:
        offered = ", ".join(row.name for row in MEASURES.values() if row.ceiling)
        raise SemrsmError(f"{without[0]} has no noise ceiling; choose among {offered}")
    if models := [address for address in addresses if is_model(address)]:
        raise SemrsmError(
            f"{models[0]} is a model and has no noise; compare it in a call of its own"
        )
    conversion = rdm_of(rdm, rows, distance)
    stored = conversion is None or conversion.negative_half is None
    first = kernel or next((k for address in addresses for k in stored_kernels(address)), None)
    opened = [open_side(address, layers, first, stored) for address in addresses]
    groups, notes = _groups(opened)
    if conversion is None:
        notes += note_of_products([rsm for side in opened for rsm in side], rows)
    results = []
    for done, (layer, rsms) in enumerate(groups.items(), start=1):
        compared = as_compared(rsms, align=align, by_position=by_position, distance=distance)
        unsure = None if align else check_same_samples(rsms, MATCH_IDS, by_position=by_position)
        notes += [unsure] if unsure else []
        rdms: Sequence[Compared] = compared
        if conversion is not None and conversion.negative_half is not None:
            rdms, notes_of_rdms = as_rdms(compared, conversion)
            notes += notes_of_rdms
        for row in rows:
            read = rdms if row.of_pairs else compared
            record = {"layer": layer, "kernel": rsms[0].kernel, "measure": row.name}
            results.append(record | _ceiling(row, read, memory))
        if on_progress:
            on_progress(", ".join(row.name for row in rows), done, len(groups))
    if all(record["lower"] is None for record in results):
        raise SemrsmError(results[0]["reason"])
    return CeilingTable(results, tuple(notes))


def _groups(opened: Sequence[Sequence[Rsm]]) -> tuple[dict[str | None, list[Rsm]], list[str]]:
    """Return the RSMs that belong together, by the name of their layer, and which were left out."""
    if all(len(side) == 1 for side in opened):
        names = dict.fromkeys(side[0].layer for side in opened)
        groups = {next(iter(names)) if len(names) == 1 else None: [side[0] for side in opened]}
    else:
        by_name = [{rsm.layer: rsm for rsm in side} for side in opened]
        common = [name for name in by_name[0] if all(name in side for side in by_name)]
        groups = {name: [side[name] for side in by_name] for name in common}
    alone = [
        rsm.address
        for side in opened
        for rsm in side
        if not any(rsm is one for rsms in groups.values() for one in rsms)
    ]
    if not groups:
        raise SemrsmError(
            f"no layer has its name in all of {len(opened)} files; name one of each: path::layer"
        )
    if len(opened) < 2:
        raise SemrsmError("a noise ceiling is over several RSMs, and there is one; name more")
    return groups, [
        f"layers that are not in every file are left out: {', '.join(alone)}"
    ] if alone else []


def _ceiling(measure: Measure, rsms: Sequence[Compared], memory: int | None) -> dict[str, Any]:
    """Return lower, upper, rsms and reason of one measure and some RSMs of the same samples."""
    n, need = rsms[0].shape[0], measure.need
    entries = len(rsms) * need.resident + need.prepare + need.compare + need.resident
    needed = FOR_BLOCKS + len(rsms) * (strip_bytes(n) + FOR_BLOCKS // 8) + int(entries * n**2)
    granted = default_memory() if memory is None else memory
    require_memory(
        f"the noise ceiling of {len(rsms)} RSMs of {n} samples", needed, granted, "take cka"
    )
    try:
        assert measure.ceiling is not None
        ceiling = measure.ceiling([_prepared(measure, rsm) for rsm in rsms], measure.compare)
    except SemrsmError as error:
        return {"lower": None, "upper": None, "rsms": len(rsms), "reason": str(error)}
    return {"lower": ceiling.lower, "upper": ceiling.upper, "rsms": len(rsms), "reason": None}


def _prepared(measure: Measure, rsm: Compared) -> Any:
    try:
        return measure.prepare(rsm)
    except SemrsmError as error:
        raise error.within(rsm.name) from error
