"""From an activation file to an RSM file: the one joiner of storage and engine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semrsm.compute.layers import class_token_hint
from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.plan import LayerPlan, open_plans
from semrsm.compute.run_report import LayerReport, Report, gap_summary, versions
from semrsm.compute.scan import LayerScan, content_of, scan_layer
from semrsm.engine.kernels import KERNELS, Kernel, Matched, finisher
from semrsm.errors import SemrsmError
from semrsm.storage.activations import ActivationFile
from semrsm.storage.labels import read_sample_ids
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import LayerWriter, writing
from semrsm.storage.whole_files import check_output

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes: how many pairs are done, and what else should be known."""

    on_progress: Progress
    on_note: Callable[[str], None]


def compute(
    activations: str | Path,
    out: str | Path,
    *,
    on_progress: Progress = lambda layer, pairs, of: None,
    on_note: Callable[[str], None] = lambda text: None,
    command: str = "semrsm.compute",
    **options: Any,
) -> Report:
    """Compute the RSMs of an activation file and write them, with how they were made, to an RSM file.

    For every pair of samples (i, j) the matcher finds which positions belong together and
    m_ij = sum_s <x_s, y_p(s)> is stored; each kernel is finished from m. One matching pass serves all
    kernels. The file is described in semrsm/storage/FORMAT.md.

    Args:
        activations: HDF5, .npz or .npy file, or `path::layer`; arrays (n,c,h,w), (n,t,d) or (n,d),
            float16, float32 or float64.
        out: The RSM file to write, by custom NAME.rsm.h5.
        on_progress: Called with (layer, pairs done, pairs in all).
        on_note: Told when a device ran out of memory and the work went on in smaller parts.
        command: What to record as the command.
        **options: The flags of `semrsm compute` with "_" for "-": `layer`, `kernel`, `matcher`,
            `topk`, `window`, `epsilon`, `group`, `sigma`, `layout`, `skip_tokens`, `pool`, `samples`,
            `against`, `device`, `threads`, `memory` (bytes or "4GiB"), `dtype`, `precision`, `certify`,
            `bfloat16`, `overwrite`.

    Returns:
        The report: a record for each layer.

    Raises:
        SemrsmError: The input, an option or the output is not as it must be; nothing is written then.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> report = semrsm.compute("dump.h5", "out.rsm.h5", kernel=["cosine", "rbf"])  # doctest: +SKIP
        >>> report.layers[0].pairs  # doctest: +SKIP
        276
    """
    listener = Listener(on_progress, on_note)
    return compute_with(activations, Path(out), options_of(options), listener, command)


def compute_with(
    activations: str | Path, out: Path, options: RunOptions, listener: Listener, command: str
) -> Report:
    """Do what `compute` does, with options that are made already."""
    check_output(out, options.overwrite)
    began = time.perf_counter()
    with open_plans(activations, options) as (file, other, plans):
        _keep_inputs(out, file, other)
        ids = read_sample_ids(file, plans[0].rows.layer.n_samples)
        for plan in plans:
            if hint := class_token_hint(plan.rows):
                listener.on_note(hint)
        scans = [scan_layer(plan, options) for plan in plans]
        with writing(out, options.overwrite) as writer:
            if ids:
                writer.write_samples([ids[i] for i in plans[0].rows.samples])
            reports = []
            for plan, scan in zip(plans, scans, strict=True):
                layer = writer.layer(_layer_info(plan))
                reports.append(_compute_layer(plan, scan, layer, options, listener))
            writer.metadata = _metadata(
                command,
                options,
                reports,
                time.perf_counter() - began,
                content_of(file, [s.rows for s in scans]),
            )
            if other is not None:
                writer.metadata["against"] = content_of(other, [s.columns for s in scans])
    return Report(out, reports)


def _keep_inputs(out: Path, *inputs: ActivationFile | None) -> None:
    """Refuse an output that would replace an input."""
    for file in inputs:
        if file is not None and out.exists() and out.samefile(file.path):
            raise SemrsmError(f"{out} is an input of this run; choose another name with -o")


