"""Similarity kernels: short finishers that turn matched inner products into an RSM.

Norms do not depend on the matching, so one matching pass serves every kernel of this table. All of
them work in float64 on plain arrays and need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

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
        raise SemrsmError("the kernel rbf needs a width; give --sigma median or a number")
    return np.exp(-squared_distance(m, row_sq, column_sq) / sigma / sigma / 2.0)


KERNELS: dict[str, Kernel] = {
    k.name: k
    for k in (
        Kernel(
            name="linear",
            summary="inner product of the matched maps",
            formula="m_ij",
            range="any number",
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
            needs_sigma=True,
            needs_norm=False,
            needs_permutation=True,
            finish=rbf,
        ),
    )
}


def refuse_zero_norms(squared_norm: Floats, samples: range) -> None:
    """Raise SemrsmError naming the first sample whose map is zero everywhere: it has no cosine."""
    zero = np.flatnonzero(squared_norm == 0)
    if len(zero):
        raise SemrsmError(
            f"sample {samples[int(zero[0])]} is zero everywhere and has no cosine;"
            " leave it out with --samples or use --kernel linear"
        )


def median_sigma(squared_distances: Iterable[Floats]) -> float:
    """Return the width whose square is the lower median of the squared distances, no offset.

    So multiplying the activations by a number changes no value of the rbf kernel. All pairs are
    held at once, 8 bytes each: 400 MB for 10 000 samples.

    Args:
        squared_distances: Blocks of d^2, float64, one entry for each pair i < j (every entry of a
            rectangular RSM).

    Raises:
        SemrsmError: There is no pair, or the median is 0.

    >>> median_sigma([np.array([1.0, 4.0]), np.array([9.0, 16.0])])
    2.0
    """
    d2 = np.concatenate([np.ravel(block) for block in squared_distances])
    if not len(d2):
        raise SemrsmError(
            "one sample has no pairs to take the median distance of; give --sigma a number"
        )
    middle = (len(d2) - 1) // 2
    d2.partition(middle)
    if d2[middle] == 0:
        raise SemrsmError(
            "the median distance is 0, as more than half of the pairs are equal; give --sigma a number"
        )
    return float(np.sqrt(d2[middle]))
