"""Views: are two views of one thing, say an image and its translation, more alike than others?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    if not len(same) or not len(other):
        return float("nan")
    ordered = np.sort(same)
    below = np.searchsorted(ordered, other, side="left").sum(dtype=np.float64)
    up_to = np.searchsorted(ordered, other, side="right").sum(dtype=np.float64)
    return float(1.0 - (below + up_to) / 2 / len(same) / len(other))


def medians(same: NDArray[np.floating], other: NDArray[np.floating]) -> dict[str, float]:
    """Return "median-same" and "median-other"; NaN for none.

    >>> medians(np.array([0.9, 0.5, 0.7]), np.array([0.1]))
    {'median-same': 0.7, 'median-other': 0.1}
    """
    pairs = {"median-same": same, "median-other": other}
    return {name: float(np.median(v)) if len(v) else float("nan") for name, v in pairs.items()}


def nearest(similarity: NDArray[np.floating], own: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the column that each row is most similar to, itself excluded; of equals the first.

    Args:
        similarity: (b, n) floats, finite.
        own: (b,) the column of each row's own sample.

    >>> nearest(np.array([[1.0, 0.3, 0.3]]), np.array([0])).tolist()
    [1]
    """
    others = similarity.copy()
    others[np.arange(len(others)), own] = -np.inf
    return others.argmax(axis=1)


def top1(found: NDArray[np.integer], codes: NDArray[np.integer]) -> Floats:
    """Return 1 where a sample's nearest is a view of the same thing, else 0; NaN without other views.

    Args:
        found: (n,) the nearest of each sample.
        codes: (n,) integers, equal for views of one thing.

    >>> top1(np.array([1, 0, 0]), np.array([7, 7, 8])).tolist()
    [1.0, 1.0, nan]
    """
    alone = np.bincount(codes)[codes] < 2
    return np.where(alone, np.nan, codes[found] == codes)
