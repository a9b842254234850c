import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.dendrogram import draw_dendrogram
from semrsm.plot.figures.embedding import draw_embedding
from semrsm.plot.figures.geometry import embed
from semrsm.plot.figures.heatmaps import ONE, SEVERAL, Panel, draw_heatmaps
from semrsm.plot.figures.ticks import names_fit


def similarities(rng, n):
    x = rng.normal(size=(n, 3))
    return x @ x.T


def heat_maps(figure):
    return [axes for axes in figure.axes if axes.images]


def test_a_heat_map_holds_the_rsm_in_the_order_asked(rng):
    rsm = similarities(rng, 7)
    order = rng.permutation(7)
    figure = draw_heatmaps([Panel(rsm, "layer4", "linear similarity")], "digits", order=order)
    [axes] = heat_maps(figure)
    np.testing.assert_array_equal(axes.images[0].get_array(), rsm[np.ix_(order, order)])
    assert axes.get_title(loc="left") == "layer4"
    assert figure.get_suptitle() == "digits"
    assert figure.axes[-1].get_ylabel() == "linear similarity"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("sample", "sample")


def test_panels_that_are_compared_share_one_scale_and_a_colour_bar_in_each_row(rng):
    panels = [Panel(similarities(rng, 5) * scale, str(scale)) for scale in (1, 10, 100)]
    figure = draw_heatmaps(panels)
    axes = heat_maps(figure)
    assert [a.get_title(loc="left") for a in axes] == ["1", "10", "100"]
    assert {a.images[0].get_clim() for a in axes} == {axes[2].images[0].get_clim()}
    bars = figure.axes[3:]
    assert len(bars) == 2  # of two panels and of one
    for bar, beside in zip(bars, (axes[1], axes[2]), strict=True):
        a, b = bar.get_position(), beside.get_position()
        assert (a.y0, a.y1) == pytest.approx((b.y0, b.y1))
    assert axes[0].images[0].get_clim()[1] > panels[1].values.max()


def test_panels_that_are_not_compared_have_scales_of_their_own(rng):
    names = ("a", "b", "a")
    panels = [Panel(similarities(rng, 5) * 10.0**i, compared=name) for i, name in enumerate(names)]
    figure = draw_heatmaps(panels)
    first, second, third = (axes.images[0].get_clim() for axes in heat_maps(figure))
    assert first == third != second
    assert len(figure.axes) == 6


@pytest.mark.parametrize("limits", [(-0.5, 0.75), (None, 0.75), (-0.5, None)])
def test_limits_are_the_ends_of_every_scale(rng, limits):
    panels = [Panel(similarities(rng, 5) * 4, compared=str(i)) for i in range(2)]
    without = [axes.images[0].get_clim() for axes in heat_maps(draw_heatmaps(panels))]
    figure = draw_heatmaps(panels, limits=limits)
    for axes, ends in zip(heat_maps(figure), without, strict=True):
        expected = tuple(
            e if given is None else given for e, given in zip(ends, limits, strict=True)
        )
        assert axes.images[0].get_clim() == expected


@pytest.mark.parametrize("n", [5, 30, 80, 2000])
@pytest.mark.parametrize("panels", [1, 4])
def test_a_tick_says_which_sample_stands_there(rng, n, panels):
    order = rng.permutation(n)
    rsm = np.eye(n)
    for names in (None, [f"im{i}" for i in range(n)]):
        figure = draw_heatmaps([Panel(rsm)] * panels, order=order, samples=names)
        axes = heat_maps(figure)[-1]
        for axis in (axes.xaxis, axes.yaxis):
            places = axis.get_ticklocs()
            expected = [
                str(order[int(p)]) if names is None else names[order[int(p)]] for p in places
            ]
            assert [text.get_text() for text in axis.get_ticklabels()] == expected
            assert 2 <= len(places) <= max(12, n if names_fit(n, 4.2) else 0)


