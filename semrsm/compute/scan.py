"""One pass over the samples before anything is matched: norms, bad data, and what the content is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput
from semrsm.compute.options import RunOptions
from semrsm.compute.plan import LayerPlan
from semrsm.engine.kernels import KERNELS, refuse_zero_norms
from semrsm.errors import SemrsmError
from semrsm.storage.activations import ActivationFile


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


def scan_layer(plan: LayerPlan, options: RunOptions) -> LayerScan:
    """Read every sample once, so that bad data is found before hours of matching, not after.

    Raises SemrsmError if a sample cannot be read, or is zero where a kernel needs its norm.
    """
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


def content_of(file: ActivationFile, scans: list[Scanned]) -> dict[str, Any]:
    """Return what names a file's content: path, size, and a fingerprint over those of its layers."""
    whole = hashlib.blake2b("".join(scan.fingerprint for scan in scans).encode(), digest_size=16)
    return {
        "path": str(file.path.resolve()),
        "bytes": file.path.stat().st_size,
        "fingerprint": whole.hexdigest(),
    }
