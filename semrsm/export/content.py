"""What is exported: RSMs as similarities or distances, block by block, and what is known of the samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm

SIMILARITIES, DISTANCES = "similarities", "distances"
WORKING = 48.0  # bytes for each entry of a block: as read, as a distance, as it is written
UNIT = 1e-6  # how far from 1 the diagonal of a plain matrix of cosines may be


@dataclass(frozen=True)
class ExportedRsm:
    """One RSM as it is written.

    Attributes:
        rsm: The RSM.
        name: What it is called in the file: its layer, or "rsm".
        distances: Distances are written in place of similarities.
        memory: Bytes that reading may take.
    """

    rsm: Rsm
    name: str
    distances: bool
    memory: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.rsm.shape

    @cached_property
    def dtype(self) -> np.dtype[np.floating]:
        """Type of the values: float32 as stored; float64 of distances and what is finished now."""
        return self.rsm.rows(slice(0, 1)).dtype.newbyteorder("=")

    @cached_property
    def measure(self) -> str:
        """What the values are, in words."""
        kernel = self.rsm.kernel or ("cosine" if self.distances else None)
        if not self.distances:
            return kernel or "similarity"
        return "squared euclidean" if kernel == "linear" else f"1 - {kernel}"

    def blocks(self) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Yield (first row, block of whole rows) of what is written, from top to bottom.

        Distances are 1 - s of the kernels cosine and rbf, and of the linear kernel the squared Euclidean
        distance s_ii + s_jj - 2 s_ij; never below 0, and 0 on the diagonal of a symmetric RSM.
        """
        norms = self._diagonal if self.distances and self.rsm.kernel == "linear" else None
        for first, block in self.rsm.blocks(self.memory, WORKING):
            yield first, (self._distances(first, block, norms) if self.distances else block)

    @cached_property
    def _diagonal(self) -> NDArray[np.floating]:
        """The diagonal, (n,), read in a pass of its own."""
        blocks = self.rsm.blocks(self.memory, WORKING)
        return np.concatenate([np.diagonal(block, first) for first, block in blocks])

    def _distances(
        self, first: int, block: NDArray[np.floating], norms: NDArray[np.floating] | None
    ) -> NDArray[np.floating]:
        own = None if norms is None else norms[first : first + len(block), None]
        far = 1 - block if own is None or norms is None else own + norms - 2 * block
        np.maximum(far, 0, out=far)
        if self.rsm.symmetric:
            rows = np.arange(len(block))
            far[rows, first + rows] = 0
        return far

    def condensed(self) -> Iterator[NDArray[np.floating]]:
        """Yield the values of the pairs i < j, row by row, as SciPy's `squareform` has them."""
        for first, block in self.blocks():
            yield np.concatenate([row[first + k + 1 :] for k, row in enumerate(block)])

    @property
    def n_pairs(self) -> int:
        """How many pairs i < j there are."""
        return self.shape[0] * (self.shape[0] - 1) // 2


@dataclass(frozen=True)
class Content:
    """What a file is made of.

    Attributes:
        rsms: At least one.
        samples: Ids of the rows; None where there are none.
        column_samples: Ids of the columns of rectangular RSMs.
        labels: A label for each row, as text; None without.
        memory: Bytes that may be taken.
    """

    rsms: Sequence[ExportedRsm]
    samples: list[str] | None
    column_samples: list[str] | None
    labels: list[str] | None
    memory: int


def refuse_distances(rsm: Rsm) -> None:
    """Raise SemrsmError for an RSM of which nothing says what its distances are."""
    if rsm.kernel == "linear" and not rsm.symmetric:
        raise SemrsmError(
            f"{rsm.address} is rectangular, and distances of the kernel linear need the norms of both sides;"
            " take `kernel='cosine'` or `values='similarities'`"
        )
    if rsm.kernel is None and not _is_unit(rsm):
        raise SemrsmError(
            f"{rsm.address} is a plain matrix whose diagonal is not 1, so that nothing says what its"
            " distances are; take `values='similarities'`, or an RSM file"
        )


def _is_unit(rsm: Rsm) -> bool:
    """Say whether a plain matrix has ones on its diagonal, as similarities of cosine and correlation do."""
    if not rsm.symmetric:
        return False
    blocks = rsm.blocks(rsm.row_need(WORKING), WORKING)
    return all(np.abs(np.diagonal(block, first) - 1).max() <= UNIT for first, block in blocks)