def test_a_tick_without_an_order_counts_the_samples(rng):
    [axes] = heat_maps(draw_heatmaps([Panel(similarities(rng, 80))]))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "20", "40", "60"]


@pytest.mark.parametrize("count", [1, 4, 13, 49])
@pytest.mark.parametrize("labelled", [False, True])
def test_heat_maps_keep_their_size_however_many_there_are(count, labelled, recwarn):
    names = [f"vit.encoder.layer.{i}.attention.output.dense" for i in range(count)]
    labels = np.arange(20) % 4 if labelled else None
    panels = [Panel(np.eye(20), f"{name}\nsemantic (optimal)") for name in names]
    figure = draw_heatmaps(panels, labels=labels)
    width, height = figure.get_size_inches()
    size = ONE if count == 1 else SEVERAL
    for axes in heat_maps(figure):
        box = axes.get_position()
        assert (box.width * width, box.height * height) == pytest.approx((size, size))
    titles = [axes.get_title(loc="left") for axes in heat_maps(figure)]
    assert len(set(titles)) == count
    assert not recwarn.list


def test_labels_are_bars_in_the_order_of_the_samples(rng):
    labels = np.array(["cat", "dog", "cat", "owl"])
    order = np.array([0, 2, 1, 3])
    figure = draw_heatmaps([Panel(similarities(rng, 4))], order=order, labels=labels)
    left, top = heat_maps(figure)[0].child_axes
    assert left.images[0].get_array().ravel().tolist() == [0, 0, 1, 2]
    assert top.images[0].get_array().ravel().tolist() == [0, 0, 1, 2]
    assert [t.get_text() for t in left.get_yticklabels()] == ["cat", "dog", "owl"]
    assert left.get_ylabel() == "label"
    assert not figure.legends


def test_labels_in_several_blocks_have_a_legend(rng):
    figure = draw_heatmaps([Panel(similarities(rng, 40))], labels=np.arange(40) % 2)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["0", "1"]


@pytest.mark.parametrize(("n", "named"), [(20, True), (200, False)])
def test_names_of_samples_are_written_where_they_fit(rng, n, named):
    names = [f"a/very/long/path/to/image_{i:03d}.jpeg" for i in range(n)]
    figure = draw_heatmaps([Panel(similarities(rng, n))], samples=names)
    svg = render(figure, ".svg").decode()
    assert (">003<" in svg) == named
    assert "sample (a/very/lo…age_*.jpeg)" in svg or not named


@pytest.mark.parametrize(("zero_counts", "colours"), [(True, "RdBu_r"), (False, "viridis")])
def test_inner_products_of_both_signs_diverge_around_zero(rng, zero_counts, colours):
    figure = draw_heatmaps([Panel(similarities(rng, 9), zero_counts=zero_counts)])
    image = heat_maps(figure)[0].images[0]
    assert image.get_cmap().name == colours
    assert (image.get_clim()[0] == -image.get_clim()[1]) == zero_counts


def test_a_rectangular_rsm_says_which_side_is_which(rng):
    sides = ("sample of a.h5", "sample of b.h5")
    figure = draw_heatmaps([Panel(rng.normal(size=(3, 5)))] * 4, sides=sides)
    for axes in heat_maps(figure):
        assert (axes.get_ylabel(), axes.get_xlabel()) == sides


@pytest.mark.parametrize(
    ("panels", "options", "said"),
    [
        ([], {}, "of one shape"),
        ([Panel(np.eye(2)), Panel(np.eye(3))], {}, "of one shape"),
        ([Panel(np.ones((2, 3)))], {"labels": np.arange(2)}, "rectangular"),
        ([Panel(np.eye(3))], {"labels": np.arange(2)}, "labels of 3 samples"),
        ([Panel(np.eye(3))], {"order": np.arange(2)}, "an order of 3 samples"),
    ],
)
def test_what_does_not_fit_is_refused(panels, options, said):
    with pytest.raises(SemrsmError, match=said):
        draw_heatmaps(panels, **options)


