"""Finishing: the tiles of a run -> kernels, sigma and the sealed RSM file."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.description import LAYER_FACTS, OWN_DIAGONAL
from semrsm.compute.options import RunOptions
from semrsm.compute.run_report import LayerReport, gap_summary, versions
from semrsm.compute.space import require_space_for_file
from semrsm.compute.tiled_layer import Folders, TiledLayer
from semrsm.engine.kernels import KERNELS, Finisher, finisher, refuse_unmatched
from semrsm.engine.rounding import n_unsure, stored_type
from semrsm.errors import SemrsmError
from semrsm.machine import default_memory
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import CHUNK, LayerWriter, RsmWriter, writing

Floats = NDArray[np.float64]


def check_kernels(run: Mapping[str, Any], options: RunOptions) -> None:
    """Raise SemrsmError for a kernel that the matcher of a run does not serve."""
    for name in options.kernel:
        refuse_unmatched(KERNELS[name], run["permutation"], run["matcher"])


def _check_diagonal(folders: Folders) -> None:
    """Raise SemrsmError for a run with |x|² on the diagonal where the matcher has its own value."""
    run = folders.run
    symmetric = any(about["storage_mode"] == "symmetric" for about in run["layers"].values())
    if symmetric and not run["permutation"] and not OWN_DIAGONAL.items() <= run.items():
        raise SemrsmError(
            f"{folders.folders[0].path} holds a run of the matcher {run['matcher']} from before its"
            " diagonal was its own value of a sample with itself; begin anew with `restart=True`"
        )


def finish_run(
    folders: Folders,
    out: Path,
    options: RunOptions,
    command: str,
    matching: Mapping[str, tuple[int, float]],
) -> list[LayerReport]:
    """Write the RSM file of a run whose tiles are all there.

    Args:
        folders: Where the tiles are.
        out: The file to write.
        options: `kernel`, `sigma`, `memory` and `overwrite` are used, and all are recorded.
        command: What to record as the command.
        matching: For the layers that were worked on in this sitting, pairs and seconds; the others
            are reported with what their tiles say.

    Raises:
        SemrsmError: A tile is missing or damaged, a kernel cannot be finished, or the file cannot be
            written; the tiles stay as they are.
    """
    run = folders.run
    check_kernels(run, options)
    _check_diagonal(folders)
    require_space_for_file(run, out, options.kernel)
    memory = options.memory or default_memory()
    reports = []
    with writing(out, options.overwrite) as writer:
        if run["sample_ids"]:
            writer.write_samples(run["sample_ids"])
        if run.get("column_ids"):
            writer.write_samples(run["column_ids"], "column_samples")
        for name in run["layers"]:
            layer = TiledLayer(name, folders)
            reports.append(_finish_layer(run, layer, writer, options, memory, matching.get(name)))
        writer.metadata = _metadata(folders, options, command, reports)
    return reports


def _finish_layer(
    run: Mapping[str, Any],
    layer: TiledLayer,
    writer: RsmWriter,
    options: RunOptions,
    memory: int,
    matching: tuple[int, float] | None,
) -> LayerReport:
    """Write one layer: everything of a strip at once, so that the inner products are read once."""
    info = _info(run, layer.name)
    out = writer.layer(info)
    try:
        finishers = {k: finisher(KERNELS[k], options.sigma, layer.matched) for k in options.kernel}
    except SemrsmError as error:
        raise error.within(f"{run['activations']['path']}::{layer.name}") from error
    out.write_squared_norms(layer.scan.rows.squared_norm, layer.scan.columns.squared_norm)
    if layer.scan.rows.value_sum is not None and info.storage_mode == "symmetric":
        out.write_value_sums(layer.scan.rows.value_sum)
    types = {name: _type_of(finish, info) for name, finish in finishers.items()}
    for name, finish in finishers.items():
        out.create_kernel(name, finish.sigma, types[name])
    unsure = 0
    for row, matched, bound in layer.strips(memory):
        unsure += _write_strip(out, row, matched, bound, finishers)
    certificate = gap_summary(layer.gaps) if run["certify"] else None
    provenance = layer.provenance.values()
    # Tiles of earlier versions do not say how many problems were handed over.
    counts = {
        key: sum(m.get(key, 0) for m in provenance) for key in ("solved_again", "handed_over")
    }
    n_pairs, seconds = layer.grid.n_pairs, sum(m["seconds"] for m in provenance)
    solver, device = (_joined(m[key] for m in provenance) for key in ("solver", "device"))
    out.write_parameters(
        dict(run["parameters"])
        | {
            "permutation": run["permutation"],
            "solver": solver,
            "device": device,
            "dtype": run["dtype"],
            "precision": run["precision"],
            **counts,
            "kernel_types": types,
            "unsure": unsure,
            "certificate": certificate,
            "skip_tokens": run["skip_tokens"],
            "pool": run["pool"],
            "samples": run["samples"],
            "pairs": n_pairs,
            "seconds": seconds,
            "fingerprint": layer.scan.rows.fingerprint,
        }
    )
    pairs_now, seconds_now = matching or (n_pairs, seconds)
    return LayerReport(
        info,
        pairs=n_pairs,
        seconds=seconds_now,
        pairs_per_second=pairs_now / seconds_now if seconds_now else 0.0,
        solver=solver,
        device=device or "cpu",
        sigma=next((f.sigma for f in finishers.values() if f.sigma is not None), None),
        certificate=certificate,
        **counts,
        in_float64=tuple(name for name, stored in types.items() if stored == "float64"),
        unsure=unsure,
        fast=_chosen_on_fast_products(run, solver),
    )


def _chosen_on_fast_products(run: Mapping[str, Any], solver: str | None) -> bool:
    """Say whether matchings were chosen on products of few digits."""
    if run["precision"] != "fast":
        return False
    from semrsm.engine.matchers import MATCHERS

    matcher = MATCHERS[run["matcher"]]
    if matcher.value == "exact" and solver == "native":  # which makes its own products
        return False
    return matcher.in_chunks and matcher.permutation and not matcher.needs_plane


def _type_of(finish: Finisher, info: LayerInfo) -> str:
    return stored_type(finish.kernel, finish.row_sq, finish.column_sq, info.n_positions)


def _write_strip(
    out: LayerWriter,
    row: int,
    matched: Floats,
    bound: Floats | None,
    finishers: Mapping[str, Finisher],
) -> int:
    """Write a strip of a layer; return how many of its pairs have an rbf that is not sure."""
    unsure = 0
    out.write_matched(row, matched)
    if bound is not None:
        out.write_upper_bound(row, bound)
    for name, finish in finishers.items():
        # A few rows of chunks at a time: a kernel makes several copies of what it finishes.
        for first in range(0, len(matched), CHUNK):
            part = matched[first : first + CHUNK]
            out.write_kernel(name, row + first, finish(row + first, part))
            symmetric = out.info.storage_mode == "symmetric"
            unsure += n_unsure(finish, row + first, part, symmetric)
    return unsure


def _info(run: Mapping[str, Any], name: str) -> LayerInfo:
    about = run["layers"][name]
    facts = {fact: about[fact] for fact in LAYER_FACTS}
    return LayerInfo(name=name, matcher=run["matcher"], **facts)


def _metadata(
    folders: Folders, options: RunOptions, command: str, reports: list[LayerReport]
) -> dict[str, Any]:
    """Return what is recorded of the run as a whole."""
    run = folders.run
    pairs, seconds = (sum(getattr(r, name) for r in reports) for name in ("pairs", "seconds"))
    return {
        "command": command,
        "options": _options_of(run, options),
        "versions": versions(),
        "device": reports[0].device,
        "solver": reports[0].solver,
        "host": platform.node(),
        "layers": [report.layer for report in reports],
        "seconds": seconds,
        "pairs": pairs,
        "pairs_per_second": pairs / seconds if seconds else None,
        "activations": run["activations"],
        "against": run["against"],
        "taken": run.get("taken"),
        "column_taken": run.get("column_taken"),
        "run": folders.folders[0].run_id,
    }


def _options_of(run: Mapping[str, Any], options: RunOptions) -> dict[str, Any]:
    """Return the options as used: those that shaped the tiles are the run's, whoever finishes it."""
    names = ("matcher", "dtype", "precision", "certify", "samples", "skip_tokens", "pool", "layout")
    used = options.as_json() | {name: run[name] for name in (*names, "bfloat16")}
    used |= {"exclude": run.get("exclude"), "seed": run.get("seed")}
    against = run["against"] and run["against"]["path"]
    return (
        used
        | dict(run["parameters"])
        | {
            "layer": used["layer"] or list(run["layers"]),
            "against": used["against"] or against,
        }
    )


def _joined(values: Iterator[str | None]) -> str | None:
    """Return what tiles were made with: one name, or several, the most frequent first."""
    counted = Counter(value for value in values if value is not None)
    return ", ".join(name for name, _ in counted.most_common()) or None