def _layer_info(plan: LayerPlan) -> LayerInfo:
    return LayerInfo(
        name=plan.rows.layer.name,
        matcher=plan.work.matcher.name,
        layout=plan.rows.positions.layout,
        n_positions=plan.rows.n_positions,
        n_channels=plan.rows.n_channels,
        n_samples=plan.rows.n_samples,
        n_columns=plan.columns.n_samples,
        storage_mode="symmetric" if plan.symmetric else "rectangular",
    )


def _compute_layer(
    plan: LayerPlan,
    scan: LayerScan,
    writer: LayerWriter,
    options: RunOptions,
    listener: Listener,
) -> LayerReport:
    """Match every pair of a layer, store m, finish the kernels."""
    from semrsm.engine.devices import describe
    from semrsm.engine.pairs import matched_tiles

    name, done, solved_again = plan.rows.layer.name, 0, 0

    def count(pairs: int) -> None:
        nonlocal done
        done += pairs
        listener.on_progress(name, done, plan.plan.n_pairs)

    began = time.perf_counter()
    try:
        listener.on_progress(name, 0, plan.plan.n_pairs)
        for found in matched_tiles(
            plan.rows.vectors, plan.columns.vectors, plan.plan, plan.work, count, listener.on_note
        ):
            solved_again += found.solved_again
            corner = found.tile.rows.start, found.tile.columns.start
            writer.write_matched(*corner, found.matched)
            if found.upper_bound is not None:
                writer.write_upper_bound(*corner, found.upper_bound)
        seconds = time.perf_counter() - began
        writer.write_squared_norms(scan.rows.squared_norm, scan.columns.squared_norm)
        sigmas = {k: _write_kernel(KERNELS[k], scan, writer, options) for k in options.kernel}
    except SemrsmError as error:
        raise error.within(plan.rows.address) from error
    if solved_again:
        listener.on_note(
            f"{name}: {solved_again} pairs were not proved optimal and solved again in float64"
        )
    certificate = gap_summary(scan, writer) if plan.work.certify else None
    writer.write_parameters(
        plan.parameters
        | {
            "permutation": plan.work.matcher.permutation,
            "solver": plan.solver,
            "device": describe(plan.work.device),
            "dtype": options.dtype,
            "precision": options.precision,
            "solved_again": solved_again,
            "certificate": certificate,
            "skip_tokens": options.skip_tokens,
            "pool": options.pool,
            "samples": options.samples,
            "pairs": plan.plan.n_pairs,
            "seconds": seconds,
            "fingerprint": scan.rows.fingerprint,
        }
    )
    return LayerReport(
        layer=name,
        n_samples=plan.rows.n_samples,
        n_positions=plan.rows.n_positions,
        n_channels=plan.rows.n_channels,
        pairs=plan.plan.n_pairs,
        seconds=seconds,
        pairs_per_second=plan.plan.n_pairs / seconds,
        matcher=plan.work.matcher.name,
        solver=plan.solver,
        device=describe(plan.work.device),
        sigma=next((s for s in sigmas.values() if s is not None), None),
        certificate=certificate,
    )


def _write_kernel(
    kernel: Kernel, scan: LayerScan, writer: LayerWriter, options: RunOptions
) -> float | None:
    """Finish one kernel from the matched inner products that are written; return its sigma."""
    matched = Matched(
        lambda: ((row, 0, block) for row, block in writer.matched_rows()),
        scan.rows.squared_norm,
        scan.columns.squared_norm,
        writer.info.storage_mode == "symmetric",
    )
    finish = finisher(kernel, options.sigma, matched)
    finished = ((row, finish(row, block)) for row, block in writer.matched_rows())
    writer.write_kernel(kernel.name, finish.sigma, finished)
    return finish.sigma


def _metadata(
    command: str,
    options: RunOptions,
    reports: list[LayerReport],
    seconds: float,
    activations: dict[str, Any],
) -> dict[str, Any]:
    pairs = sum(report.pairs for report in reports)
    return {
        "command": command,
        "options": options.as_json(),
        "versions": versions(),
        "device": reports[0].device,
        "solver": reports[0].solver,
        "host": platform.node(),
        "layers": [report.layer for report in reports],
        "seconds": seconds,
        "pairs": pairs,
        "pairs_per_second": pairs / sum(report.seconds for report in reports),
        "activations": activations,
        "against": None,
    }
