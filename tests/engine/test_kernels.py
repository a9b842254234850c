"""Kernels against their formulas; the median that becomes sigma."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.kernels import KERNELS, Matched, refuse_zero_norms, sigma_of, squared_distance
from semrsm.errors import SemrsmError

FORMULAS = {
    "linear": lambda m, a, b, sigma: m,
    "cosine": lambda m, a, b, sigma: max(-1.0, min(1.0, m / math.sqrt(a * b))),
    "rbf": lambda m, a, b, sigma: math.exp(-max(0.0, a + b - 2 * m) / (2 * sigma**2)),
}


@pytest.mark.parametrize("kernel", list(KERNELS))
@given(seed=st.integers(0, 999), scale=st.sampled_from([1e-6, 1.0, 1e8]))
def test_each_entry_is_the_formula(kernel: str, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    m, rows, columns = rng.normal(size=(4, 3)), rng.uniform(0.1, 3, 4), rng.uniform(0.1, 3, 3)
    m, rows, columns, sigma = m * scale, rows * scale, columns * scale, 0.7 * math.sqrt(scale)
    found = KERNELS[kernel].finish(m, rows, columns, sigma)
    expected = [
        [FORMULAS[kernel](m[i, j], rows[i], columns[j], sigma) for j in range(3)] for i in range(4)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_cosine_of_tiny_and_huge_maps_neither_vanishes_nor_overflows(size: float) -> None:
    norms = np.full(2, 2.0) * size * size
    m = np.array([[2.0, 1.0], [1.0, 2.0]]) * size * size
    np.testing.assert_allclose(
        KERNELS["cosine"].finish(m, norms, norms, None), [[1, 0.5], [0.5, 1]]
    )


def test_rbf_needs_a_width() -> None:
    with pytest.raises(SemrsmError, match="give `sigma="):
        KERNELS["rbf"].finish(np.eye(2), np.ones(2), np.ones(2), None)


def test_a_distance_is_never_below_zero() -> None:
    assert squared_distance(np.array([[1.0 + 1e-12]]), np.ones(1), np.ones(1)) == 0


def median_width(d2: np.ndarray, blocks: int = 1) -> float:
    """Return the median sigma of rectangular inner products whose squared distances are `d2`."""
    m, ones = 1 - d2.reshape(1, -1) / 2, np.ones(1)
    cut = np.array_split(m, blocks, axis=1)
    starts = np.cumsum([0, *(c.shape[1] for c in cut)])
    matched = Matched(
        lambda: [(0, start, c) for start, c in zip(starts, cut, strict=False)],
        ones,
        np.ones(m.shape[1]),
        symmetric=False,
    )
    width = sigma_of(KERNELS["rbf"], "median", matched)
    assert width is not None
    return width


@given(values=st.lists(st.integers(1, 400), min_size=1, max_size=30), blocks=st.integers(1, 4))
def test_sigma_is_the_lower_median_however_it_is_cut(values: list[int], blocks: int) -> None:
    d2 = np.array(values) / 128
    assert median_width(d2, blocks) == np.sqrt(np.sort(d2)[(len(d2) - 1) // 2])


def test_no_median_of_nothing_and_none_of_zero() -> None:
    one = Matched(lambda: [(0, 0, np.ones((1, 1)))], np.ones(1), np.ones(1), symmetric=True)
    with pytest.raises(SemrsmError, match="one sample has no pairs"):
        sigma_of(KERNELS["rbf"], "median", one)
    with pytest.raises(SemrsmError, match="median distance is 0"):
        median_width(np.array([0.0, 0.0, 1.0]))
    assert median_width(np.array([0.0, 1.0, 1.5])) == 1


@given(n=st.integers(2, 9), edge=st.integers(1, 9), seed=st.integers(0, 999))
def test_tiles_and_strips_of_a_symmetric_rsm_have_the_same_median(
    n: int, edge: int, seed: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    m = x @ x.T
    starts = range(0, n, edge)
    tiles = [(i, j, m[i : i + edge, j : j + edge]) for i in starts for j in starts if i <= j]
    strips = [(i, 0, m[i : i + edge]) for i in starts]
    widths = {
        sigma_of(KERNELS["rbf"], "median", Matched(lambda b=b: b, m.diagonal(), m.diagonal(), True))
        for b in (tiles, strips)
    }
    d2 = squared_distance(m, m.diagonal(), m.diagonal())[np.triu_indices(n, 1)]
    assert widths == {np.sqrt(np.sort(d2)[(len(d2) - 1) // 2])}


def test_the_first_zero_map_is_named_as_it_is_counted_in_the_file() -> None:
    refuse_zero_norms(np.array([1.0, 1e-300]), range(2))
    with pytest.raises(SemrsmError, match=r"samples 14,16 are zero .* `exclude='14,16'` or"):
        refuse_zero_norms(np.array([1.0, 1.0, 0.0, 0.0]), range(10, 20, 2))
