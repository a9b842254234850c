"""What is told of every measure: one record per row of the table MEASURES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from semrsm.errors import SemrsmError
from semrsm.measures.ceiling import Ceiling
from semrsm.measures.matrices import Integers, Matrix
from semrsm.measures.resamples import Weighted

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

EVERY_SHIFT: tuple[Invariance, ...] = ("scaling", "shift", "row-shift", "sample-permutation")
OF_PAIRS: tuple[Invariance, ...] = ("scaling", "diagonal", "sample-permutation")
OF_ORDER: tuple[Invariance, ...] = (*OF_PAIRS, "shift", "monotone")


@dataclass(frozen=True, kw_only=True)
class Need:
    """The memory a measure takes beside the RSMs themselves and FOR_BLOCKS, for blocks of rows.

    Attributes:
        resident: Bytes that a prepared RSM keeps, for each entry of an (n, n) RSM.
        prepare: Bytes that preparing takes at its peak, with what it then keeps, for each entry.
        compare: Bytes that comparing two prepared RSMs takes at its peak, for each entry.
        resample: Bytes that a resample takes at its peak, for each entry, beside COUNTING.
        sample: Bytes for each of the n samples that the pair in work takes on top.
        kept_sample: Bytes for each sample that a prepared RSM keeps on top.
    """

    resident: float = 0
    prepare: float = 0
    compare: float = 0
    resample: float
    sample: float = 0
    kept_sample: float = 0

    def __or__(self, other: Need) -> Need:
        """Return what two measures need that prepare RSMs in one way, one after the other.

        >>> Need(resident=4, compare=2, resample=9) | Need(resident=4, resample=10)
        Need(resident=4, prepare=0, compare=2, resample=10, sample=0, kept_sample=0)
        """
        return Need(
            **{f.name: max(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        )


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
        alias: Its name in similarity-repository's scheme for linear kernels, if it has one; `of_pairs`
            that of the RDM correlation.
        of_pairs: It correlates the pairs i < j, so a row of RDMS may say what they hold.
        neighbours: How many nearest neighbours of a sample it looks at, if it does.
        need: The memory it takes.
        prepare: RSM -> what `compare` takes. Raises SemrsmError for an RSM without a value.
        compare: Two prepared RSMs -> the value. Raises SemrsmError if they differ in n.
        compare_many: (prepared RSMs, pairs of places among them) -> their values, where comparing reads
            the RSMs: each is read once, and BLOCK_BYTES of it held.
        resample: (K, L, clusters (n,)) -> what gives the values (b,) for counts (b, n) of the samples, as
            resamples.Resamples makes them; None where samples that are drawn twice change what it is.
        ceiling: (prepared RSMs, `compare`) -> their noise ceiling, where it has one.
        permute: (prepared RSM, order (n,)) -> the same with its samples in that order.
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
    of_pairs: bool = False
    neighbours: int | None = None
    need: Need
    prepare: Callable[[Matrix], Any]
    compare: Callable[[Any, Any], float]
    compare_many: Callable[[Sequence[Any], Sequence[tuple[int, int]]], list[float]] | None = None
    resample: Callable[[Matrix, Matrix, Integers], Weighted] | None = None
    ceiling: Callable[[Sequence[Any], Callable[[Any, Any], float]], Ceiling] | None = None
    permute: Callable[[Any, Integers], Any]

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
