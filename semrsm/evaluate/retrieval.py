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


def relevant_of(
    query: csr_array, gallery: csr_array, things: NDArray[np.intp] | None
) -> NDArray[np.integer]:
    """Return how many relevant candidates R each query has that has any, where each has one label.

    Args:
        query: (n, classes) sparse, 0 and 1: at most one label each.
        gallery: (m, classes) sparse, the same.
        things: (n,) of which thing each sample is a view, where query and gallery are the same samples;
            views of one thing are no candidates for each other. None: all are candidates.

    >>> [hot] = multi_hot([frozenset(label) for label in "xxxy"])
    >>> relevant_of(hot, hot, np.array([0, 0, 1, 2])).tolist()
    [1, 1, 2]
    """
    relevant = query @ np.asarray(gallery.sum(axis=0))
    if things is not None:
        from scipy.sparse import csr_array

        n = len(things)
        of_thing = csr_array((np.ones(n, np.intp), (things, np.arange(n))))
        relevant = relevant - (of_thing.T @ (of_thing @ query)).multiply(query).sum(axis=1)
    return relevant[relevant > 0]


def retrieve(
    similarity: NDArray[np.floating],
    query: csr_array,
    gallery: csr_array,
    ks: Sequence[int] = (1,),
    left_out: NDArray[np.bool_] | None = None,
) -> dict[str, Floats]:
    """Score the rankings of a block of queries.

    The candidates are ranked by falling similarity. Only the order counts, so no increasing change of the
    similarities matters. A candidate is relevant if it shares a label with the query. With R relevant
    candidates and h(r) of them among the first r:

    - f1@k: mean over the first k of 2 |Q ∩ G| / (|Q| + |G|), Q and G the label sets
    - precision@k = h(k) / k; recall@k = h(k) / R; r-precision = h(R) / R
    - ap: mean of h(r) / r over the ranks r of the relevant candidates
    - rr: 1 / rank of the first relevant candidate

    Of equally similar candidates none comes first: each metric is its expected value over all orders of
    what is tied, each as likely as the others.

    Args:
        similarity: (b, m) floats, finite.
        query: (b, classes) sparse, 0 and 1: the labels of the queries.
        gallery: (m, classes) sparse, 0 and 1.
        ks: Which k; at most the number of candidates each.
        left_out: (b, m) columns that are no candidates: the query itself, other views of it; None: all are.

    Returns:
        (b,) float64 for each metric; NaN for a query without a relevant candidate.

    Source: C. D. Manning, P. Raghavan, H. Schütze: Introduction to information retrieval, 2008,
    chapter 8, doi:10.1017/CBO9780511809071; F1@k: Wald et al., NeurIPS 2024, arXiv:2410.23107; ties:
    F. McSherry, M. Najork: Computing information retrieval performance measures efficiently in the
    presence of tied scores, ECIR 2008, doi:10.1007/978-3-540-78646-7_38.

    >>> q, g = multi_hot([frozenset("x")], [frozenset("x"), frozenset("y"), frozenset("x")])
    >>> scores = retrieve(np.array([[0.2, 0.3, 0.5]]), q, g, ks=(2,))
    >>> {name: round(float(value[0]), 4) for name, value in scores.items()}
    {'f1@2': 0.5, 'precision@2': 0.5, 'recall@2': 0.5, 'ap': 0.8333, 'rr': 1.0, 'r-precision': 0.5}
    >>> float(retrieve(np.array([[0.5, 0.5, 0.1]]), q, g)["precision@1"][0])
    0.5
    """
    order, first = _ranking(similarity, left_out)
    shared = (query @ gallery.T).toarray()
    if left_out is not None:
        shared[left_out] = 0
    shared = np.take_along_axis(shared, order, axis=1)
    hits = (shared > 0).astype(np.float64)
    relevant = np.count_nonzero(shared, axis=1)
    width = _end_of_ties(first, max(ks))
    sizes = query.sum(axis=1)[:, None] + gallery.sum(axis=1)[order[:, :width]]
    f1 = 2.0 * shared[:, :width] / np.maximum(sizes, 1)
    del order, shared, sizes
    hits_up_to = hits.cumsum(axis=1)
    precision_at_hit = hits_up_to / np.arange(1, hits.shape[1] + 1)
    tied = np.flatnonzero(~first.all(axis=1))
    if tied.size:
        hits[tied], precision_at_hit[tied] = _expected(hits[tied], first[tied])
        hits_up_to[tied] = hits[tied].cumsum(axis=1)
        f1[tied] = _mean_over_ties(f1[tied], first[tied, :width])
    defined = relevant > 0
    R = np.maximum(relevant, 1)
    scores = {
        **{f"f1@{k}": f1[:, :k].mean(axis=1) for k in ks},
        **{f"precision@{k}": hits_up_to[:, k - 1] / k for k in ks},
        **{f"recall@{k}": hits_up_to[:, k - 1] / R for k in ks},
        "ap": np.einsum("ij,ij->i", hits, precision_at_hit) / R,
        "rr": _reciprocal_ranks(hits, first),
        "r-precision": np.take_along_axis(hits_up_to, R[:, None] - 1, axis=1)[:, 0] / R,
    }
    return {name: np.where(defined, values, np.nan) for name, values in scores.items()}


