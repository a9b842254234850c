"""What is told of every measure: one record per row of the table MEASURES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import Integers, Matrix

Direction = Literal["larger = more similar", "larger = less similar"]
Invariance = Literal["scaling", "shift", "row-shift", "diagonal", "monotone", "sample-permutation"]

INVARIANCES: dict[Invariance, str] = {
    "scaling": "multiplying one RSM by a positive number",
    "shift": "adding a number to all entries of one RSM",
    "row-shift": "adding a_i + a_j to the entries (i, j) of one RSM",
    "diagonal": "any change of the diagonal",
    "monotone": "a strictly increasing function of the entries of one RSM",
    "sample-permutation": "the same reordering of the samples of both RSMs (neighbours: without ties)",
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure of how alike two RSMs of the same n samples are.

    Call it: `MEASURES["cka"](K, L)` with two symmetric (n, n) matrices of any real dtype; all is
    computed in float64. To compare one RSM with many, `prepare` each once and `compare` the
    prepared ones. Measures with the same `prepare` function share what it returns, so a cache has
    the key (RSM, measure.prepare). RSMs may be arrays, memory maps or open HDF5 datasets: only
    `.shape`, `.dtype` and slices of rows are used, and a prepared RSM may read them again.

    Attributes:
        name: Key in MEASURES.
        summary: One line on what it is.
        formula: Over K, L with entries k, l, m = n (n - 1) / 2 pairs.
        direction: Whether a larger value means more similar.
        range: (smallest, largest) possible value.
        symmetric: Whether (K, L) and (L, K) give the same value.
        invariances: What changes nothing, keys of INVARIANCES.
        min_samples: The smallest n it is defined for.
        reference: The paper that defines it.
        doi: The paper's DOI.
        alias: Its name in similarity-repository's scheme for linear kernels, if it has one.
        prepare: RSM -> what `compare` takes. Raises SemrsmError for an RSM without a value.
        compare: Two prepared RSMs -> the value. Raises SemrsmError if they differ in n.
        resample: (K, L, index) -> the value over the samples of `index`, which may repeat; pairs of
            own copies are dropped as inference.bootstrap tells. K and L are arrays.
    """

    name: str
    summary: str
    formula: str
    direction: Direction = "larger = more similar"
    range: tuple[float, float]
    symmetric: bool = True
    invariances: tuple[Invariance, ...]
    min_samples: int
    reference: str
    doi: str
    alias: str | None = None
    prepare: Callable[[Matrix], Any]
    compare: Callable[[Any, Any], float]
    resample: Callable[[NDArray[Any], NDArray[Any], Integers], float]

    def __call__(self, K: Matrix, L: Matrix) -> float:
        """Return the value of two symmetric (n, n) RSMs.

        Raises SemrsmError, with the reason, if the measure is undefined for them.

        >>> import numpy as np
        >>> from semrsm.measures import MEASURES
        >>> K = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
        >>> MEASURES["rsa-spearman"](K, K**2)
        1.0
        """
        return self.compare(_prepare(self, K, "the first RSM"), _prepare(self, L, "the second RSM"))


def _prepare(measure: Measure, matrix: Matrix, which: str) -> Any:
    try:
        return measure.prepare(matrix)
    except SemrsmError as error:
        raise error.within(which) from None
