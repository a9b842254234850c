"""From an RSM file to a file that others read: checked before anything is written, then written aside."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semrsm.errors import SemrsmError
from semrsm.export.content import DISTANCES, WORKING, Content, ExportedRsm, refuse_distances
from semrsm.export.targets import TARGETS, Target
from semrsm.machine import default_memory, require_memory
from semrsm.names import look_up
from semrsm.rsms import Rsm, open_rsms
from semrsm.storage.labels import AddressOrArray, read_labels, rows_of
from semrsm.storage.whole_files import aside, aside_folder

BESIDE = ("samples", "column_samples", "labels")  # names of arrays that are no layer


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        records: One for each RSM: output, layer, matcher, kernel, values, rows, columns.
        notes: What the file does not keep, sentences for people.
    """

    records: list[dict[str, Any]]
    notes: tuple[str, ...]


def export_rsms(
    address: str | Path | Rsm,
    out: Path,
    to: str,
    *,
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    values: str | None = None,
    labels: AddressOrArray | None = None,
    by_position: bool = False,
    memory: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write RSMs as another tool reads them, whole or not at all.

    Args:
        address: An RSM file or a plain matrix, `path` or `path::layer`.
        out: What to write.
        to: A key of TARGETS.
        layers: Globs; none means all.
        kernel: Finished where not stored; None takes the first that is stored.
        values: "similarities" or "distances"; None is what the target usually holds.
        labels: What `read_labels` reads: kept beside the RSMs where the target has a place for them.
        by_position: Row i of the labels is of sample i, whatever ids they have.
        memory: Bytes that may be taken; None means half of the machine's.
        overwrite: Replace the output if it exists.

    Raises:
        SemrsmError: An input, an option or the output is not as it must be; a target cannot hold what is
            asked for, or its library is missing; or it does not fit in memory, with the number.
    """
    target = look_up(TARGETS, to, "target")
    _check_target(target, out)
    kind = _values(target, values)
    # Distances are of what is left of large numbers: finished anew, in float64.
    rsms = open_rsms(address, layers=layers, kernel=kernel, stored=kind != DISTANCES)
    _check_rsms(target, rsms)
    granted = memory or default_memory()
    needed = sum(target.whole_bytes * math.prod(rsm.shape) for rsm in rsms)
    needed += max(rsm.row_need(WORKING) for rsm in rsms)
    what = f"writing {len(rsms)} RSMs of {rsms[0].shape[0]} x {rsms[0].shape[1]} as {to}"
    require_memory(what, needed, granted, _otherwise(target))
    if kind == DISTANCES:
        for rsm in rsms:
            refuse_distances(rsm)
    exported = [_exported(rsm, kind == DISTANCES, granted - needed) for rsm in rsms]
    content = Content(
        exported,
        rsms[0].samples,
        rsms[0].column_samples,
        None if labels is None else _labels(target, rsms[0], labels, by_position),
        granted,
    )
    with (aside_folder if target.folder else aside)(out, overwrite) as partial:
        target.write(partial, content)
    return Exported([_record(out, one) for one in exported], tuple(_lost(target, content)))


def _check_target(target: Target, out: Path) -> None:
    """Raise SemrsmError for a name that readers of the target would not take, or a missing library."""
    if out.suffix.lower() not in target.suffixes:
        raise SemrsmError(
            f"{out} ends in '{out.suffix}', and {target.name} is read from {' or '.join(target.suffixes)};"
            " choose another `out`"
        )
    if target.library and importlib.util.find_spec(target.library) is None:
        raise SemrsmError(
            f"{target.name} needs {target.library}, which is not installed; pip install 'semrsm[export]'"
        )


def _values(target: Target, values: str | None) -> str:
    kind = values or target.values[0]
    if kind not in target.values:
        known = " or ".join(target.values)
        raise SemrsmError(f"{target.name} holds {known}, not '{kind}'; change `values`")
    return kind


def _check_rsms(target: Target, rsms: Sequence[Rsm]) -> None:
    """Raise SemrsmError for RSMs that the target cannot hold."""
    named = ", ".join(str(rsm.layer) for rsm in rsms)
    if len(rsms) > 1 and not target.several:
        raise SemrsmError(
            f"{target.name} holds one RSM and there are {len(rsms)} layers: {named}; choose one with `layer`,"
            " or another target"
        )
    for rsm in rsms:
        if rsm.shape != rsms[0].shape:
            raise SemrsmError(
                f"{rsms[0].address} and {rsm.address} differ in shape; choose `layer`"
            )
        if not rsm.symmetric and not target.rectangular:
            raise SemrsmError(
                f"{rsm.address} is rectangular, {rsm.shape[0]} x {rsm.shape[1]}, and {target.name} holds"
                " square RSMs; take npy, npz, csv, mat, parquet or zarr"
            )
        if rsm.layer in BESIDE and target.several:
            raise SemrsmError(
                f"the layer '{rsm.layer}' has the name under which {target.name} keeps something else;"
                " take npy"
            )
    n_bytes = 8 * math.prod(rsms[0].shape) * len(rsms)
    if target.most_bytes is not None and n_bytes > target.most_bytes:
        raise SemrsmError(
            f"the RSMs take up to {n_bytes:,} bytes and {target.name} holds {target.most_bytes:,};"
            " take fewer layers, or npz"
        )


def _otherwise(target: Target) -> str:
    return "take npz, which is written by blocks" if target.whole_bytes else "take fewer samples"


def _exported(rsm: Rsm, distances: bool, left: int) -> ExportedRsm:
    memory = max(left, rsm.row_need(WORKING))
    return ExportedRsm(rsm, rsm.layer or "rsm", distances, memory)


def _labels(target: Target, rsm: Rsm, labels: AddressOrArray, by_position: bool) -> list[str]:
    """Return the label of each row; several of one sample are joined by ";"."""
    if not target.labels:
        able = ", ".join(row.name for row in TARGETS.values() if row.labels)
        raise SemrsmError(f"{target.name} keeps no labels; leave `labels` out, or take {able}")
    label_sets = read_labels(labels, by_position=by_position)
    rows = rows_of(label_sets, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
    return [";".join(sorted(label_sets.sets[row])) for row in rows]


def _lost(target: Target, content: Content) -> list[str]:
    if content.samples is None or target.samples:
        return []
    able = ", ".join(row.name for row in TARGETS.values() if row.samples)
    return [f"{target.name} keeps no ids of the samples; {able} do"]


def _record(out: Path, one: ExportedRsm) -> dict[str, Any]:
    rows, columns = one.shape
    return {
        "output": str(out),
        "layer": one.rsm.layer,
        "matcher": one.rsm.matcher,
        "kernel": one.rsm.kernel,
        "values": one.measure,
        "rows": rows,
        "columns": columns,
    }
