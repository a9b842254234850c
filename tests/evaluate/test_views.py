import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from semrsm.evaluate.views import auroc, codes_of, medians, same_view_pairs, top1

NUMBERS = st.lists(st.integers(-4, 4), min_size=1, max_size=30)


@given(NUMBERS, NUMBERS)
def test_auroc_is_that_of_scikit_learn_with_ties(same: list[int], other: list[int]) -> None:
    truth = [1] * len(same) + [0] * len(other)
    found = auroc(np.array(same, np.float32), np.array(other, np.float32))
    assert found == pytest.approx(roc_auc_score(truth, same + other), abs=1e-12)


@given(NUMBERS, NUMBERS)
def test_auroc_turns_round_with_its_sides(same: list[int], other: list[int]) -> None:
    a, b = np.array(same, np.float64), np.array(other, np.float64)
    assert auroc(a, b) + auroc(b, a) == pytest.approx(1.0)
    assert auroc(3 * a + 7, 3 * b + 7) == auroc(a, b)


def test_auroc_of_perfect_useless_and_no_scores() -> None:
    assert auroc(np.array([-1.0, -2.0]), np.array([-3.0])) == 1.0
    assert auroc(np.ones(3), np.ones(5)) == 0.5
    assert np.isnan(auroc(np.ones(0), np.ones(5)))


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=9))
def test_same_view_pairs_are_the_upper_triangle(ids: list[str]) -> None:
    square = np.array([[p == q for p in ids] for q in ids])
    expected = square[np.triu_indices(len(ids), 1)]
    np.testing.assert_array_equal(same_view_pairs(codes_of(ids)), expected)


def test_medians_by_hand() -> None:
    found = medians(np.array([4.0, 1.0]), np.array([3.0, 9.0, 1.0]))
    assert found == {"median-same": 2.5, "median-other": 3.0}
    assert np.isnan(medians(np.ones(1), np.ones(0))["median-other"])


def test_the_nearest_is_another_sample_and_of_equals_each_counts_its_share() -> None:
    similarity = np.array([[9.0, -2.0, -1.0, -1.0], [-1.0, 9.0, -1.0, -3.0]])
    codes = codes_of(["x", "y", "x", "y"])
    assert top1(similarity, np.array([0, 1]), codes).tolist() == [0.5, 0.0]
    assert similarity[0, 0] == 9.0


def test_a_sample_without_another_view_is_left_out() -> None:
    similarity = np.array([[9.0, 1.0, 0.0], [0.0, 9.0, 1.0], [0.0, 1.0, 9.0]])
    found = top1(similarity, np.arange(3), codes_of(["x", "x", "y"]))
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan])
