import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm import SemrsmError
from semrsm.plot import draw_side_by_side, order_by_views

HEAT_MAPS, HISTOGRAMS = slice(0, 2), slice(2, 4)


@pytest.fixture
def pair(rng):
    views = np.array([3, 1, 2, 3, 1, 2])
    same = views[:, None] == views[None, :]
    identity = rng.uniform(0.1, 0.4, (6, 6))
    identity = identity + identity.T
    return identity, identity + same, views


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_the_order_goes_through_the_things_once_for_each_view(things, times, seed):
    views = np.random.default_rng(seed).permutation(np.repeat(np.arange(things) * 7, times))
    order = order_by_views(views)
    assert sorted(order) == list(range(len(views)))
    assert views[order].tolist() == (np.arange(things) * 7).tolist() * times


def test_labels_sort_the_things_within_each_view():
    views, labels = np.array([0, 1, 2, 0, 1, 2]), np.array(list("bababa"))
    order = order_by_views(views, np.array(list("bacbac")))
    assert views[order].tolist() == [1, 0, 2, 1, 0, 2]
    assert labels[order_by_views(np.arange(6), labels)].tolist() == list("aaabbb")


def test_the_heat_maps_hold_the_rsms_in_the_order_asked_on_one_scale(pair):
    identity, optimal, views = pair
    order = order_by_views(views)
    figure = draw_side_by_side(identity, optimal, "two kinds", views, order=order)
    left, right = figure.axes[HEAT_MAPS]
    np.testing.assert_array_equal(left.images[0].get_array(), identity[np.ix_(order, order)])
    np.testing.assert_array_equal(right.images[0].get_array(), optimal[np.ix_(order, order)])
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert figure.get_suptitle() == "two kinds"
    assert figure.axes[-1].get_ylabel() == "cosine similarity"


def test_the_medians_are_those_of_the_pairs(pair):
    identity, optimal, views = pair
    figure = draw_side_by_side(identity, optimal, same_view=views)
    for axes, rsm in zip(figure.axes[HISTOGRAMS], (identity, optimal), strict=True):
        i, j = np.triu_indices(6, k=1)
        same = views[i] == views[j]
        expected = [np.median(rsm[i, j][same]), np.median(rsm[i, j][~same])]
        assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx(expected)
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert texts == [
            f"views of the same image, median {expected[0]:.3g}",
            f"different images, median {expected[1]:.3g}",
        ]


def test_a_mask_of_pairs_says_the_same_as_ids_of_views(pair):
    identity, optimal, views = pair
    by_ids, by_mask = (
        draw_side_by_side(identity, optimal, same_view=v)
        for v in (views, views[:, None] == views[None, :])
    )
    texts = [
        [t.get_text() for axes in f.axes[HISTOGRAMS] for t in axes.get_legend().get_texts()]
        for f in (by_ids, by_mask)
    ]
    assert texts[0] == texts[1]


def test_without_views_there_is_one_histogram_of_all_pairs(pair):
    figure = draw_side_by_side(*pair[:2])
    assert [len(axes.lines) for axes in figure.axes[HISTOGRAMS]] == [1, 1]
    density, edges, _ = figure.axes[2].patches[0].get_data()
    assert (density * np.diff(edges)).sum() == pytest.approx(1)


def test_rsms_and_views_that_do_not_fit_are_refused(pair):
    identity, optimal, views = pair
    with pytest.raises(SemrsmError, match="of the same samples"):
        draw_side_by_side(identity, optimal[:4, :4])
    with pytest.raises(SemrsmError, match="views of 6 samples"):
        draw_side_by_side(identity, optimal, same_view=views[:4])


def test_constant_rsms_are_drawn():
    figure = draw_side_by_side(np.ones((3, 3)), np.ones((3, 3)))
    assert len(figure.axes) == 5
