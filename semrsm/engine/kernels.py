"""Similarity kernels: short finishers that turn matched inner products into an RSM.

Norms do not depend on the matching, so one matching pass serves every kernel of this table. All of
them work in float64 on plain arrays and need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.selection import select
from semrsm.errors import SemrsmError
from semrsm.sample_numbers import spans

Floats = NDArray[np.float64]
ROUNDING = 1e-13  # of float64 sums over a million numbers, relative
REFERENCE = "Wald et al., NeurIPS 2024, arXiv:2410.23107"


@dataclass(frozen=True)
class Kernel:
    """A similarity kernel on matched maps.

    Attributes:
        name: What it is called on the command line.
        summary: One line for help texts.
        formula: In m_ij (matched inner product) and s_i (squared norm).
        range: The values it can take.
        bounded: They lie in that range however large the activations are.
        needs_sigma: It has a width.
        needs_norm: It divides by the norms, so no map may be zero.
        needs_permutation: It is wrong for matchers that only bound the inner product.
        finish: (m, row_squared_norm, column_squared_norm, sigma) -> RSM, all float64.
        reference: Where it is defined.
    """

    name: str
    summary: str
    formula: str
    range: str
    bounded: bool
    needs_sigma: bool
    needs_norm: bool
    needs_permutation: bool
    finish: Callable[[Floats, Floats, Floats, float | None], Floats]
    reference: str = REFERENCE


def linear(m: Floats, row_sq: Floats, column_sq: Floats, sigma: float | None = None) -> Floats:
    """Return the inner product of the matched maps, m_ij, as it is.

    Args:
        m: (a, b) float64, matched inner products.
        row_sq: (a,) float64, squared norms of the row samples; not used.
        column_sq: (b,) float64, squared norms of the column samples; not used.
        sigma: Not used.

    >>> linear(np.array([[4.0, 2.0]]), np.array([4.0]), np.array([4.0, 1.0])).tolist()
    [[4.0, 2.0]]
    """
    return m


def cosine(m: Floats, row_sq: Floats, column_sq: Floats, sigma: float | None = None) -> Floats:
    """Return the cosine of the matched, flattened maps, m_ij / sqrt(s_i s_j), within [-1, 1].

    Args as `linear`; no squared norm may be 0 (`refuse_zero_norms`).

    >>> cosine(np.array([[4.0, 1.0]]), np.array([4.0]), np.array([4.0, 1.0])).tolist()
    [[1.0, 0.5]]
    """
    # Two roots, not one of the product: that would overflow or vanish for very large or small maps.
    return np.clip(m / np.outer(np.sqrt(row_sq), np.sqrt(column_sq)), -1.0, 1.0)


def squared_distance(m: Floats, row_sq: Floats, column_sq: Floats) -> Floats:
    """Return the squared distance of the matched maps, s_i + s_j - 2 m_ij, clamped at 0.

    What float64 cannot tell from 0 beside s_i + s_j is 0: equal maps have no distance.

    >>> squared_distance(np.array([[4.0, 1.0]]), np.array([4.0]), np.array([4.0, 1.0])).tolist()
    [[0.0, 3.0]]
    """
    sums = row_sq[:, None] + column_sq[None, :]
    d2 = sums - 2.0 * m
    return np.where(d2 > ROUNDING * sums, d2, 0.0)


def rbf(m: Floats, row_sq: Floats, column_sq: Floats, sigma: float | None) -> Floats:
    """Return the Gaussian of the distance of the matched maps, exp(-d_ij^2 / (2 sigma^2)).

    Args:
        m: (a, b) float64, matched inner products.
        row_sq: (a,) float64, squared norms of the row samples.
        column_sq: (b,) float64, squared norms of the column samples.
        sigma: The width, in the units of the activations; must be given.

    >>> rbf(np.array([[4.0, 1.0]]), np.array([4.0]), np.array([4.0, 1.0]), 1.0).round(4).tolist()
    [[1.0, 0.2231]]
    """
    if sigma is None:
        raise SemrsmError("the kernel rbf needs a width; give `sigma='median'` or a number")
    return np.exp(-squared_distance(m, row_sq, column_sq) / sigma / sigma / 2.0)


KERNELS: dict[str, Kernel] = {
    k.name: k
    for k in (
        Kernel(
            name="linear",
            summary="inner product of the matched maps",
            formula="m_ij",
            range="any number",
            bounded=False,
            needs_sigma=False,
            needs_norm=False,
            needs_permutation=False,
            finish=linear,
        ),
        Kernel(
            name="cosine",
            summary="cosine of the matched, flattened maps",
            formula="m_ij / sqrt(s_i s_j)",
            range="[-1, 1]",
            bounded=True,
            needs_sigma=False,
            needs_norm=True,
            needs_permutation=True,
            finish=cosine,
        ),
        Kernel(
            name="rbf",
            summary="Gaussian of the distance of the matched maps",
            formula="exp(-(s_i + s_j - 2 m_ij) / (2 sigma^2))",
            range="[0, 1]",
            bounded=True,
            needs_sigma=True,
            needs_norm=False,
            needs_permutation=True,
            finish=rbf,
        ),
    )
}


def refuse_zero_norms(squared_norm: Floats, samples: Sequence[int]) -> None:
    """Raise SemrsmError naming the samples whose maps are zero everywhere: they have no cosine."""
    zero = [samples[row] for row in np.flatnonzero(squared_norm == 0).tolist()]
    if zero:
        named = spans(zero)
        many = len(zero) > 1
        raise SemrsmError(
            f"{f'samples {named} are' if many else f'sample {named} is'} zero everywhere and"
            f" {'have' if many else 'has'} no cosine; leave {'them' if many else 'it'} out"
            f" with `exclude='{named}'` or use `kernel='linear'`"
        )


def parse_sigma(value: Any) -> str | float:
    """Return a width as it is used: "median", or a positive number.

    Raises SemrsmError for anything else.

    >>> parse_sigma("0.5")
    0.5
    """
    if value == "median":
        return "median"
    try:
        number = float(str(value))
    except ValueError:
        raise SemrsmError(f"sigma must be 'median' or a positive number, got {value!r}") from None
    if not 0 < number < float("inf"):
        raise SemrsmError(f"sigma must be 'median' or a positive number, got {value}")
    return number


@dataclass(frozen=True)
class Matched:
    """Matched inner products, wherever they are kept, and the norms that belong to them.

    Attributes:
        blocks: Gives (first row, first column, block) of float64 that together hold every pair once:
            every entry, or in a symmetric RSM at least the pairs i < j. May be called several times.
        row_sq: (n,) float64, squared norms of the row samples.
        column_sq: (m,) float64, squared norms of the column samples.
        symmetric: Rows and columns are the same samples.
    """

    blocks: Callable[[], Iterable[tuple[int, int, Floats]]]
    row_sq: Floats
    column_sq: Floats
    symmetric: bool

    def pairs(self, row: int, column: int, block: Floats) -> Floats:
        """Return the entries of a block that are pairs: i < j if symmetric, else all; (P,)."""
        if not self.symmetric:
            return block.ravel()
        return block[np.triu_indices(len(block), row - column + 1, block.shape[1])]

    def distances(self) -> Iterator[Floats]:
        """Yield the squared distances of the pairs, block by block."""
        for row, column, block in self.blocks():
            rows, columns = slice(row, row + len(block)), slice(column, column + block.shape[1])
            d2 = squared_distance(block, self.row_sq[rows], self.column_sq[columns])
            yield self.pairs(row, column, d2)


def sigma_of(kernel: Kernel, sigma: str | float, matched: Matched) -> float | None:
    """Return the width a kernel is finished with: the one given, or from the median distance.

    Its square is then the lower median of the squared distances of the pairs, with no offset, so
    multiplying the activations by a number changes no value of the rbf kernel.

    Args:
        kernel: A row of KERNELS; None is returned for one that has no width.
        sigma: "median" or the width.
        matched: Read two or three times for a median, however large it is.

    Raises:
        SemrsmError: There is no pair, or the median is 0.

    >>> m = np.array([[1.0, 0.0, 1.0], [0.0, 4.0, 2.0], [1.0, 2.0, 9.0]])  # d^2 is 5, 8 and 9
    >>> matched = Matched(lambda: [(0, 0, m)], m.diagonal(), m.diagonal(), symmetric=True)
    >>> round(sigma_of(KERNELS["rbf"], "median", matched) ** 2, 9)
    8.0
    """
    if not kernel.needs_sigma:
        return None
    if not isinstance(sigma, str):
        return sigma
    refuse_no_pairs(kernel, sigma, matched.row_sq, matched.symmetric)
    [median] = select(matched.distances, lambda n: ((n - 1) // 2,))
    if median == 0:
        raise SemrsmError(
            "the median distance is 0, as more than half of the pairs are equal, or too alike for float64"
            " to tell; give `sigma` a number"
        )
    return float(np.sqrt(median))


def refuse_no_pairs(
    kernel: Kernel, sigma: str | float, row_samples: Sized, symmetric: bool
) -> None:
    """Refuse a median width where there is one sample only, and so no pair."""
    if kernel.needs_sigma and isinstance(sigma, str) and symmetric and len(row_samples) < 2:
        raise SemrsmError(
            "one sample has no pairs to take the median distance of; give `sigma` a number"
        )


def finisher(kernel: Kernel, sigma: str | float, matched: Matched) -> Finisher:
    """Return what turns matched inner products into a kernel's RSM: the one way every RSM is finished.

    Args:
        kernel: A row of KERNELS.
        sigma: "median" or the width; used by a kernel that has one.
        matched: The inner products, for the median, and the norms.

    Raises:
        SemrsmError: A map is zero and the kernel divides by its norm; as `sigma_of`.

    >>> m = np.array([[4.0, 1.0], [1.0, 1.0]])
    >>> matched = Matched(lambda: [(0, 0, m)], m.diagonal(), m.diagonal(), symmetric=True)
    >>> finisher(KERNELS["cosine"], "median", matched)(0, m).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    refuse_by_norms(kernel, sigma, matched)
    width = sigma_of(kernel, sigma, matched)
    return Finisher(kernel, width, matched.row_sq, matched.column_sq)


