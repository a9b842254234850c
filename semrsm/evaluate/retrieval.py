"""Retrieval: are the nearest neighbours of a sample, by a row of the RSM, samples with its labels?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # every command would wait for it
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

SUMMARIES = {"ap": "map", "rr": "mrr"}  # per-query metric -> its mean, where that has its own name


def multi_hot(*groups: Sequence[frozenset[str]]) -> list[csr_array]:
    """Return label sets as sparse (n, classes) matrices of 0 and 1, one a group, columns shared.

    >>> [m.toarray().tolist() for m in multi_hot([frozenset("a")], [frozenset("ab"), frozenset()])]
    [[[1, 0]], [[1, 1], [0, 0]]]
    """
    names = sorted({label for group in groups for labels in group for label in labels})
    column_of = {name: column for column, name in enumerate(names)}
    return [_indicator(group, column_of) for group in groups]


def _indicator(group: Sequence[frozenset[str]], column_of: Mapping[str, int]) -> csr_array:
    from scipy.sparse import csr_array

    columns = [column_of[label] for labels in group for label in sorted(labels)]
    ends = np.cumsum([0, *(len(labels) for labels in group)])
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_array((ones, columns, ends), shape=(len(group), max(1, len(column_of))))


def retrieve(
    similarity: NDArray[np.floating],
    query: csr_array,
    gallery: csr_array,
    ks: Sequence[int] = (1,),
    own: NDArray[np.integer] | None = None,
) -> dict[str, Floats]:
    """Score the rankings of a block of queries.

    The gallery is ranked by falling similarity; equal similarities keep the gallery's order (lower
    column first). Only the order counts, so no increasing change of the similarities matters. A
    gallery sample is relevant if it shares a label with the query. With R relevant samples and h(r)
    of them among the first r:

    - f1@k: mean over the first k of 2 |Q ∩ G| / (|Q| + |G|), Q and G the label sets
    - precision@k = h(k) / k; recall@k = h(k) / R; r-precision = h(R) / R
    - ap: mean of h(r) / r over the ranks r of the relevant samples
    - rr: 1 / rank of the first relevant sample

    Args:
        similarity: (b, m) floats, finite.
        query: (b, classes) sparse, 0 and 1: the labels of the queries.
        gallery: (m, classes) sparse, 0 and 1.
        ks: Which k; at most the number of candidates each.
        own: (b,) the column of each query itself, which is no candidate; None: all columns are.

    Returns:
        (b,) float64 for each metric; NaN for a query without a relevant sample.

    Source: C. D. Manning, P. Raghavan, H. Schütze: Introduction to information retrieval, 2008,
    chapter 8, doi:10.1017/CBO9780511809071; F1@k: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    >>> q, g = multi_hot([frozenset("x")], [frozenset("x"), frozenset("y"), frozenset("x")])
    >>> scores = retrieve(np.array([[0.2, 0.3, 0.5]]), q, g, ks=(2,))
    >>> {name: round(float(value[0]), 4) for name, value in scores.items()}
    {'f1@2': 0.5, 'precision@2': 0.5, 'recall@2': 0.5, 'ap': 0.8333, 'rr': 1.0, 'r-precision': 0.5}
    """
    order = _ranking(similarity, own)
    shared = np.take_along_axis((query @ gallery.T).toarray(), order, axis=1)
    hits = shared > 0
    found = hits.cumsum(axis=1)
    relevant = found[:, -1]
    defined = relevant > 0
    R = np.maximum(relevant, 1)
    sizes = query.sum(axis=1)[:, None] + gallery.sum(axis=1)[order[:, : max(ks)]]
    f1 = 2.0 * shared[:, : max(ks)] / np.maximum(sizes, 1)
    ranks = np.arange(1, hits.shape[1] + 1)
    scores = {
        **{f"f1@{k}": f1[:, :k].mean(axis=1) for k in ks},
        **{f"precision@{k}": found[:, k - 1] / k for k in ks},
        **{f"recall@{k}": found[:, k - 1] / R for k in ks},
        "ap": np.einsum("ij,ij->i", hits, found / ranks) / R,
        "rr": 1.0 / (1 + hits.argmax(axis=1)),
        "r-precision": np.take_along_axis(found, R[:, None] - 1, axis=1)[:, 0] / R,
    }
    return {name: np.where(defined, values, np.nan) for name, values in scores.items()}


def _ranking(similarity: NDArray[np.floating], own: NDArray[np.integer] | None) -> NDArray[np.intp]:
    """Return the columns by falling similarity, ties by column, without each row's own column."""
    key = -similarity
    if own is None:
        return np.argsort(key, axis=1, kind="stable")
    key[np.arange(len(key)), own] = np.inf
    return np.argsort(key, axis=1, kind="stable")[:, :-1]


def summarise(scores: Mapping[str, Floats]) -> dict[str, float]:
    """Return the mean of each metric over the queries that have a relevant sample.

    >>> summarise({"ap": np.array([1.0, 0.5, np.nan])})
    {'map': 0.75}
    """
    return {SUMMARIES.get(name, name): float(np.nanmean(v)) for name, v in scores.items()}
