"""Order statistics by counting bits are those of a sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine import selection
from semrsm.engine.selection import select

sizes = st.floats(0, 1e308, allow_nan=False)


@given(values=st.lists(sizes, min_size=1, max_size=40), cut=st.integers(1, 5), data=st.data())
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