def refuse_by_norms(kernel: Kernel, sigma: str | float, matched: Matched) -> None:
    """Refuse what the norms alone tell that it cannot be finished: no inner product is read."""
    if kernel.needs_norm:
        for squared_norm in (matched.row_sq, matched.column_sq):
            refuse_zero_norms(squared_norm, range(len(squared_norm)))
    refuse_no_pairs(kernel, sigma, matched.row_sq, matched.symmetric)


@dataclass(frozen=True)
class Finisher:
    """A kernel with its width and the norms it needs: finishes blocks of rows, (k, m) float64."""

    kernel: Kernel
    sigma: float | None
    row_sq: Floats
    column_sq: Floats

    def __call__(self, first_row: int, block: Floats) -> Floats:
        """Finish the rows from `first_row` on, all columns."""
        rows = slice(first_row, first_row + len(block))
        return self.kernel.finish(block, self.row_sq[rows], self.column_sq, self.sigma)


def refuse_unmatched(kernel: Kernel, permutation: bool, matcher: str) -> None:
    """Refuse a kernel of matched maps where the matcher only bounds their inner product."""
    if kernel.needs_permutation and not permutation:
        raise SemrsmError(
            f"the kernel {kernel.name} needs matched maps and the matcher {matcher} matches none;"
            " use `kernel='linear'` or another `matcher`"
        )
