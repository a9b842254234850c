"""Order statistics by counting bits are those of a sort."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine import selection
from semrsm.engine.selection import quantiles, select

numbers = st.floats(allow_nan=False) | st.sampled_from([-1.0, -0.0, 0.0, 0.5])


@given(values=st.lists(numbers, min_size=1, max_size=40), cut=st.integers(1, 5), data=st.data())
@pytest.mark.parametrize("collected", [0, 3, 1 << 22])
def test_numbers_at_their_ranks(
    collected: int, values: list[float], cut: int, data: st.DataObject
) -> None:
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    blocks = np.array_split(np.array(values), cut)
    before, selection.COLLECTED = selection.COLLECTED, collected
    try:
        found = select(lambda: blocks, lambda n: ranks)
    finally:
        selection.COLLECTED = before
    assert list(found) == [sorted(values)[rank] for rank in ranks]


def test_ties_and_zeros_of_both_signs() -> None:
    values = np.array([0.0, -0.0, 5e-324, 1.0, 1.0, 1.0, np.nextafter(1, 2)])
    found = select(lambda: [values], lambda n: range(n))
    assert list(found) == np.sort(values).tolist()


def test_nothing_has_no_ranks() -> None:
    assert select(lambda: [], lambda n: [0]) == ()
    assert select(lambda: [np.empty((0, 3))], lambda n: [0]) == ()


def test_two_passes_suffice_where_few_numbers_share_their_leading_bits() -> None:
    values, passes = np.random.default_rng(20241).gamma(4, size=100_000), []

    def blocks() -> list[np.ndarray]:
        passes.append(1)
        return np.array_split(values, 7)

    [median] = select(blocks, lambda n: [(n - 1) // 2])
    assert median == np.sort(values)[(len(values) - 1) // 2]
    assert len(passes) == 2


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=41), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[float], share: float) -> None:
    blocks = np.array_split(np.array(values, np.float32), 3)
    found = quantiles(lambda: blocks, (share, 0.5))
    expected = np.quantile(np.array(values), (share, 0.5))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_nothing_has_no_median() -> None:
    assert np.isnan(quantiles(lambda: [], (0.5,))).all()


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_a_selection_takes_no_more_than_it_says(scale: float) -> None:
    rng = np.random.default_rng(20241)
    blocks = [
        scale * rng.standard_normal(1 << 18) * 10.0 ** rng.integers(-300, 300) for _ in "0123456789"
    ]
    tracemalloc.start()
    try:
        select(lambda: iter(blocks), lambda n: (n // 4, n // 2))
        assert tracemalloc.get_traced_memory()[1] < selection.NEEDS
    finally:
        tracemalloc.stop()
