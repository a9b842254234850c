import numpy as np
import pytest
from matplotlib.patches import ConnectionPatch

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.matching import LINES, draw_matching, grid_colours

NAMES = ("sample 3", "sample 8")


def drawn(height=4, width=6, images=None):
    rng = np.random.default_rng(2)
    permutation = rng.permutation(height * width)
    strength = rng.uniform(-0.2, 3, height * width)
    figure = draw_matching(permutation, strength, (height, width), NAMES, "a title", images)
    return figure, permutation, strength


def lines(figure):
    return [artist for artist in figure.get_children() if isinstance(artist, ConnectionPatch)]


def test_matched_positions_share_a_colour():
    figure, permutation, _ = drawn()
    first, second = (axes.images[0].get_array().reshape(-1, 3) for axes in figure.axes)
    np.testing.assert_array_equal(second[permutation], first)
    assert [axes.get_title() for axes in figure.axes] == list(NAMES)


def test_weaker_matches_are_paler():
    same = draw_matching(np.arange(2), np.array([1.0, 1.0]), (1, 2), NAMES)
    pale = draw_matching(np.arange(2), np.array([1.0, 0.1]), (1, 2), NAMES)
    full, faint = (f.axes[0].images[0].get_array().reshape(-1, 3) for f in (same, pale))
    np.testing.assert_array_equal(full, grid_colours(1, 2))
    np.testing.assert_array_equal(faint[0], full[0])
    assert (faint[1] >= full[1]).all()
    assert faint[1].sum() > full[1].sum()


def test_lines_join_the_strongest_matches():
    figure, permutation, strength = drawn()
    strongest = np.argsort(-strength)[:LINES]
    ends = [(line.xy1, line.xy2) for line in lines(figure)]
    assert len(ends) == LINES
    for s, (a, b) in zip(strongest, ends, strict=True):
        assert a == (s % 6, s // 6)
        assert b == (permutation[s] % 6, permutation[s] // 6)


@pytest.mark.parametrize("shape", [(8, 12), (8, 12, 3), (3, 8, 12)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_with_images_the_lines_lie_over_them(shape, dtype):
    image = (np.random.default_rng(1).uniform(size=shape) * 255).astype(dtype)
    figure, _, strength = drawn(images=(image, image))
    assert len(figure.axes) == 4
    assert figure.axes[0].images[0].get_array().shape[:2] == (8, 12)
    assert figure.axes[2].images[0].get_array().shape == (4, 6, 3)
    first = lines(figure)[0]
    s = int(np.argmax(strength))
    assert first.xy1 == ((s % 6) * 2 + 0.5, (s // 6) * 2 + 0.5)
    assert (first.axesA, first.axesB) == (figure.axes[0], figure.axes[1])


def test_one_position_and_nothing_alike_is_drawn():
    figure = draw_matching(np.array([0]), np.array([0.0]), (1, 1), NAMES)
    assert render(figure, ".png")
    assert np.isfinite(figure.axes[0].images[0].get_array()).all()


def test_colours_of_a_grid_differ():
    colours = grid_colours(14, 14)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    np.fill_diagonal(distance, 1)
    assert distance.min() > 0.02
    assert 0 <= colours.min() <= colours.max() <= 1


def test_the_same_picture_has_the_same_bytes():
    assert render(drawn()[0], ".svg") == render(drawn()[0], ".svg")


def test_a_grid_of_another_size_is_refused():
    with pytest.raises(SemrsmError, match="2x3"):
        draw_matching(np.arange(4), np.ones(4), (2, 3), NAMES)


@pytest.mark.parametrize(("side", "said"), [(3, "all matches"), (7, "16 strongest of 49 matches")])
def test_the_figure_says_what_lines_and_colours_mean(side, said):
    count = side * side
    figure = draw_matching(np.arange(count), np.ones(count), (side, side), NAMES)
    caption = " ".join(figure.get_supxlabel().split())
    assert said in caption
    assert "matched positions share a colour" in caption
