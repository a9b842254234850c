"""Reading an RSM back: a stored kernel, or one finished from the matched inner products."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import KERNELS, Kernel, median_sigma, refuse_zero_norms, squared_distance
from semrsm.errors import SemrsmError
from semrsm.inputs import address_of
from semrsm.names import look_up
from semrsm.options import parse_sigma
from semrsm.storage.rsm_file import RsmFile, open_rsm


def read_rsm(
    path: str | Path,
    layer: str | None = None,
    kernel: str = "cosine",
    *,
    sigma: str | float | None = None,
) -> tuple[NDArray[np.floating], dict[str, Any]]:
    """Read an RSM and how it was made.

    A kernel that the file stores is read, one that it does not is finished from the matched inner
    products. With `sigma` the kernel rbf is always finished anew.

    Args:
        path: An RSM file, or `path::layer`.
        layer: Which layer; may be left out where the file holds one.
        kernel: A key of KERNELS.
        sigma: Width of rbf: "median" or a number; None takes the stored RSM, or the median.

    Returns:
        The RSM, (n, m): float32 as stored, float64 if finished now; and a dict with "layer",
        "matcher", "kernel", "sigma", "storage_mode", "n_positions", "n_channels", "samples" (ids or
        None), "parameters" of the layer and "metadata" of the file.

    Raises:
        SemrsmError: No such file, layer or kernel; the kernel cannot be finished.

    Example:
        >>> rsm, about = semrsm.read_rsm("out.rsm.h5", "layer4", "rbf")  # doctest: +SKIP
        >>> rsm.shape, about["sigma"]  # doctest: +SKIP
        ((24, 24), 45.9)
    """
    file_path, named = address_of(path)
    row = look_up(KERNELS, kernel, "kernel")
    with open_rsm(file_path) as file:
        info = file.layer(layer or named)
        wanted_sigma = None if sigma is None else parse_sigma(sigma)
        if wanted_sigma is None and (stored := file.kernel(info.name, kernel)) is not None:
            rsm, used = stored[:], info.sigmas[kernel]
        else:
            try:
                rsm, used = _finish(file, info.name, row, wanted_sigma or "median")
            except SemrsmError as error:
                raise error.within(f"{file_path}::{info.name}") from error
        return rsm, {
            "layer": info.name,
            "matcher": info.matcher,
            "kernel": kernel,
            "sigma": used,
            "storage_mode": info.storage_mode,
            "n_positions": info.n_positions,
            "n_channels": info.n_channels,
            "samples": file.samples(),
            "parameters": dict(info.parameters),
            "metadata": file.metadata,
        }


def _finish(
    file: RsmFile, layer: str, kernel: Kernel, sigma: str | float
) -> tuple[NDArray[np.float64], float | None]:
    """Finish a kernel that is not stored."""
    matched = file.matched(layer)[:]
    row_sq, column_sq = file.squared_norms(layer)
    if kernel.needs_norm:
        for squared_norm in (row_sq, column_sq):
            refuse_zero_norms(squared_norm, range(len(squared_norm)))
    symmetric = file.layer(layer).storage_mode == "symmetric"
    used = sigma_of(kernel, sigma, iter([(0, matched)]), row_sq, column_sq, symmetric)
    return kernel.finish(matched, row_sq, column_sq, used), used


def sigma_of(
    kernel: Kernel,
    sigma: str | float,
    rows: Iterator[tuple[int, NDArray[np.float64]]],
    row_sq: NDArray[np.float64],
    column_sq: NDArray[np.float64],
    symmetric: bool,
) -> float | None:
    """Return the width a kernel is finished with: the one given, or from the median distance.

    Args:
        kernel: A row of KERNELS.
        sigma: "median" or the width.
        rows: (first row, block) of the matched inner products.
        row_sq: (n,) float64, squared norms.
        column_sq: (m,) float64, squared norms.
        symmetric: Take the pairs i < j only.
    """
    if not kernel.needs_sigma:
        return None
    if not isinstance(sigma, str):
        return sigma

    def distances() -> Iterator[NDArray[np.float64]]:
        for row, block in rows:
            d2 = squared_distance(block, row_sq[row : row + len(block)], column_sq)
            yield d2[np.triu_indices(len(d2), k=row + 1, m=d2.shape[1])] if symmetric else d2

    return median_sigma(distances())