def test_an_embedding_joins_views_and_colours_labels(rng):
    rsm = similarities(rng, 6)
    labels, views = np.array(list("aabbcc")), np.array([0, 0, 1, 1, 2, 2])
    figure = draw_embedding([Panel(rsm, "layer4")], labels=labels, views=views)
    [axes] = figure.axes
    lines, points = axes.collections
    assert len(lines.get_segments()) == 3
    assert len(points.get_offsets()) == 6
    assert len({tuple(c) for c in points.get_facecolors()}) == 3
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert texts == ["a", "b", "c", "views of one image"]


def test_the_axes_of_an_embedding_say_what_share_of_what_they_hold(rng):
    rsm = similarities(rng, 6)
    figure = draw_embedding([Panel(rsm, "layer4")])
    _, share = embed(rsm)
    [axes] = figure.axes
    assert axes.get_xlabel() == f"dimension 1: {100 * share[0]:.0f} % of the squares"
    assert axes.get_ylabel() == f"dimension 2: {100 * share[1]:.0f} % of the squares"
    said = " ".join(text.get_text() for text in reversed(figure.texts))
    assert "share of the squares: of the sum of the squared entries of the centred RSM" in said


def test_a_legend_of_too_many_labels_says_how_many(rng):
    figure = draw_embedding([Panel(similarities(rng, 40))], labels=np.arange(40))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["colours: 40 labels"]


@pytest.mark.parametrize("n", [2, 20, 400])
def test_a_dendrogram_has_a_line_for_each_merge(rng, n):
    labels = np.arange(n) % 2
    figure = draw_dendrogram([Panel(similarities(rng, n), "x")] * 2, labels=labels)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert len(axes.collections[0].get_segments()) == n - 1
        assert axes.child_axes[0].images[0].get_array().shape == (1, n)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_samples_are_drawn(n):
    assert render(draw_heatmaps([Panel(np.ones((n, n)))]), ".png")
    if n > 1:
        assert render(draw_embedding([Panel(np.ones((n, n)))]), ".png")
        assert render(draw_dendrogram([Panel(np.ones((n, n)))]), ".png")


DRAWINGS = {"heat maps": draw_heatmaps, "mds": draw_embedding, "trees": draw_dendrogram}


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (9, 9, 1)])
def test_no_row_mixes_groups(rng, kind, sizes):
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    rsm = similarities(rng, 5)
    figure = DRAWINGS[kind]([Panel(rsm, f"{i}", group=group) for i, group in enumerate(groups)])
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    of_row: dict[float, set[str]] = {}
    for axes, group in zip(panels, groups, strict=True):
        of_row.setdefault(round(axes.get_position().y0, 4), set()).add(group)
    assert all(len(there) == 1 for there in of_row.values())
    if sizes == (3, 3):
        assert len(of_row) == 2


def test_blocks_of_labels_are_named_alike_at_both_axes(rng):
    labels = np.repeat(["cat", "dog"], 40)
    [axes] = heat_maps(draw_heatmaps([Panel(similarities(rng, 80))], labels=labels))
    left = axes.child_axes[0]
    assert (left.get_ylabel(), axes.get_xlabel()) == ("label", "label")
    for ticks in (left.get_yticklabels(), axes.get_xticklabels()):
        assert [tick.get_text() for tick in ticks] == ["cat", "dog"]


def test_ids_that_fit_stand_beside_the_bars_of_labels(rng):
    ids = [f"circle/blue_{i:02d}_of_many.png" for i in range(6)]
    labels = np.arange(6) // 3
    figure = draw_heatmaps([Panel(similarities(rng, 6))], labels=labels, samples=ids)
    [axes] = heat_maps(figure)
    assert [t.get_text() for t in axes.get_xticklabels()] == [
        f"circle/blue_{i:02d}" for i in range(6)
    ]
    assert axes.get_xlabel() == axes.child_axes[0].get_ylabel()
    assert axes.get_xlabel() == "sample (*_of_many.png)"
    assert figure.legends
