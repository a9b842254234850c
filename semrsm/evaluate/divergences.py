"""Jensen-Shannon divergences of the predicted class probabilities of samples."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError

Floats = NDArray[np.float64]

SUM_TOLERANCE = 1e-3  # of probabilities: a thousand of float16 add up no better
ROUNDING = 1e-13  # divergences this near to 0 or 1 are taken for it: the entropies round
CHUNK = 1 << 17  # numbers that are worked on at a time: near to the processor, and few calls
BAND = 16  # samples that are compared with those in the cache
SMALLEST = 1e-300  # stands for a probability of 0: x log x vanishes, and the logarithm is defined


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities exp(z_c) / sum exp(z), (n, classes) float64.

    Raises SemrsmError naming the first sample whose logits are not finite.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    _refuse_rows(~np.isfinite(logits).all(axis=1), "has logits that are not finite")
    z = np.asarray(logits, dtype=np.float64)
    # Halves, because the difference of two huge logits may overflow.
    powers = np.exp(np.maximum(z / 2 - z.max(axis=1, keepdims=True) / 2, -1e300) * 2)
    return powers / powers.sum(axis=1, keepdims=True)


def checked_probabilities(values: NDArray[np.floating]) -> Floats:
    """Return probabilities as float64 that sum to 1 exactly, once they are seen to do so to 1e-3.

    Raises SemrsmError naming the first sample with a value that is not finite or below 0, or with
    a sum other than 1.

    >>> checked_probabilities(np.array([[0.5, 0.5001]])).round(3).tolist()
    [[0.5, 0.5]]
    """
    p = np.asarray(values, dtype=np.float64)
    _refuse_rows(~np.isfinite(p).all(axis=1), "has probabilities that are not finite")
    _refuse_rows((p < 0).any(axis=1), "has probabilities below 0")
    sums = p.sum(axis=1)
    _refuse_rows(
        np.abs(sums - 1) > SUM_TOLERANCE, "has probabilities that do not sum to 1", sums, "`logits`"
    )
    return p / sums[:, None]


def _refuse_rows(wrong: Any, what: str, values: Floats | None = None, instead: str = "") -> None:
    if wrong.any():
        sample = int(np.argmax(wrong))
        came = "" if values is None else f" but to {values[sample]:.6g}"
        hint = f"; give logits with {instead}" if instead else "; save it again"
        raise SemrsmError(f"sample {sample} {what}{came}{hint}")


def divergences(p: Floats, workers: int = 1) -> Floats:
    """Return the Jensen-Shannon divergence, log base 2, of the pairs i < j.

    JSD(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2 with H(p) = -sum p log2 p, within [0, 1].
    Equal predictions have exactly 0, predictions without a common class exactly 1.

    Args:
        p: (n, classes) float64, probabilities; each row sums to 1.
        workers: How many threads; the result does not depend on it.

    Returns:
        (n (n - 1) / 2,) float64: (0, 1), (0, 2), ... (1, 2), ...

    Source: J. Lin: Divergence measures based on the Shannon entropy, 1991, doi:10.1109/18.61115.

    >>> divergences(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])).round(4).tolist()
    [0.0, 1.0, 0.3113, 1.0, 0.3113, 0.3113]
    """
    n = len(p)
    starts = np.cumsum([0, *range(n - 1, 0, -1)])
    values = np.empty(starts[-1])
    above, own = _with_logarithms(p)

    def fill(band: range) -> None:
        for i, row in zip(band, _rows(above, own, band), strict=True):
            values[starts[i] : starts[i] + len(row)] = row

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(fill, _bands(n)):
            pass
    return values


def divergence_rows(p: Floats) -> Iterator[Floats]:
    """Yield for each sample its divergences from those that follow; together these are `divergences`.

    >>> [row.tolist() for row in divergence_rows(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))]
    [[0.0, 1.0], [1.0], []]
    """
    above, own = _with_logarithms(p)
    for band in _bands(len(p)):
        yield from _rows(above, own, band)


def _bands(n: int) -> Iterator[range]:
    return (range(first, min(first + BAND, n)) for first in range(0, n, BAND))


def _with_logarithms(p: Floats) -> tuple[Floats, Floats]:
    """Return probabilities above 0, and sum p log p of each sample."""
    above = np.maximum(p, SMALLEST)
    return above, np.array([row @ np.log(row) for row in above])


def _rows(p: Floats, own: Floats, band: range) -> list[Floats]:
    """Return the divergences of each sample of a band from those that follow it."""
    n, classes = p.shape
    step = max(1, min(CHUNK // classes, n))
    sums, logs = np.empty((2, step, classes))
    rows = [np.empty(n - 1 - i) for i in band]
    for j in range(band.start + 1, n, step):
        for i, row in zip(band, rows, strict=True):
            others = p[max(i + 1, j) : j + step]
            if not len(others):
                continue
            at = max(0, j - i - 1)
            s = np.add(p[i], others, out=sums[: len(others)])
            log = np.log(s, out=logs[: len(others)])
            # The products of rows: einsum takes twice as long.
            row[at : at + len(others)] = (s[:, None] @ log[:, :, None]).ravel()
    return [_from_entropies(row, own[i], own[i + 1 :]) for i, row in zip(band, rows, strict=True)]


def _from_entropies(row: Floats, own: float, others: Floats) -> Floats:
    """Return 1 - (sum s log2 s - own - others) / 2: s = p + q has twice the weight of the mean."""
    row -= own
    row -= others
    row *= -0.5 / np.log(2.0)
    row += 1.0
    row[row < ROUNDING] = 0.0
    row[row > 1.0 - ROUNDING] = 1.0
    return row
