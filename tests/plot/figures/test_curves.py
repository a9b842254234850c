import itertools

import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.comparison import draw_comparison
from semrsm.plot.figures.curves import draw_curves
from semrsm.plot.figures.records import COMPARED, EVALUATED


def compared(rows):
    return [dict(zip(COMPARED, row, strict=True)) for row in rows]


def layer_table(na=3, nb=2, measures=("cka",)):
    return compared(
        ("out/x.rsm.h5", f"l{i}", "y.rsm.h5", f"l{j}", "linear", m, i - j / 4)
        for m in measures
        for i, j in itertools.product(range(na), range(nb))
    )


def test_a_comparison_has_layers_of_a_down_and_of_b_across():
    figure = draw_comparison(layer_table(measures=("cka", "rsa-pearson")))
    first, second, *_ = figure.axes
    np.testing.assert_array_equal(first.images[0].get_array(), [[0, -0.25], [1, 0.75], [2, 1.75]])
    assert [t.get_text() for t in first.get_yticklabels()] == ["l0", "l1", "l2"]
    assert [t.get_text() for t in first.get_xticklabels()] == ["l0", "l1"]
    assert (first.get_ylabel(), first.get_xlabel()) == ("layer of x", "layer of y")
    assert second.get_title(loc="left").replace("\n", " ") == "rsa-pearson, linear kernel"
    assert [t.get_text() for t in first.texts[:2]] == ["0.00", "-0.25"]


@pytest.mark.parametrize(
    ("measure", "values", "expected"),
    [
        ("cka", (0.4, 0.8), (0, 1)),
        ("cka", (-0.4, 0.8), (-1, 1)),
        ("cka", (-0.01, 0.8), (0, 1)),
        ("rsa-spearman", (-0.7, -0.2), (-1, 1)),
        ("angular-cka", (1.0, 1.2), (0, np.pi)),
        ("nobody-knows", (3.0, 7.0), (3, 7)),
    ],
)
def test_colours_span_the_range_of_the_measure(measure, values, expected):
    rows = [("x", str(i), "y", "l", k, measure, v) for i, v in enumerate(values) for k in "pq"]
    figure = draw_comparison(compared(rows))
    for axes in figure.axes[:2]:
        assert axes.images[0].get_clim() == pytest.approx(expected)
    limited = draw_comparison(compared(rows), limits=(-2, 8)).axes[0].images[0]
    assert limited.get_clim() == (-2, 8)


def test_a_measure_has_one_scale_for_all_kernels():
    rows = [("x", "l", "y", "l", kernel, "m", v) for kernel, v in (("p", 1.0), ("q", 5.0))]
    assert {a.images[0].get_clim() for a in draw_comparison(compared(rows)).axes[:2]} == {(1, 5)}


def test_limits_that_leave_nothing_are_refused():
    with pytest.raises(SemrsmError, match="from 2 to 1 holds nothing"):
        draw_comparison(layer_table(), limits=(2.0, None))
    with pytest.raises(SemrsmError, match="is a number, not nan"):
        draw_comparison(layer_table(), limits=(float("nan"), 1.0))


@pytest.mark.parametrize("count", [4, 49])
def test_long_names_of_layers_stay_different(count):
    layers = [f"vit.encoder.layer.{i}.attention.output.dense" for i in range(count)]
    rows = compared([("x", a, "y", b, "rbf", "cka", 0.5) for a in layers for b in layers])
    table, lines = draw_comparison(rows).axes[0], draw_curves(rows).axes[0]
    for texts in (table.get_xticklabels(), table.get_yticklabels(), lines.get_xticklabels()):
        names = [text.get_text() for text in texts]
        assert len(set(names)) == count
        assert max(map(len, names)) <= 28


def test_the_matchers_of_a_comparison_are_named():
    rows = [row | {"matcher_a": "identity", "matcher_b": "optimal"} for row in layer_table()]
    axes = draw_comparison(rows).axes[0]
    assert axes.get_ylabel() == "layer of x\nspatio-semantic (identity)"
    assert axes.get_xlabel() == "layer of y\nsemantic (optimal)"


