import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from semrsm import SemrsmError
from semrsm.compute.trial import Trial
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.quality import draw_quality


def trials(layer="layer3", n=10, seed=4):
    rng = np.random.default_rng(seed)
    return [
        Trial(
            layer,
            196,
            256,
            f"matcher-{i}",
            "",
            60,
            ms_median=float(10 ** rng.uniform(-0.3, 0.3)),
            relative_mean=float(rng.uniform(0.97, 1)),
        )
        for i in range(n)
    ]


def names(axes):
    return [text for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("seed", range(3))
def test_no_name_lies_on_another_or_on_a_point(seed):
    figure = draw_quality(trials(seed=seed) + trials("layer4", seed=seed + 9))
    render(figure, ".png")
    figure.draw_without_rendering()  # at its own resolution again
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text) for text in names(axes)]  # without its line
        assert len(boxes) == 10
        for a, b in itertools.combinations(boxes, 2):
            assert not a.overlaps(b)
        for line in axes.lines[1:]:
            x, y = axes.transData.transform(line.get_xydata()[0])
            assert not any(b.x0 <= x <= b.x1 and b.y0 <= y <= b.y1 for b in boxes)


def test_each_layer_has_a_panel_with_a_point_for_each_matcher():
    found = [*trials(n=3), Trial("layer3", 196, 256, "shift", "", reason="no grid")]
    figure = draw_quality(found + trials("layer4", n=2) + trials("layer5", n=1))
    shown = figure.axes
    assert [axes.get_title(loc="left") for axes in shown] == [
        f"layer{i}, S = 196" for i in (3, 4, 5)
    ]
    first = shown[0]
    assert first.get_xscale() == "log"
    points = [tuple(line.get_xydata()[0]) for line in first.lines[1:]]
    assert points == [(t.ms_median, t.relative_mean) for t in found[:3]]


def test_a_far_upper_bound_stands_at_the_top_edge_with_its_value():
    bound = Trial("layer3", 196, 256, "maxsim", "", 60, ms_median=0.5, relative_mean=1.437)
    axes = draw_quality([*trials(), bound]).axes[0]
    assert axes.lines[-1].get_ydata()[0] < 1.1
    assert names(axes)[-1].get_text() == "maxsim 1.44 ↑"


def test_nothing_measured_is_refused():
    with pytest.raises(SemrsmError, match="nothing to draw"):
        draw_quality([Trial("layer3", 196, 256, "shift", "")])


def test_ten_matchers_have_ten_marks():
    lines = draw_quality(trials(n=10)).axes[0].lines[1:]
    assert len({line.get_marker() for line in lines}) == 10
    assert len({line.get_color() for line in lines}) == 10


@pytest.mark.parametrize(("bound", "caret"), [("upper", 11), ("lower", 10)])
def test_a_bound_is_drawn_as_a_bound(bound, caret):
    trial = replace(trials(n=1)[0], matcher="pool", bound=bound)
    axes = draw_quality([*trials(n=3), trial]).axes[0]
    line, arrow = axes.lines[-2:]
    assert (line.get_marker(), arrow.get_marker()) == ("_", caret)
    assert names(axes)[-1].get_text() == f"pool ({bound} bound)"
