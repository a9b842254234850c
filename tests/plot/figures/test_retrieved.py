import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import render
from semrsm.plot.figures.retrieved import Retrieved, as_picture, draw_retrieved


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 4), (5, 4)),
        ((5, 4, 3), (5, 4, 3)),
        ((3, 5, 4), (5, 4, 3)),
        ((1, 5, 4), (5, 4)),
        ((5, 4, 1), (5, 4)),
        ((3, 3, 3), (3, 3, 3)),
    ],
)
def test_images_of_every_layout_are_pictures(shape, expected):
    assert as_picture(np.zeros(shape)).shape == expected


@pytest.mark.parametrize("shape", [(5,), (2, 5, 4), (5, 4, 2), (2, 3, 4, 5)])
def test_other_arrays_are_refused(shape):
    with pytest.raises(SemrsmError, match=r"of shape \(H, W\)"):
        as_picture(np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_queries_stand_left_of_what_was_found(rng, dtype):
    images = {i: (rng.random((3, 6, 5)) * 100).astype(dtype) for i in range(4)}
    rows = [
        Retrieved(name, 1, np.array([0, 3]), np.array([0.75, -0.5]))
        for name in ("spatio-semantic", "semantic")
    ]
    figure = draw_retrieved(rows, images, "top", np.array(["a", "b", "a", "b"]))
    titles = ["query: 1 (b)", "1: 0 (a)", "2: 3 (b)"]
    assert [axes.get_title() for axes in figure.axes] == titles * 2
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["spatio-semantic", "semantic"]
    assert [axes.get_xlabel() for axes in figure.axes[1:3]] == ["0.750", "-0.500"]
    drawn = np.asarray(figure.axes[1].images[0].get_array(), float)
    assert drawn.shape == (6, 5, 3)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    if dtype == np.uint8:
        expected = np.moveaxis(images[0], 0, 2) / 255
        np.testing.assert_allclose(drawn, expected, atol=1e-6)
    solid, dashed = figure.axes[2].spines["top"], figure.axes[1].spines["top"]
    assert solid.get_linestyle() == "-"
    assert dashed.get_linestyle() != "-"
    assert render(figure, ".png")


def test_images_are_named_by_their_ids(rng):
    images = {i: rng.random((6, 5)) for i in (1, 3, 4)}
    rows = [Retrieved("semantic", 1, np.array([4, 3]), np.array([0.75, -0.5]))]
    samples = [f"ILSVRC2012_val_0000{i}293.JPEG" for i in range(5)]
    figure = draw_retrieved(rows, images, samples=samples)
    assert [axes.get_title() for axes in figure.axes] == [
        "query: 00001293",
        "1: 00004293",
        "2: 00003293",
    ]
    figure = draw_retrieved(rows, images, "", np.array(list("abaab")), samples)
    assert figure.axes[1].get_title() == "1: 00004293\n(b)"
    assert render(figure, ".png")


def test_without_queries_there_is_nothing_to_draw():
    with pytest.raises(SemrsmError, match="`queries="):
        draw_retrieved([], {})