def test_ten_lines_have_ten_marks_and_ten_colours():
    figure = draw_curves(evaluated([f"m{i}" for i in range(10)]))
    lines = figure.axes[0].lines
    assert len({line.get_marker() for line in lines}) == 10
    assert len({line.get_color() for line in lines}) == 10


def test_what_all_lines_have_in_common_is_the_title():
    one = draw_curves(evaluated(["optimal"])).get_suptitle().replace("\n", " ")
    assert one == "optimal over its layers semantic (optimal), rbf kernel"
    assert draw_curves(evaluated()).get_suptitle() == "values over the layers\nrbf kernel"
    rows = [row | {"matcher_a": "greedy", "matcher_b": "optimal"} for row in layer_table()]
    expected = "x and y, layer by layer greedy matcher against semantic (optimal), linear kernel"
    assert draw_curves(rows).get_suptitle().replace("\n", " ") == expected


def test_values_above_ten_are_written_whole():
    figure = draw_comparison(compared([("x", "l", "y", "l", None, "d", 10.05)]))
    assert figure.axes[0].texts[0].get_text() == "10.05"


def test_several_files_of_one_layer_are_called_by_file():
    rows = [(a, "l", b, "l", "rbf", "cka", 0.5) for a in ("p.h5", "q.h5") for b in ("p.h5", "q.h5")]
    axes = draw_comparison(compared(rows)).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["p", "q"]
    assert axes.get_xlabel() == "file and layer"


def networks():
    items = [(f"{net}.h5", f"l{i}") for net in ("resnet", "vit", "mixer") for i in range(4)]
    return compared(
        (a, i, b, j, "rbf", "cka", 0.3 + 0.0001 * k)
        for k, ((a, i), (b, j)) in enumerate(itertools.product(items, items))
    )


def test_several_networks_are_parted_and_named_once():
    axes = draw_comparison(networks()).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["l0", "l1", "l2", "l3"] * 3
    names = [t.get_text() for t in axes.texts if t.get_text() in ("resnet", "vit", "mixer")]
    assert sorted(names) == ["mixer", "mixer", "resnet", "resnet", "vit", "vit"]
    assert sorted(line.get_ydata()[0] for line in axes.lines)[2:] == [3.5, 7.5]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("layer", "layer")


def test_matchers_stand_with_the_files_that_they_tell_apart():
    rows = [
        row | {f"matcher_{x}": "identity" if row[x] == "vit.h5" else "optimal" for x in "ab"}
        for row in networks()
    ]
    axes = draw_comparison(rows).axes[0]
    assert "vit, identity" in [t.get_text() for t in axes.texts]
    assert axes.get_yticklabels()[0].get_text() == "l0"


def test_names_of_files_are_cut_where_they_have_no_room():
    nets = [f"resnet50.seed{i}.identity" for i in range(3)]
    items = [(f"{net}.rsm.h5", f"l{i}") for net in nets for i in range(2)]
    rows = [(a, i, b, j, "rbf", "cka", 0.5) for a, i in items for b, j in items]
    axes = draw_comparison(compared(rows)).axes[0]
    names = {t.get_text() for t in axes.texts} - {"0.50"}
    assert names == {"seed0", "seed1", "seed2"}


def test_equal_numbers_have_one_colour():
    axes = draw_comparison(networks()).axes[0]
    colours: dict[str, set[str]] = {}
    for text in axes.texts:
        colours.setdefault(text.get_text(), set()).add(text.get_color())
    assert len(colours) > 3
    assert all(len(of_text) == 1 for of_text in colours.values())


def test_zero_has_no_minus():
    axes = draw_comparison(compared([("x", "l", "y", "l", None, "cka", -0.001)])).axes[0]
    assert axes.texts[0].get_text() == "0.00"


def test_a_colour_bar_is_as_high_as_its_table_and_the_title_no_wider():
    figure = draw_comparison(layer_table(13, 2, measures=("cka-debiased",)))
    axes, bar = figure.axes
    a, b = axes.get_position(), bar.get_position()
    assert (a.y0, a.y1) == pytest.approx((b.y0, b.y1))
    figure.draw_without_rendering()
    assert axes._left_title.get_window_extent().x1 <= bar.get_window_extent().x0


