import itertools

import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.curves import COMPARED, EVALUATED, draw_comparison, draw_curves


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
    first, _, second, _ = figure.axes
    np.testing.assert_array_equal(first.images[0].get_array(), [[0, -0.25], [1, 0.75], [2, 1.75]])
    assert [t.get_text() for t in first.get_yticklabels()] == ["l0", "l1", "l2"]
    assert [t.get_text() for t in first.get_xticklabels()] == ["l0", "l1"]
    assert (first.get_ylabel(), first.get_xlabel()) == ("layer of x", "layer of y")
    assert second.get_title(loc="left") == "rsa-pearson, linear kernel"
    assert [t.get_text() for t in first.texts[:2]] == ["0.00", "-0.25"]


def test_values_above_ten_are_written_whole():
    figure = draw_comparison(compared([("x", "l", "y", "l", None, "d", 10.05)]))
    assert figure.axes[0].texts[0].get_text() == "10.05"


def test_several_files_of_one_layer_are_called_by_file():
    rows = [(a, "l", b, "l", "rbf", "cka", 0.5) for a in ("p.h5", "q.h5") for b in ("p.h5", "q.h5")]
    axes = draw_comparison(compared(rows)).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["p", "q"]
    assert axes.get_xlabel() == "file and layer"


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


@pytest.mark.parametrize("draw", [draw_comparison, draw_curves])
@pytest.mark.parametrize(("rows", "said"), [([], "empty"), ([{"a": 1}], "lacks layer_a")])
def test_what_is_no_table_is_refused(draw, rows, said):
    with pytest.raises(SemrsmError, match=said):
        draw(rows)
