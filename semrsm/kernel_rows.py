"""The rows of one kernel of an RSM file: as stored, or finished from the matched inner products."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import (
    KERNELS,
    ROUNDING,
    Finisher,
    Kernel,
    Matched,
    refuse_by_norms,
    refuse_unmatched,
    sigma_of,
)
from semrsm.engine.rounding import ROUNDING_FLOAT32, all_sure, n_unsure, unsure_note
from semrsm.errors import SemrsmError
from semrsm.storage.input_files import Stamp
from semrsm.storage.rsm_file import RsmFile, open_rsm
from semrsm.storage.rsm_layer import LayerInfo, row_blocks

PART = 1 << 18  # entries that are finished at once: a kernel makes several copies of them

Rows = Callable[[slice], NDArray[np.floating]]


def constant_part(
    file: RsmFile, info: LayerInfo, kernel: Kernel
) -> Callable[[], NDArray[np.float64] | None]:
    """Return what gives (n,) c_i, so that c_i c_j is what the means of the values add to entry (i, j)."""
    path, stamp = file.path, file.stamp

    def read() -> NDArray[np.float64] | None:
        if kernel.needs_sigma:
            return None
        with open_rsm(path, stamp) as again:
            sums = again.value_sums(info.name)
            if sums is None:
                return None
            norms = np.sqrt(again.squared_norms(info.name)[0]) if kernel.needs_norm else 1.0
        return sums / np.sqrt(info.n_positions * info.n_channels) / norms

    return read


def stored_rows(file: RsmFile, layer: str, kernel: str) -> Rows:
    """Return what gives rows of a kernel that is stored, (k, m) float32 or float64."""
    path, stamp = file.path, file.stamp

    def rows(span: slice) -> NDArray[np.floating]:
        # Opened anew for every block: no file stays open, whoever holds the RSM.
        with open_rsm(path, stamp) as again:
            return again.matrices(layer)[f"rsm/{kernel}"][span]

    return rows


def finished_rows(
    file: RsmFile, info: LayerInfo, kernel: Kernel, sigma: str | float
) -> tuple[Rows, Callable[[], float | None]]:
    """Return what finishes rows of a kernel that is not stored, and what gives its sigma.

    What the norms tell is refused at once; the inner products are not read before rows, or the sigma,
    are asked for.
    """
    matched = _matched(file, info.name)
    path, stamp = file.path, file.stamp

    def sigma_used() -> float | None:
        with _naming(path, info.name):
            if kernel.needs_sigma and sigma == "median":
                return _median_sigma(path.resolve(), stamp, info.name, kernel.name)
            return sigma_of(kernel, sigma, matched)

    def rows(span: slice) -> NDArray[np.floating]:
        first, stop, _ = span.indices(info.n_samples)
        finish = Finisher(kernel, sigma_used(), matched.row_sq, matched.column_sq)
        _warn_of_unsure(path.resolve(), stamp, info.name, kernel.name, finish.sigma)
        with open_rsm(path, stamp) as again:
            block = again.matched(info.name)[first:stop]
        step = max(1, PART // info.n_columns)
        for start in range(0, len(block), step):  # in place: what is read is held once
            part = slice(start, start + step)
            block[part] = finish(first + start, block[part])
        return block

    with _naming(file.path, info.name):
        refuse_unmatched(kernel, info.parameters.get("permutation", True), info.matcher)
        refuse_by_norms(kernel, sigma, matched)
    return rows, sigma_used


@contextlib.contextmanager
def _naming(path: Path, layer: str) -> Iterator[None]:
    """Put the file and the layer in front of what is wrong with them."""
    try:
        yield
    except SemrsmError as error:
        raise error.within(f"{path}::{layer}") from error


@functools.lru_cache(maxsize=1024)
def _median_sigma(path: Path, stamp: Stamp, layer: str, kernel: str) -> float | None:
    """Return the width from the median distance of a layer, found once for a file as it is now."""
    with open_rsm(path, stamp) as file:
        matched = _matched(file, layer)
    return sigma_of(KERNELS[kernel], "median", matched)


@functools.lru_cache(maxsize=1024)
def _warn_of_unsure(path: Path, stamp: Stamp, layer: str, kernel: str, sigma: float | None) -> None:
    """Say how many pairs have an rbf that is not sure, once for a file as it is now."""
    if sigma is None:
        return
    with open_rsm(path, stamp) as file:
        matched, about = _matched(file, layer), file.layer(layer).parameters
    # Files of before pairs that are alike were matched again do not count any.
    old = "unsure" not in about and about.get("dtype") != "float64"
    rounding = ROUNDING_FLOAT32 if old else ROUNDING
    if all_sure(matched.row_sq, matched.column_sq, sigma, rounding):
        return
    finish = Finisher(KERNELS[kernel], sigma, matched.row_sq, matched.column_sq)
    count = sum(
        n_unsure(finish, row, block, matched.symmetric, rounding)
        for row, _, block in matched.blocks()
    )
    if count:
        warnings.warn(f"{path}::{layer}: {unsure_note(count)}", stacklevel=2)


def _matched(file: RsmFile, layer: str) -> Matched:
    """Return the matched inner products of a layer, read when they are asked for, and its norms."""
    path, stamp = file.path, file.stamp

    def blocks() -> Iterator[tuple[int, int, NDArray[np.float64]]]:
        with open_rsm(path, stamp) as again:
            for row, block in row_blocks(again.matched(layer)):
                step = max(1, PART // block.shape[1])  # distances take several copies
                for start in range(0, len(block), step):
                    yield row + start, 0, block[start : start + step]

    symmetric = file.layer(layer).storage_mode == "symmetric"
    return Matched(blocks, *file.squared_norms(layer), symmetric)