def test_what_could_not_be_computed_is_grey_and_a_dash():
    rows = compared([("x", "l", "y", str(i), "rbf", "cka", v) for i, v in enumerate((0.5, None))])
    axes = draw_comparison(rows).axes[0]
    assert axes.images[0].get_array().mask.tolist() == [[False, True]]
    assert axes.texts[1].get_text() == "–"


def test_a_large_comparison_is_drawn_without_written_values():
    figure = draw_comparison(layer_table(40, 50))
    assert not figure.axes[0].texts
    assert render(figure, ".png")


def test_a_table_in_which_a_value_stands_twice_is_refused():
    with pytest.raises(SemrsmError, match="twice"):
        draw_comparison(layer_table() + layer_table())


def test_equal_layers_make_one_curve():
    figure = draw_curves(layer_table(3, 3))
    [line] = figure.axes[0].lines
    assert line.get_ydata().tolist() == [0, 0.75, 1.5]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("layer", "cka")
    assert not figure.legends


def test_other_layers_make_a_curve_each():
    rows = [("x", f"a{i}", "y", f"b{j}", "rbf", "cka", i + j) for i in range(3) for j in range(2)]
    figure = draw_curves(compared(rows))
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0, 1, 2], [1, 2, 3]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["b0", "b1"]


def evaluated(matchers=("identity", "optimal"), kernels=("rbf",)):
    return [
        dict(zip(EVALUATED, (f"{m}.rsm.h5", f"net/l{i}", m, k, metric, i), strict=True))
        for m, k, metric, i in itertools.product(matchers, kernels, ("map", "f1@1"), range(3))
    ]


@pytest.mark.parametrize(
    ("kernels", "names"),
    [
        (("rbf",), ["identity", "optimal"]),
        (
            ("rbf", "linear"),
            ["identity, rbf", "identity, linear", "optimal, rbf", "optimal, linear"],
        ),
    ],
)
def test_an_evaluation_has_axes_for_each_metric_and_lines_named_by_what_differs(kernels, names):
    figure = draw_curves(evaluated(kernels=kernels))
    assert [axes.get_ylabel() for axes in figure.axes] == ["map", "f1@1"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == names
    assert len(figure.axes[0].lines) == len(names)


def test_a_line_is_broken_between_models():
    rows = [("f", name, "optimal", "rbf", "map", 1.0) for name in ("r/1", "r/2", "v/1")]
    figure = draw_curves([dict(zip(EVALUATED, row, strict=True)) for row in rows])
    y = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(y).tolist() == [False, False, True, False]


def two_networks():
    files = (
        ("resnet", "optimal", "l"),
        ("resnet.identity", "identity", "l"),
        ("vit", "optimal", "b"),
    )
    return [
        dict(zip(EVALUATED, (f"{f}.rsm.h5", f"{letter}{i}", m, "rbf", "map", i), strict=True))
        for f, m, letter in files
        for i in range(3)
    ]


def test_networks_of_other_layers_stand_apart_and_are_named():
    axes = draw_curves(two_networks()).axes[0]
    first, again, other, between = axes.lines
    assert first.get_xdata().tolist() == again.get_xdata().tolist() == [0, 1, 2]
    assert 2 < between.get_xdata()[0] < other.get_xdata()[0]
    assert [t.get_text() for t in axes.texts] == ["vit"] or len(axes.texts) == 2


def test_the_legend_names_matchers_where_they_differ():
    figure = draw_curves(two_networks())
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == ["resnet (optimal)", "resnet.identity", "vit (optimal)"]


def test_files_that_only_their_matchers_name_say_both_networks():
    rows = [row for row in two_networks() if row["rsm"] != "resnet.rsm.h5"]
    names = [t.get_text() for t in draw_curves(rows).legends[0].get_texts()]
    assert names == ["resnet.identity", "vit (optimal)"]


@pytest.mark.parametrize("draw", [draw_comparison, draw_curves])
@pytest.mark.parametrize(("rows", "said"), [([], "empty"), ([{"a": 1}], "lacks layer_a")])
def test_what_is_no_table_is_refused(draw, rows, said):
    with pytest.raises(SemrsmError, match=said):
        draw(rows)
