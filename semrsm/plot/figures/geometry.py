"""What pictures compute from an RSM: an order of the samples, a clustering, an embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semrsm.engine.kernels import squared_distance
from semrsm.errors import SemrsmError
from semrsm.names import look_up

DENSE = 300  # samples up to which all eigenvalues are computed; LAPACK took 24 s for 2 of 2000


def distances(rsm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the distances that an RSM implies, d_ij = sqrt(K_ii + K_jj - 2 K_ij), clamped at 0.

    For the linear kernel these are the distances of the matched maps; for cosine sqrt(2 - 2 cos).

    Args:
        rsm: (n, n) similarities, n >= 2.

    Returns:
        (n, n) float64, symmetric, 0 on the diagonal.

    Raises:
        SemrsmError: The RSM is not square, is smaller than 2, holds NaN or infinity, or its diagonal is
            0, so that it holds distances itself.

    Example:
        >>> distances(np.array([[1.0, 0.5], [0.5, 1.0]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if rsm.ndim != 2 or rsm.shape[0] != rsm.shape[1] or len(rsm) < 2:
        raise SemrsmError(f"a square RSM of two samples or more is needed, not {rsm.shape}")
    values = rsm.astype(np.float64)
    if not np.isfinite(values).all():
        raise SemrsmError("the RSM holds NaN or infinity; compute it again without those samples")
    diagonal = values.diagonal()
    if not diagonal.any() and (values >= 0).all() and values.any():
        raise SemrsmError("the diagonal is 0, so these are distances; similarities are needed")
    size = _size(values)
    squared = squared_distance(values / size, diagonal / size, diagonal / size)
    squared = (squared + squared.T) / 2
    np.fill_diagonal(squared, 0)
    return np.sqrt(squared) * np.sqrt(size)


def _size(values: NDArray[np.float64]) -> float:
    """Return a power of four near the largest value: squares and sums overflow no more over it.

    Dividing by it, or by its root, rounds nothing.
    """
    largest = float(np.abs(values).max())
    return 4.0 ** int((np.frexp(largest)[1] - 1) // 2) if largest else 1.0


def cluster(rsm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the hierarchical clustering of the samples by average linkage of `distances`.

    Args:
        rsm: (n, n) similarities, n >= 2.

    Returns:
        (n - 1, 4) float64: the merges as `scipy.cluster.hierarchy.linkage` lists them.

    Raises:
        SemrsmError: As `distances`.

    Source: R. R. Sokal and C. D. Michener (1958), Univ. Kansas Sci. Bull. 38 (average linkage).
    """
    from scipy.cluster.hierarchy import linkage

    d = distances(rsm)
    return linkage(d[np.triu_indices(len(d), k=1)], method="average")


def embed(rsm: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place the samples in the plane by classical multidimensional scaling.

    The two largest eigenvalues l of the centred RSM H K H (H = I - 11'/n) and their eigenvectors v
    give the coordinates sqrt(l) v; negative eigenvalues count as 0, for an RSM need not be positive.
    Each axis points where its largest coordinate is positive.

    Args:
        rsm: (n, n) similarities, n >= 2.

    Returns:
        (n, 2) float64 coordinates, and (2,) float64: the share l² / ||H K H||² of each axis.

    Raises:
        SemrsmError: As `distances`.

    Source: K. V. Mardia (1978), doi:10.1080/03610927808827707 (the share is his second measure).

    Example: three points on a line.
        >>> x = np.array([[-1.0], [0.0], [1.0]])
        >>> points, share = embed(x @ x.T)
        >>> np.abs(points[:, 0]).round(6).tolist(), share.round(6).tolist()
        ([1.0, 0.0, 1.0], [1.0, 0.0])
    """
    distances(rsm)  # raises what is wrong with the RSM
    size = _size(rsm.astype(np.float64))
    centred = (rsm.astype(np.float64) / size + rsm.T.astype(np.float64) / size) / 2
    centred -= centred.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    values, vectors = _two_largest(centred)
    values = np.maximum(values, 0)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), [0, 1]])
    total = float((centred**2).sum())
    return vectors * np.sqrt(values) * np.sqrt(size), values**2 / total if total else values


def _two_largest(
    matrix: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two largest eigenvalues, (2,), the largest first, and their eigenvectors, (n, 2)."""
    n = len(matrix)
    if n <= DENSE:
        values, vectors = np.linalg.eigh(matrix)
    else:
        from scipy.sparse.linalg import eigsh

        # A start of its own makes the result the same every time; ones would be in the null space.
        start = np.random.default_rng(0).standard_normal(n)
        values, vectors = eigsh(matrix, 2, which="LA", v0=start)
    last = np.argsort(values)[::-1][:2]
    return values[last], vectors[:, last]


def top_k(similarities: NDArray[np.floating], query: int, k: int) -> NDArray[np.intp]:
    """Return the k samples most similar to a query, most similar first, without the query itself.

    Ties go to the sample that comes first.

    Example:
        >>> top_k(np.array([1.0, 0.2, 0.7, 0.7]), 0, 2).tolist()
        [2, 3]
    """
    order = np.argsort(-similarities.astype(np.float64), kind="stable")
    return order[order != query][:k]


Labels = NDArray[np.generic] | None


@dataclass(frozen=True)
class Order:
    """An order of the samples in a heat map.

    Attributes:
        name: Key in ORDERS.
        summary: One line.
        of: (RSM, labels) -> (n,) the samples in that order.
        whole: It reads the entries of the RSM, not only how many samples there are.
    """

    name: str
    summary: str
    of: Callable[[NDArray[np.floating], Labels], NDArray[np.intp]]
    whole: bool = False


def _in_file_order(rsm: NDArray[np.floating], labels: Labels) -> NDArray[np.intp]:
    return np.arange(len(rsm))


def _by_label(rsm: NDArray[np.floating], labels: Labels) -> NDArray[np.intp]:
    if labels is None:
        raise SemrsmError("the order 'label' needs labels; give `labels='FILE::name'`")
    return np.argsort(np.unique(labels, return_inverse=True)[1], kind="stable")


def _by_cluster(rsm: NDArray[np.floating], labels: Labels) -> NDArray[np.intp]:
    from scipy.cluster.hierarchy import leaves_list

    return leaves_list(cluster(rsm)).astype(np.intp) if len(rsm) > 1 else np.arange(len(rsm))


ORDERS: Mapping[str, Order] = {
    "given": Order("given", "as in the file", _in_file_order),
    "label": Order("label", "by label, then as in the file", _by_label),
    "cluster": Order("cluster", "by average-linkage clustering of the RSM", _by_cluster, True),
}


def order_samples(rsm: NDArray[np.floating], name: str, labels: Labels = None) -> NDArray[np.intp]:
    """Return the samples in an order of ORDERS, (n,); raise SemrsmError if it cannot be had.

    >>> order_samples(np.eye(3), "label", np.array(["b", "a", "b"])).tolist()
    [1, 0, 2]
    """
    return look_up(ORDERS, name, "order").of(rsm, labels)