def _ranking(
    similarity: NDArray[np.floating], left_out: NDArray[np.bool_] | None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the columns by falling similarity, those left out last, and where runs of ties begin."""
    key = -similarity
    if left_out is not None:
        key[left_out] = np.inf
    order = np.argsort(key, axis=1)
    key = np.take_along_axis(key, order, axis=1)
    first = np.ones(key.shape, dtype=np.bool_)
    np.not_equal(key[:, 1:], key[:, :-1], out=first[:, 1:])
    first[np.isinf(key)] = True  # what is left out is no run of ties
    return order, first


def _end_of_ties(first: NDArray[np.bool_], k: int) -> int:
    """Return how many ranks a block needs, so that no run of ties of the first k is cut."""
    beyond = first[:, k:]
    if not beyond.size:
        return k
    longer = np.where(beyond.any(axis=1), beyond.argmax(axis=1), beyond.shape[1])
    return k + int(longer.max())


def _mean_over_ties(values: Floats, first: NDArray[np.bool_]) -> Floats:
    """Return values (b, m), each replaced by the mean over its run of ties.

    >>> _mean_over_ties(np.array([[1.0, 0.0, 1.0]]), np.array([[True, False, True]])).tolist()
    [[0.5, 0.5, 1.0]]
    """
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=first.size)
    means = np.add.reduceat(values.ravel(), starts) / sizes
    return np.repeat(means, sizes).reshape(values.shape)


def _expected(hits: Floats, first: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the chance that each rank holds a hit, and the expected h(r) / r given that it does.

    In a run of t ties with r hits, behind h hits, the i-th holds one with chance r / t, and the i - 1
    before it then hold (i - 1) (r - 1) / (t - 1) of the others.
    """
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=first.size)
    within = np.arange(first.size) - np.repeat(starts, sizes)  # i - 1
    of_run = np.add.reduceat(hits.ravel(), starts)
    others = np.repeat((of_run - 1) / np.maximum(sizes - 1, 1), sizes)
    ends = hits.cumsum(axis=1).ravel()[starts + sizes - 1]
    before = np.repeat(ends - of_run, sizes)
    h = (before + 1 + within * others).reshape(hits.shape)
    chance = np.repeat(of_run / sizes, sizes).reshape(hits.shape)
    return chance, h / np.arange(1, hits.shape[1] + 1)


def _reciprocal_ranks(chance: Floats, first: NDArray[np.bool_]) -> Floats:
    """Return the expected 1 / rank of the first hit; any number where there is none."""
    start = (chance > 0).argmax(axis=1)
    reciprocals = 1.0 / (1 + start)
    r_of_t = chance[np.arange(len(chance)), start]
    for row in np.flatnonzero((r_of_t > 0) & (r_of_t < 1)):
        behind = np.flatnonzero(first[row, start[row] + 1 :])
        t = int(behind[0]) + 1 if behind.size else first.shape[1] - start[row]
        r = round(r_of_t[row] * t)
        i = np.arange(1, t - r + 2)
        # The chance that the first of r hits is the i-th of t: C(t - i, r - 1) / C(t, r).
        none_before = np.cumprod(np.r_[1.0, (t - r - i[:-1] + 1) / (t - i[:-1] + 1)])
        reciprocals[row] = np.sum(none_before * r / (t - i + 1) / (start[row] + i))
    return reciprocals


def summarise(scores: Mapping[str, Floats]) -> dict[str, float]:
    """Return the mean of each metric over the queries that have a relevant sample.

    >>> summarise({"ap": np.array([1.0, 0.5, np.nan])})
    {'map': 0.75}
    """
    return {SUMMARIES.get(name, name): float(np.nanmean(v)) for name, v in scores.items()}
