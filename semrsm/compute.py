"""From an activation file to an RSM file: the one joiner of storage and engine."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import KERNELS, Kernel, refuse_zero_norms
from semrsm.errors import SemrsmError
from semrsm.inputs import LayerInput
from semrsm.options import RunOptions, options_of
from semrsm.planning import LayerPlan, open_plans
from semrsm.rsms import sigma_of
from semrsm.storage.activations import ActivationFile
from semrsm.storage.aside import check_output
from semrsm.storage.labels import read_sample_ids
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.rsm_writer import LayerWriter, writing

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes: how many pairs are done, and what else should be known."""

    on_progress: Progress
    on_note: Callable[[str], None]


@dataclass(frozen=True)
class LayerReport:
    """What was done for one layer; `sigma` is None unless the kernel rbf was computed."""

    layer: str
    n_samples: int
    n_positions: int
    n_channels: int
    pairs: int
    seconds: float
    pairs_per_second: float
    matcher: str
    solver: str | None
    device: str
    sigma: float | None
    certificate: dict[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `certificate` is there only for a run that certifies."""
        values = asdict(self)
        if self.certificate is None:
            del values["certificate"]
        return values


@dataclass(frozen=True)
class Report:
    """What a run wrote: the file and a report for each layer."""

    output: Path
    layers: list[LayerReport]

    def as_json(self) -> dict[str, Any]:
        """Return plain values, as `semrsm compute --json` prints them."""
        return {"output": str(self.output), "layers": [layer.as_json() for layer in self.layers]}


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
            `against`, `device`, `threads`, `memory` (bytes or "4GiB"), `dtype`, `bfloat16`,
            `overwrite`.

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
        scans = [_scan_layer(plan, options) for plan in plans]
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
                _identify(file, [s.rows for s in scans]),
            )
            if other is not None:
                writer.metadata["against"] = _identify(other, [s.columns for s in scans])
    return Report(out, reports)


def _keep_inputs(out: Path, *inputs: ActivationFile | None) -> None:
    """Refuse an output that would replace an input."""
    for file in inputs:
        if file is not None and out.exists() and out.samefile(file.path):
            raise SemrsmError(f"{out} is an input of this run; choose another name with -o")


@dataclass(frozen=True)
class Scanned:
    """What one pass over the samples of a layer found.

    Attributes:
        squared_norm: (n,) float64.
        fingerprint: BLAKE2b-128 over shape, type and values as read, hexadecimal.
    """

    squared_norm: NDArray[np.float64]
    fingerprint: str


@dataclass(frozen=True)
class LayerScan:
    """The scans of the row and the column samples of a layer."""

    rows: Scanned
    columns: Scanned


def _scan_layer(plan: LayerPlan, options: RunOptions) -> LayerScan:
    """Read every sample once, so that bad data is found before hours of matching, not after."""
    rows = _scan(plan.rows, plan.plan.block, options)
    return LayerScan(
        rows, rows if plan.symmetric else _scan(plan.columns, plan.plan.block, options)
    )


def _scan(layer: LayerInput, block: int, options: RunOptions) -> Scanned:
    from semrsm.engine.maps import squared_norms

    content = hashlib.blake2b(
        repr((layer.layer.shape, str(layer.layer.dtype))).encode(), digest_size=16
    )
    norms = []
    for start in range(0, layer.n_samples, block):
        array = layer.read(range(start, min(start + block, layer.n_samples)))
        content.update(np.ascontiguousarray(array).data)
        norms.append(squared_norms(layer.as_vectors(array)).numpy())
    squared_norm = np.concatenate(norms)
    try:
        if any(KERNELS[name].needs_norm for name in options.kernel):
            refuse_zero_norms(squared_norm, layer.samples)
    except SemrsmError as error:
        raise error.within(layer.address) from error
    return Scanned(squared_norm, content.hexdigest())


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

    name, done = plan.rows.layer.name, 0

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
            corner = found.tile.rows.start, found.tile.columns.start
            writer.write_matched(*corner, found.matched)
            if found.upper_bound is not None:
                writer.write_upper_bound(*corner, found.upper_bound)
        seconds = time.perf_counter() - began
        writer.write_squared_norms(scan.rows.squared_norm, scan.columns.squared_norm)
        sigmas = {k: _write_kernel(KERNELS[k], scan, writer, options) for k in options.kernel}
    except SemrsmError as error:
        raise error.within(plan.rows.address) from error
    certificate = _certificate(scan, writer) if plan.work.certify else None
    writer.write_parameters(
        plan.parameters
        | {
            "permutation": plan.work.matcher.permutation,
            "solver": plan.solver,
            "device": describe(plan.work.device),
            "dtype": options.dtype,
            "precision": options.precision,
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


def _certificate(scan: LayerScan, writer: LayerWriter) -> dict[str, float]:
    """Return the largest, mean and 99th percentile gap between bound and m, over |x_i| |x_j|.

    A gap of 0.01 says that no matching could raise the cosine of that pair by more than 0.01.
    """
    symmetric = writer.info.storage_mode == "symmetric"
    sizes = np.sqrt(scan.rows.squared_norm), np.sqrt(scan.columns.squared_norm)
    gaps = []
    for (row, matched), (_, bound) in zip(
        writer.matched_rows(), writer.upper_bound_rows(), strict=True
    ):
        gap = np.maximum(bound - matched, 0)
        size = sizes[0][row : row + len(gap), None] * sizes[1]
        relative = np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0)
        pairs = (
            relative[np.triu_indices(len(gap), row + 1, gap.shape[1])] if symmetric else relative
        )
        gaps.append(pairs.astype(np.float32).ravel())
    found = np.concatenate(gaps)
    if not len(found):
        return {"largest": 0.0, "mean": 0.0, "p99": 0.0}
    return {
        "largest": float(found.max()),
        "mean": float(found.mean(dtype=np.float64)),
        "p99": float(np.quantile(found, 0.99)),
    }


def _write_kernel(
    kernel: Kernel, scan: LayerScan, writer: LayerWriter, options: RunOptions
) -> float | None:
    """Finish one kernel from the matched inner products that are written; return its sigma."""
    row_sq, column_sq = scan.rows.squared_norm, scan.columns.squared_norm
    symmetric = writer.info.storage_mode == "symmetric"
    sigma = sigma_of(kernel, options.sigma, writer.matched_rows(), row_sq, column_sq, symmetric)
    finished = (
        (row, kernel.finish(block, row_sq[row : row + len(block)], column_sq, sigma))
        for row, block in writer.matched_rows()
    )
    writer.write_kernel(kernel.name, sigma, finished)
    return sigma


def _identify(file: ActivationFile, scans: list[Scanned]) -> dict[str, Any]:
    """Return what names a file's content: path, size, and a fingerprint over those of its layers."""
    whole = hashlib.blake2b("".join(scan.fingerprint for scan in scans).encode(), digest_size=16)
    return {
        "path": str(file.path.resolve()),
        "bytes": file.path.stat().st_size,
        "fingerprint": whole.hexdigest(),
    }


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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("semrsm", "torch", "numpy", "scipy", "h5py", "laprust", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
