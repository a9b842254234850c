"""Laws of the RSM of an array: what must hold for every input (notes: exact invariants)."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from semrsm import SemrsmError, rsm
from semrsm.compute import grid
from semrsm.engine.kernels import KERNELS
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.matchers.reference import REFERENCES
from semrsm.measures import MEASURES
from tests.helpers import brute_force, scipy_rsm, vectors

# These maps are token sequences; what needs a grid is tested in engine/test_matchers.py.
ANY = [name for name, m in MATCHERS.items() if not m.needs_plane]
MATCHED = [name for name in ANY if MATCHERS[name].permutation]
EXACT = [name for name, m in MATCHERS.items() if m.value == "exact"]


def tokens(n: int, s: int, c: int, seed: int, scale: float = 1.0, ties: bool = False) -> np.ndarray:
    """Return (n, S, C) float64; with ties, small whole numbers."""
    values = np.random.default_rng(seed).normal(0.3, 1.0, size=(n, s, c))
    return (values.round() if ties else values) * scale


arrays = st.builds(
    tokens,
    n=st.integers(1, 4),
    s=st.sampled_from([1, 2, 3, 5, 8, 13]),
    c=st.sampled_from([1, 2, 7]),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    ties=st.booleans(),
)


def scales(x: np.ndarray) -> np.ndarray:
    """Return |x_i||x_j|, what errors are measured in; 1 where both are zero."""
    norms = np.linalg.norm(x.reshape(len(x), -1), axis=1)
    scale = np.outer(norms, norms)
    return np.where(scale > 0, scale, 1.0)


def linear(x: np.ndarray, matcher: str = "optimal", **options: object) -> np.ndarray:
    return rsm(x, matcher, "linear", threads=1, **options)


def assert_close(a: np.ndarray, b: np.ndarray, scale: np.ndarray, tolerance: float = 1e-6) -> None:
    assert (np.abs(a - b) <= tolerance * scale).all(), np.abs((a - b) / scale).max()


@given(
    x=st.builds(
        tokens,
        n=st.integers(1, 3),
        s=st.integers(1, 6),
        c=st.sampled_from([1, 2, 5]),
        seed=st.integers(0, 10_000),
        scale=st.sampled_from([1e-3, 1.0, 1e4]),
        ties=st.booleans(),
    ),
    matcher=st.sampled_from(EXACT),
)
def test_exact_matchers_find_the_best_of_all_permutations(x: np.ndarray, matcher: str) -> None:
    best = np.array([[brute_force(a, b) for b in x] for a in x])
    assert_close(linear(x, matcher), best, scales(x))


@pytest.mark.parametrize("s", [1, 2, 49, 63])
@pytest.mark.parametrize("c", [1, 6])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_optimal_equals_a_plain_scipy_loop(s: int, c: int, n: int, scale: float) -> None:
    x = tokens(n, s, c, seed=s * c * n, scale=scale).astype(np.float32)
    assert_close(linear(x), scipy_rsm(vectors(x)), scales(x))


@given(x=arrays)
def test_identity_is_the_inner_product_of_flattened_maps(x: np.ndarray) -> None:
    flat = x.reshape(len(x), -1)
    assert_close(linear(x, "identity"), flat @ flat.T, scales(x))


@given(x=arrays)
def test_optimal_lies_between_its_bounds(x: np.ndarray) -> None:
    m, slack = linear(x), 1e-6 * scales(x)
    mean = x.mean(axis=1)
    affinity = np.einsum("isc,jtc->ijst", x, x)
    assert (linear(x, "identity") <= m + slack).all()
    assert (x.shape[1] * mean @ mean.T <= m + slack).all()
    assert (m <= affinity.max(axis=3).sum(axis=2) + slack).all()
    assert (m <= affinity.max(axis=2).sum(axis=2) + slack).all()


@given(x=arrays, matcher=st.sampled_from(ANY))
def test_the_rsm_is_symmetric_with_each_sample_with_itself_on_its_diagonal(
    x: np.ndarray, matcher: str
) -> None:
    m = linear(x, matcher)
    np.testing.assert_array_equal(m, m.T)
    if MATCHERS[matcher].permutation:
        np.testing.assert_allclose(m.diagonal(), (x**2).sum(axis=(1, 2)), rtol=1e-12)
    else:
        own = [REFERENCES[matcher](s, s, Settings(), None) for s in x]
        assert_close(m.diagonal(), np.array(own), scales(x).diagonal())


def test_pooled_maps_that_are_unrelated_are_not_alike_by_their_diagonal() -> None:
    # With |x|² on the diagonal biased CKA of these is 0.99: of 64 positions 1/64 is left in the mean.
    x, y = np.random.default_rng(3).normal(size=(2, 40, 64, 8))
    value = MEASURES["cka"](linear(x, "pool"), linear(y, "pool"))
    means = [v.mean(axis=1) for v in (x, y)]
    assert value == pytest.approx(MEASURES["cka"](*(v @ v.T for v in means)), abs=1e-5)
    assert value < 0.3


@given(x=arrays, matcher=st.sampled_from([name for name in ANY if MATCHERS[name].position_free]))
def test_permuting_the_positions_of_a_sample_changes_nothing(x: np.ndarray, matcher: str) -> None:
    # Whom a tie decides for, its positions decide.
    assume(MATCHERS[matcher].value == "exact" or len(np.unique(x)) == x.size)
    shuffled = x.copy()
    shuffled[0] = np.random.default_rng(1).permutation(x[0])
    assert_close(linear(x, matcher), linear(shuffled, matcher), scales(x))


@given(x=arrays, matcher=st.sampled_from(ANY))
def test_permuting_the_positions_of_all_samples_alike_changes_nothing(
    x: np.ndarray, matcher: str
) -> None:
    order = np.random.default_rng(1).permutation(x.shape[1])
    assert_close(linear(x, matcher), linear(x[:, order], matcher), scales(x))


@given(x=arrays, matcher=st.sampled_from(ANY))
def test_permuting_the_samples_permutes_the_rsm(x: np.ndarray, matcher: str) -> None:
    order = np.random.default_rng(2).permutation(len(x))
    permuted = linear(x[order], matcher)
    assert_close(permuted, linear(x, matcher)[np.ix_(order, order)], scales(x[order]))


@given(x=arrays, matcher=st.sampled_from(["identity", *EXACT]))
def test_an_offset_of_one_sample_adds_exactly_what_it_says(x: np.ndarray, matcher: str) -> None:
    offset = np.random.default_rng(3).normal(size=x.shape[2]) * np.abs(x).max()
    moved = x.copy()
    moved[0] += offset
    expected = linear(x, matcher)
    added = x.sum(axis=1) @ offset
    expected[0, 1:] += added[1:]
    expected[1:, 0] += added[1:]
    expected[0, 0] = (moved[0] ** 2).sum()
    assert_close(linear(moved, matcher), expected, np.maximum(scales(x), scales(moved)))


@given(x=arrays, matcher=st.sampled_from(EXACT))
def test_distances_of_exact_matchings_obey_the_triangle_inequality(
    x: np.ndarray, matcher: str
) -> None:
    m = linear(x, matcher, dtype="float64")
    s = m.diagonal()
    d = np.sqrt(np.maximum(s[:, None] + s[None, :] - 2 * m, 0))
    slack = 1e-6 * np.sqrt(s.max())
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + slack).all()


@given(
    x=st.builds(
        tokens, n=st.integers(3, 5), s=st.integers(1, 9), c=st.just(3), seed=st.integers(0, 99)
    ),
    factor=st.sampled_from([1e-30, 1e-3, 7.0, 1e4, 1e30]),
    kernel=st.sampled_from(["cosine", "rbf"]),
    matcher=st.sampled_from(MATCHED),
)
def test_scaling_the_activations_changes_no_cosine_and_no_rbf_of_the_median(
    x: np.ndarray, factor: float, kernel: str, matcher: str
) -> None:
    plain, scaled = rsm(x, matcher, kernel), rsm(x * factor, matcher, kernel)
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


@given(
    x=arrays.filter(lambda x: (x != 0).any(axis=(1, 2)).all()), kernel=st.sampled_from([*KERNELS])
)
def test_kernels_stay_in_their_range_with_one_on_the_diagonal(x: np.ndarray, kernel: str) -> None:
    values = rsm(x, kernel=kernel, sigma=2.0)
    assert np.isfinite(values).all()
    if kernel == "linear":
        return
    assert (
        (values.diagonal() == 1).all() if kernel == "rbf" else values.diagonal() == pytest.approx(1)
    )
    assert values.max() <= 1
    assert values.min() >= (0 if kernel == "rbf" else -1)


@given(x=arrays, matcher=st.sampled_from(["identity", *EXACT]))
def test_precision_threads_and_tiles_change_nothing_but_rounding(
    x: np.ndarray, matcher: str
) -> None:
    one = rsm(x, matcher, "linear", threads=1, dtype="float64")
    assert_close(rsm(x, matcher, "linear", threads=2, dtype="float64"), one, scales(x), 1e-13)
    with patch.object(grid, "LARGEST_EDGE", 2):
        assert_close(rsm(x, matcher, "linear", threads=1), one, scales(x))


def test_only_the_channels_that_the_samples_share_count() -> None:
    x = np.zeros((2, 4, 6))
    x[0, :, :3], x[1, :, 3:] = 1.0, 1.0
    np.testing.assert_array_equal(linear(x), np.diag([12.0, 12.0]))


def test_several_kernels_are_refused_not_dropped() -> None:
    with pytest.raises(SemrsmError, match="one RSM has one kernel, got cosine, rbf"):
        rsm(np.eye(3), kernel=["cosine", "rbf"])
