"""RSMs from files: a stored kernel, one finished from the matched inner products, a plain matrix."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import (
    KERNELS,
    parse_sigma,
)
from semrsm.errors import SemrsmError
from semrsm.kernel_rows import Rows, constant_part, finished_rows, stored_rows
from semrsm.names import look_up, no_such
from semrsm.sample_numbers import Taken
from semrsm.storage.address import address_of, require_path
from semrsm.storage.matrices import Matrix, is_text_table, read_matrices, refuse_activations
from semrsm.storage.rsm_file import RsmFile, Source, is_rsm_file, open_rsm
from semrsm.storage.rsm_layer import CHUNK, LayerInfo

BLOCK = 1 << 21  # entries of a block that is worked on at once
SHARE = 4  # the part of the memory that a block, or the rows that are read at once, may take


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
    require_path(path, "path", "name an RSM file, or path::layer")
    file_path, named = address_of(path)
    row = look_up(KERNELS, kernel, "kernel")
    with open_rsm(file_path) as file:
        info = file.layer(layer or named)
        choice = None if sigma is None else parse_sigma(sigma)
        if choice is None and kernel in info.sigmas:
            rows, used = stored_rows(file, info.name, kernel), info.sigmas[kernel]
        else:
            rows, sigma_used = finished_rows(file, info, row, choice or "median")
            used = sigma_used()
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
        taken: Which samples of its activation file the rows are; None where that is not known.
        source: What tells that activation file from others; None where it is not known.
        column_samples: Ids of the column samples of a rectangular RSM; None without.
        column_taken: Which samples of their activation file its columns are; None if not known.
        constant_part: Gives (n,) c_i, so that c_i c_j is what the means of the values of two samples
            add to entry (i, j); None where that is not known.
    """

    path: Path
    layer: str | None
    matcher: str | None
    kernel: str | None
    shape: tuple[int, int]
    symmetric: bool
    samples: list[str] | None
    rows: Rows
    taken: Taken | None = None
    source: Source | None = None
    column_samples: list[str] | None = None
    column_taken: Taken | None = None
    constant_part: Callable[[], NDArray[np.float64] | None] = lambda: None

    @property
    def address(self) -> str:
        """Return `path::layer`, or the path of a matrix without a name."""
        return f"{self.path}::{self.layer}" if self.layer else str(self.path)

    def values(self) -> NDArray[np.floating]:
        """Return the whole RSM, (n, m)."""
        return self.rows(slice(None))

    def blocks(self, memory: int, working: float) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Yield (first row, block of whole rows) from top to bottom, so large that the memory suffices.

        Whole chunks of the file are read at once where they fit, so that none is read twice.

        Args:
            memory: Bytes, at least `row_need`.
            working: Bytes for each entry of a block that whoever works on it takes, at least 32.
        """
        n, m = self.shape
        height = max(1, int(min(BLOCK, memory / SHARE / working) / m))
        strip = max(height // CHUNK * CHUNK, CHUNK if CHUNK * 8 * m <= memory / SHARE else height)
        for start in range(0, n, strip):
            rows = self.rows(slice(start, min(start + strip, n)))
            for first in range(0, len(rows), height):
                yield start + first, rows[first : first + height]

    def row_need(self, working: float) -> int:
        """Return the bytes that `blocks` takes at least: for one row at a time."""
        return int(SHARE * working * self.shape[1])


def open_rsms(
    address: str | Path | Rsm,
    *,
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    sigma: str | float = "median",
    stored: bool = True,
) -> list[Rsm]:
    """Return the RSMs of a file: of every layer, or of those an address or globs name.

    Args:
        address: An RSM file, or a plain matrix (.npy, .npz, .csv, HDF5); `path::name` names one, or
            several by a glob. An RSM that is open already is the only one.
        layers: Globs of layers, or of matrices with names; none means all of them.
        kernel: A key of KERNELS; None takes the first that a layer stores, or cosine. Kernels that
            are not stored are finished from the matched inner products. Not for plain matrices.
        sigma: Width of an rbf kernel that is not stored.
        stored: Take kernels as they are stored, in float32; without it they are finished anew from the
            inner products, in float64, but for those with a width.

    Raises:
        SemrsmError: There is no such file, layer or kernel; or a matrix is given a kernel.
    """
    if isinstance(address, Rsm):
        if kernel is not None and address.kernel != kernel:
            raise SemrsmError(
                f"{address.address} is a plain matrix and has no kernels; leave `kernel` out"
            )
        return [address]
    path, name = address_of(address)
    if not is_rsm_file(path):
        if not is_text_table(path):
            refuse_activations(path, name)
        if kernel is not None and path.exists():
            raise SemrsmError(f"{path} is a plain matrix and has no kernels; leave `kernel` out")
        matrices = {matrix.name: matrix for matrix in read_matrices(path, name)}
        names = [m for m in matrices if m is not None]
        chosen = _matching(path, names, layers) if names else matrices
        return [_of_matrix(path, matrices[c]) for c in chosen]
    with open_rsm(path) as file:
        named = file.layer_names()
        if name is not None:
            named = [name] if name in named else _matching(path, named, (name,))
        return [
            _of_layer(file, file.layer(c), kernel, parse_sigma(sigma), stored)
            for c in _matching(path, named, layers)
        ]


def rsm_in_memory(values: NDArray[Any], name: str) -> Rsm:
    """Return a matrix in memory as an RSM without samples, matcher and kernel.

    Args:
        values: (n, n), or (n, m) of queries x gallery; real numbers.
        name: What sentences and tables call it.

    Raises SemrsmError if it is no such matrix.

    >>> rsm_in_memory(np.eye(3), "RSM 1").shape
    (3, 3)
    """
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise SemrsmError(
            f"{name} is an array of shape {values.shape} and type {values.dtype}; give a matrix (n, n) of"
            " real numbers, or make one with semrsm.rsm"
        )
    kept = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
    n, m = kept.shape
    return Rsm(Path(name), None, None, None, (n, m), n == m, None, kept.__getitem__)


def _matching(path: Path, names: list[str], globs: tuple[str, ...]) -> list[str]:
    for pattern in globs:
        if not fnmatch.filter(names, pattern):
            raise SemrsmError(f"{path}: {no_such(names, pattern, 'layer')}")
    return [n for n in names if not globs or any(fnmatch.fnmatch(n, glob) for glob in globs)]


def stored_kernels(address: str | Path | Rsm) -> tuple[str, ...]:
    """Return the kernels that an RSM file stores for any layer; none for a plain matrix."""
    if isinstance(address, Rsm):
        return ()
    path, _ = address_of(address)
    if not is_rsm_file(path):
        return ()
    with open_rsm(path) as file:
        return tuple(dict.fromkeys(k for layer in file.layers().values() for k in layer.sigmas))


def _of_matrix(path: Path, matrix: Matrix) -> Rsm:
    rows, columns = matrix.shape
    square = rows == columns
    if matrix.n_named is not None and not square:
        place = f"{path}::{matrix.name}" if matrix.name else path
        raise SemrsmError(
            f"{place} is {rows} x {columns}, but the file names {matrix.n_named} samples; save a square"
            " matrix of them, or queries x gallery in a file that names none"
        )
    return Rsm(path, matrix.name, None, None, matrix.shape, square, matrix.samples, matrix.rows)


def _of_layer(
    file: RsmFile, info: LayerInfo, kernel: str | None, sigma: str | float, stored: bool
) -> Rsm:
    row = look_up(KERNELS, kernel or next(iter(info.sigmas), "cosine"), "kernel")
    stored = row.name in info.sigmas and (stored or row.needs_sigma)
    if stored and row.needs_sigma and info.sigmas[row.name] is None:
        raise SemrsmError(
            f"{file.path}::{info.name}: its {row.name} has no sigma; compute it again"
        )
    if stored:
        rows = stored_rows(file, info.name, row.name)
    else:
        rows, _ = finished_rows(file, info, row, sigma)
    symmetric = info.storage_mode == "symmetric"
    return Rsm(
        *(
            file.path,
            info.name,
            info.matcher,
            row.name,
            info.shape,
            symmetric,
            file.samples(),
            rows,
            file.taken(info.n_samples),
            file.source,
            file.samples("column_samples"),
            file.taken(info.n_columns, of_columns=True),
        ),
        constant_part=constant_part(file, info, row),
    )


def baseline_of(rsm: Rsm, baselines: Sequence[Rsm]) -> Rsm:
    """Return which RSM is the baseline of one: the only one, or that of the layer of its name.

    Raises SemrsmError if there is none.
    """
    if len(baselines) == 1:
        return baselines[0]
    for baseline in baselines:
        if baseline.layer == rsm.layer:
            return baseline
    raise SemrsmError(
        f"the baseline {baselines[0].path} has several layers and none is called '{rsm.layer}', as in"
        f" {rsm.path}; name one: {baselines[0].path}::LAYER"
    )
