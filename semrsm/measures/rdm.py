"""What RSA correlates: the entries of an RSM as they are, or dissimilarities (an RDM) made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Floats, Matrix, row_blocks

NO_SPREAD = 1e-12  # of a squared norm: a spread below that part of it is rounding


def negative_half_distances(k: Floats, of_rows: Floats, of_columns: Floats) -> Floats:
    """Return -D / 2 with the squared Euclidean distances D_ij = k_ii + k_jj - 2 k_ij, at least 0.

    Args:
        k: (a, n) float64, some rows of an RSM.
        of_rows: (a,) k_ii of these rows.
        of_columns: (n,) k_jj.

    >>> negative_half_distances(np.array([[4.0, 1.0]]), np.array([4.0]), np.array([4.0, 1.0])).tolist()
    [[0.0, -1.5]]
    """
    return np.minimum((k - of_rows[:, None]) / 2 + (k - of_columns) / 2, 0.0)


def negative_half_decorrelations(k: Floats, of_rows: Floats, of_columns: Floats) -> Floats:
    """Return -D / 2 with D_ij = 1 - k_ij / √(k_ii k_jj), of what is left of an RSM without the means.

    Args as `negative_half_distances`.

    >>> negative_half_decorrelations(np.array([[4.0, 1.0]]), np.array([4.0]), np.array([4.0, 1.0])).tolist()
    [[0.0, -0.25]]
    """
    correlation = k / np.sqrt(of_rows)[:, None] / np.sqrt(of_columns)
    return (np.clip(correlation, -1.0, 1.0) - 1.0) / 2


@dataclass(frozen=True)
class Rdm:
    """What is made of an RSM before its pairs i < j are correlated.

    Attributes:
        name: Key in RDMS.
        summary: One line on what it is.
        formula: Of the dissimilarity; k_ij are the entries of the RSM.
        without_means: The mean over the values of each sample is taken out before.
        negative_half: Rows of the RSM, k_ii of these rows and of all columns -> -D / 2 of these rows,
            larger = more similar; None leaves the RSM as it is.
    """

    name: str
    summary: str
    formula: str
    without_means: bool
    negative_half: Callable[[Floats, Floats, Floats], Floats] | None


RDMS: dict[str, Rdm] = {
    rdm.name: rdm
    for rdm in (
        Rdm(
            name="none",
            summary="the entries of the RSM as they are",
            formula="k_ij itself",
            without_means=False,
            negative_half=None,
        ),
        Rdm(
            name="correlation",
            summary="1 - Pearson correlation of the values of two samples",
            formula="1 - (k_ij - c_i c_j) / √((k_ii - c_i²) (k_jj - c_j²)), c_i = Σ x_i / √(S C)"
            " (over |x_i| for cosine)",
            without_means=True,
            negative_half=negative_half_decorrelations,
        ),
        Rdm(
            name="euclidean",
            summary="squared Euclidean distance of two samples",
            formula="k_ii + k_jj - 2 k_ij",
            without_means=False,
            negative_half=negative_half_distances,
        ),
    )
}


class RdmMatrix:
    """An RDM made of an RSM when its rows are read: -D / 2, a Matrix as measures read them.

    >>> K = np.array([[4.0, 1.0], [1.0, 1.0]])
    >>> RdmMatrix(K, RDMS["euclidean"])[0:1].tolist()
    [[0.0, -1.5]]
    """

    dtype: Any = np.dtype(np.float64)

    def __init__(self, matrix: Matrix, rdm: Rdm, constant_part: Floats | None = None) -> None:
        """Make ready.

        Args:
            matrix: The RSM.
            rdm: A row of RDMS.
            constant_part: (n,) c_i, what the mean of a sample's values adds to k_ij: c_i c_j. None is
                for samples without a mean.
        """
        self._matrix, self._rdm = matrix, rdm
        self._part = constant_part if rdm.without_means else None
        self.shape: tuple[int, int] = (matrix.shape[0], matrix.shape[0])

    def __getitem__(self, rows: slice) -> Floats:
        """Return some rows, (k, n) float64.

        Raises SemrsmError if the values of a sample do not differ and the RDM is of correlations.
        """
        first, stop, _ = rows.indices(self.shape[0])
        rows = slice(first, stop)
        block = np.array(self._matrix[rows], dtype=np.float64)
        if self._rdm.negative_half is None:
            return block
        if self._part is not None:
            block -= self._part[rows, None] * self._part
        return self._rdm.negative_half(block, self._own[rows], self._own)

    @cached_property
    def _own(self) -> Floats:
        """Return k_ii - c_i², (n,)."""
        own = np.concatenate(
            [block[np.arange(len(block)), np.arange(rows.start, rows.stop)]
             for rows, block in row_blocks(self._matrix)]
        )  # fmt: skip
        if not self._rdm.without_means:
            return own
        left = own if self._part is None else own - self._part**2
        flat = np.flatnonzero(~(left > NO_SPREAD * own))
        if len(flat):
            raise SemrsmError(
                f"the values of sample {flat[0]} do not differ, so it has no correlation with others;"
                " leave it out or choose another RDM"
            )
        return left
