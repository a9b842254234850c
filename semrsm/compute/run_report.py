"""What is said of a run: a report for each layer, the gaps of certificates, versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semrsm.compute.scan import LayerScan
from semrsm.storage.rsm_writer import LayerWriter


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


def gap_summary(scan: LayerScan, writer: LayerWriter) -> dict[str, float]:
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


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("semrsm", "torch", "numpy", "scipy", "h5py", "laprust", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
