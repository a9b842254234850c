import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semrsm.engine.assignment import scaling_reference


def total(costs, permutation):
    assert sorted(permutation) == list(range(len(costs)))
    return costs[np.arange(len(costs)), permutation].sum()


@given(
    seed=st.integers(0, 2**32 - 1), S=st.integers(1, 40), scale=st.sampled_from([1e-20, 1, 1e20])
)
def test_is_optimal(seed, S, scale):
    costs = np.random.default_rng(seed).normal(size=(S, S)) * scale
    best = total(costs, linear_sum_assignment(costs)[1])
    assert total(costs, scaling_reference.minimise(costs)) == pytest.approx(best, rel=1e-9)


def test_rows_make_their_lists_anew_only_when_bids_reach_the_threshold():
    rng = np.random.default_rng(3)
    x, y = np.maximum(rng.normal(size=(2, 120, 6)), 0)
    costs = -x @ y.T
    best = total(costs, linear_sum_assignment(costs)[1])
    assert total(costs, scaling_reference.minimise(costs)) == pytest.approx(best, rel=1e-9)


def test_gives_up_where_too_many_positions_are_alike():
    assert scaling_reference.minimise(np.repeat(np.eye(60), 2, axis=1)[:, :60] * 0) is None
