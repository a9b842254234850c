"""RSMs from files: a stored kernel, one finished from the matched inner products, a plain matrix."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import KERNELS, Kernel, Matched, finisher, parse_sigma, refuse_unmatched
from semrsm.errors import SemrsmError
from semrsm.names import look_up, no_such
from semrsm.storage.address import address_of
from semrsm.storage.matrices import Matrix, read_matrices
from semrsm.storage.rsm_file import LayerInfo, RsmFile, is_rsm_file, open_rsm, row_blocks


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
        wanted = None if sigma is None else parse_sigma(sigma)
        if wanted is None and kernel in info.sigmas:
            rows, used = _read_stored(file_path, info.name, kernel), info.sigmas[kernel]
        else:
            rows, used = _finisher(file, info, row, wanted or "median")
        return rows(slice(None)), {
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


@dataclass(frozen=True)
class Rsm:
    """One RSM, from an RSM file or a plain matrix; its values are read when asked for.

    Attributes:
        path: The file.
        layer: The layer, or the matrix's name in its file; None where it has none.
        matcher: Name of the matcher; None for a plain matrix.
        kernel: Name of the kernel; None for a plain matrix.
        shape: (n, m).
        symmetric: Rows and columns are the same samples.
        samples: Ids of the row samples; None where the file holds none.
        rows: Gives some of its rows, (k, m) float32 as stored, or float64.
    """

    path: Path
    layer: str | None
    matcher: str | None
    kernel: str | None
    shape: tuple[int, int]
    symmetric: bool
    samples: list[str] | None
    rows: Callable[[slice], NDArray[np.floating]]

    @property
    def address(self) -> str:
        """Return `path::layer`, or the path of a matrix without a name."""
        return f"{self.path}::{self.layer}" if self.layer else str(self.path)

    def values(self) -> NDArray[np.floating]:
        """Return the whole RSM, (n, m)."""
        return self.rows(slice(None))


def open_rsms(
    address: str | Path,
    *,
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    sigma: str | float = "median",
) -> list[Rsm]:
    """Return the RSMs of a file: of every layer, or of those an address or globs name.

    Args:
        address: An RSM file, or a plain matrix (.npy, .npz, .csv, HDF5); `path::name` names one.
        layers: Globs of layers, or of matrices with names; none means all of them.
        kernel: A key of KERNELS; None takes the first that a layer stores, or cosine. Kernels that
            are not stored are finished from the matched inner products. Not for plain matrices.
        sigma: Width of an rbf kernel that is not stored.

    Raises:
        SemrsmError: There is no such file, layer or kernel; or a matrix is given a kernel.
    """
    path, name = address_of(address)
    if not is_rsm_file(path):
        if kernel is not None and path.exists():
            raise SemrsmError(f"{path} is a plain matrix and has no kernels; leave --kernel out")
        matrices = {matrix.name: matrix for matrix in read_matrices(path, name)}
        names = [m for m in matrices if m is not None]
        chosen = _matching(path, names, layers) if names else matrices
        return [_of_matrix(path, matrices[c]) for c in chosen]
    with open_rsm(path) as file:
        known = file.layers()
        named = [file.layer(name).name] if name else list(known)
        return [
            _of_layer(file, known[c], kernel, parse_sigma(sigma))
            for c in _matching(path, named, layers)
        ]


def _matching(path: Path, names: list[str], globs: tuple[str, ...]) -> list[str]:
    for pattern in globs:
        if not fnmatch.filter(names, pattern):
            raise SemrsmError(f"{path}: {no_such(names, pattern, 'layer')}")
    return [n for n in names if not globs or any(fnmatch.fnmatch(n, glob) for glob in globs)]


def stored_kernels(address: str | Path) -> tuple[str, ...]:
    """Return the kernels that an RSM file stores for any layer; none for a plain matrix."""
    path, _ = address_of(address)
    if not is_rsm_file(path):
        return ()
    with open_rsm(path) as file:
        return tuple(dict.fromkeys(k for layer in file.layers().values() for k in layer.sigmas))


def _of_matrix(path: Path, matrix: Matrix) -> Rsm:
    square = matrix.shape[0] == matrix.shape[1]
    return Rsm(path, matrix.name, None, None, matrix.shape, square, matrix.samples, matrix.rows)


def _of_layer(file: RsmFile, info: LayerInfo, kernel: str | None, sigma: str | float) -> Rsm:
    row = look_up(KERNELS, kernel or next(iter(info.sigmas), "cosine"), "kernel")
    stored = row.name in info.sigmas
    if stored:
        rows = _read_stored(file.path, info.name, row.name)
    else:
        rows, _ = _finisher(file, info, row, sigma)
    symmetric = info.storage_mode == "symmetric"
    return Rsm(
        file.path, info.name, info.matcher, row.name, info.shape, symmetric, file.samples(), rows
    )


def _read_stored(path: Path, layer: str, kernel: str) -> Callable[[slice], NDArray[np.floating]]:
    def rows(wanted: slice) -> NDArray[np.floating]:
        # Opened anew for every block: no file stays open, whoever holds the RSM.
        with open_rsm(path) as file:
            stored = file.kernel(layer, kernel)
            assert stored is not None
            return stored[wanted]

    return rows


def _finisher(
    file: RsmFile, info: LayerInfo, kernel: Kernel, sigma: str | float
) -> tuple[Callable[[slice], NDArray[np.floating]], float | None]:
    """Return what finishes rows of a kernel that is not stored, and its sigma."""

    def blocks() -> Iterator[tuple[int, int, NDArray[np.float64]]]:
        with open_rsm(file.path) as again:
            for row, block in row_blocks(again.matched(info.name)):
                yield row, 0, block

    matched = Matched(blocks, *file.squared_norms(info.name), info.storage_mode == "symmetric")
    try:
        refuse_unmatched(kernel, info.parameters.get("permutation", True), info.matcher)
        finish = finisher(kernel, sigma, matched)
    except SemrsmError as error:
        raise error.within(f"{file.path}::{info.name}") from error

    def rows(wanted: slice) -> NDArray[np.floating]:
        first, stop, _ = wanted.indices(info.n_samples)
        with open_rsm(file.path) as again:
            return finish(first, again.matched(info.name)[first:stop])

    return rows, finish.sigma
