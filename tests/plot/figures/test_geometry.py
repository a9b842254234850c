import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram

from semrsm import SemrsmError
from semrsm.plot.figures.dendrogram import dendrogram_lines
from semrsm.plot.figures.geometry import cluster, distances, embed, order_samples, top_k

seeds = st.integers(0, 2**16)


@given(seeds, st.integers(2, 9), st.sampled_from([1e-3, 1.0, 1e4]))
def test_distances_of_a_linear_rsm_are_those_of_the_points(seed, n, scale):
    x = np.random.default_rng(seed).normal(size=(n, 4)) * scale
    expected = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.testing.assert_allclose(distances(x @ x.T), expected, atol=1e-6 * scale)


@given(seeds, st.integers(3, 12), st.sampled_from([1e-3, 1.0, 1e4]))
def test_points_in_a_plane_are_found_again(seed, n, scale):
    x = np.random.default_rng(seed).normal(size=(n, 2)) * scale
    points, share = embed(x @ x.T)
    expected = np.linalg.norm(x[:, None] - x[None], axis=2)
    found = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-6 * scale)
    assert share.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [300, 301])
def test_both_solvers_give_the_leading_eigenvectors(rng, n):
    x = rng.normal(size=(n, 5)) * [9, 5, 1, 1, 1]
    rsm = x @ x.T
    points, _ = embed(rsm)
    centred = x - x.mean(axis=0)
    expected = np.linalg.svd(centred)[1][:2] ** 2
    np.testing.assert_allclose((points**2).sum(axis=0), expected, rtol=1e-9)
    np.testing.assert_array_equal(points, embed(rsm)[0])


@pytest.mark.parametrize("rsm", [np.eye(301), np.ones((3, 3)), np.eye(2)])
def test_degenerate_rsms_are_embedded(rsm):
    points, share = embed(rsm)
    assert np.isfinite(points).all()
    assert np.isfinite(share).all()


@pytest.mark.parametrize(
    ("rsm", "said"),
    [
        (np.ones((1, 1)), "two samples or more"),
        (np.ones((2, 3)), "square"),
        (np.array([[1, np.nan], [np.nan, 1]]), "NaN"),
        (1 - np.eye(3), "these are distances"),
    ],
)
def test_what_is_no_rsm_is_refused(rsm, said):
    for function in (distances, cluster, embed):
        with pytest.raises(SemrsmError, match=said):
            function(rsm)


@pytest.mark.parametrize("scale", [1.5e307, 1e-300])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(rng, scale):
    rsm = np.cov(rng.normal(size=(6, 9)))
    points, share = embed(rsm)
    large, same = embed(rsm * scale)
    np.testing.assert_allclose(large / np.sqrt(scale), points, atol=1e-7)
    np.testing.assert_allclose(same, share, rtol=1e-7)
    np.testing.assert_allclose(distances(rsm * scale) / np.sqrt(scale), distances(rsm), atol=1e-7)


def test_clusters_lie_together(rng):
    groups = rng.permutation(np.repeat(np.arange(4), 6))
    x = np.eye(4)[groups] * 10 + rng.normal(size=(24, 4))
    order = order_samples(x @ x.T, "cluster")
    assert sorted(order) == list(range(24))
    assert np.count_nonzero(np.diff(groups[order])) == 3


def test_orders_by_label_keep_the_given_order_within_a_label():
    labels = np.array(["b", "a", "b", "a"])
    assert order_samples(np.eye(4), "label", labels).tolist() == [1, 3, 0, 2]
    assert order_samples(np.eye(4), "given", labels).tolist() == [0, 1, 2, 3]
    with pytest.raises(SemrsmError, match="needs labels"):
        order_samples(np.eye(4), "label")
    with pytest.raises(SemrsmError, match="did you mean 'cluster'"):
        order_samples(np.eye(4), "clusters")


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5]), min_size=2, max_size=9), st.data())
def test_the_most_similar_come_first_without_the_query(similarities, data):
    query = data.draw(st.integers(0, len(similarities) - 1))
    values = np.array(similarities)
    found = top_k(values, query, len(values) - 1)
    assert sorted([*found, query]) == list(range(len(values)))
    pairs = [(-values[i], i) for i in found]
    assert pairs == sorted(pairs)


def test_the_tree_is_scipys(rng):
    x = rng.normal(size=(13, 3))
    merges = cluster(x @ x.T)
    lines, leaves = dendrogram_lines(merges)
    expected = dendrogram(merges, no_plot=True)
    assert leaves.tolist() == expected["leaves"]
    theirs = sorted(
        (round(d[1], 9), round((i[0] - 5) / 10, 9), round((i[3] - 5) / 10, 9))
        for i, d in zip(expected["icoord"], expected["dcoord"], strict=True)
    )
    ours = sorted((round(li[1, 1], 9), round(li[0, 0], 9), round(li[3, 0], 9)) for li in lines)
    np.testing.assert_allclose(ours, theirs)


def test_a_deep_tree_of_many_leaves_is_drawn():
    n = 3000
    merges = np.array([[i if i == 0 else n + i - 1, i + 1, i + 1, i + 2] for i in range(n - 1)])
    lines, leaves = dendrogram_lines(merges.astype(float), hanging=1.0)
    assert len(lines) == n - 1
    assert sorted(leaves) == list(range(n))
    assert lines[5][:, 1].tolist() == [5.0, 6.0, 6.0, 5.0]
