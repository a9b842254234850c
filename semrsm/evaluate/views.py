"""Views: are two views of one thing, say an image and its translation, more alike than others?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PAIR_BYTES = 40  # a pair takes at most where it is held: itself, its copies while they are ranked


def codes_of(views: list[str]) -> NDArray[np.intp]:
    """Return ids as numbers, equal where the ids are.

    >>> codes_of(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    return np.unique(np.array(views), return_inverse=True)[1]


def same_view_pairs(codes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return for the pairs i < j, (0, 1), (0, 2), ..., whether both are views of one thing.

    Args:
        codes: (n,) integers, equal for views of one thing.

    >>> same_view_pairs(np.array([7, 8, 7])).tolist()
    [False, True, False]
    """
    return np.concatenate([codes[i] == codes[i + 1 :] for i in range(len(codes))])


def auroc(same: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the probability that a pair in `same` is more similar than one in `other`, ties half.

    This is the area under the ROC curve, U / (|same| |other|) with the statistic U of Mann and
    Whitney; NaN if either is empty.

    Args:
        same: (a,) floats, similarities of pairs that belong together.
        other: (b,) floats, of all other pairs.

    Source: J. A. Hanley, B. J. McNeil, 1982, doi:10.1148/radiology.143.1.7063747.

    >>> auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    return auroc_of_blocks(same, [other])


def auroc_of_blocks(same: NDArray[np.floating], others: Iterable[NDArray[np.floating]]) -> float:
    """Return `auroc` where the other pairs come in blocks: the ranks are counted, none are kept.

    >>> auroc_of_blocks(np.array([0.9, 0.5]), [np.array([0.5]), np.array([0.1])])
    0.875
    """
    ordered, count, twice = np.sort(same), 0, 0
    for other in others:
        values = np.sort(other)  # neighbours are then found near each other
        for side in ("left", "right"):
            twice += int(np.searchsorted(ordered, values, side=side).sum())
        count += len(values)
    if not len(same) or not count:
        return float("nan")
    return 1.0 - twice / 2 / len(same) / count


def medians(same: NDArray[np.floating], other: NDArray[np.floating]) -> dict[str, float]:
    """Return "median-same" and "median-other"; NaN for none.

    >>> medians(np.array([0.9, 0.5, 0.7]), np.array([0.1]))
    {'median-same': 0.7, 'median-other': 0.1}
    """
    pairs = {"median-same": same, "median-other": other}
    return {name: float(np.median(v)) if len(v) else float("nan") for name, v in pairs.items()}


def split_pairs(
    rows: NDArray[np.integer], block: NDArray[np.floating], codes: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the pairs i < j of a block of rows: those that are views of one thing, and all others.

    Args:
        rows: (b,) numbers of the rows.
        block: (b, n) floats.
        codes: (n,) integers, equal for views of one thing.

    >>> [p.tolist() for p in split_pairs(np.array([0]), np.array([[9.0, 1.0, 2.0]]), np.array([7, 8, 7]))]
    [[2.0], [1.0]]
    """
    later = np.arange(block.shape[1]) > rows[:, None]
    same = codes[rows][:, None] == codes
    return block[later & same], block[later & ~same]


def top1(
    similarity: NDArray[np.floating], rows: NDArray[np.integer], codes: NDArray[np.integer]
) -> Floats:
    """Return for a block of rows whether the nearest other sample is a view of the same thing: 1 or 0.

    Where several samples are equally near it is the share of them that are such views; NaN for a sample
    without another view.

    Args:
        similarity: (b, n) floats, finite.
        rows: (b,) numbers of the rows.
        codes: (n,) integers, equal for views of one thing.

    >>> rsm = np.array([[9.0, 0.3, 0.3, 0.1], [0.3, 9.0, 0.2, 0.2]])
    >>> top1(rsm, np.array([0, 1]), np.array([7, 7, 8, 9])).tolist()
    [0.5, 1.0]
    """
    others = similarity.copy()
    others[np.arange(len(others)), rows] = -np.inf
    nearest = others == others.max(axis=1, keepdims=True)
    same = codes[rows][:, None] == codes
    shares = (nearest & same).sum(axis=1) / nearest.sum(axis=1)
    return np.where(same.sum(axis=1) > 1, shares, np.nan)
