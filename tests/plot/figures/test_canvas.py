import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.figures.canvas import block_means, new_figure, save_figure, style
from semrsm.plot.figures.scales import colour_scale


def figure_with_text(title="the title"):
    with style():
        figure = new_figure(3, 2, title)
        figure.add_subplot().imshow(np.arange(9.0).reshape(3, 3))
    return figure


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG\r\n"), (".pdf", b"%PDF-"), (".svg", b"<?xml")]
)
def test_a_picture_is_what_its_suffix_says_and_the_same_every_time(tmp_path: Path, suffix, magic):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    save_figure(figure_with_text(), first)
    save_figure(figure_with_text(), second)
    assert first.read_bytes().startswith(magic)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [first.name, second.name]


def test_text_in_an_svg_is_text(tmp_path: Path):
    save_figure(figure_with_text(), tmp_path / "a.svg")
    assert "the title" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("title", ["$x_{", "\u7a7a \U0001f600", "\x7f\u202e"])
def test_any_text_is_drawn_as_it_is_and_without_a_word(tmp_path: Path, title, capfd):
    save_figure(figure_with_text(title), tmp_path / "a.svg")
    assert title in "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    save_figure(figure_with_text(title), tmp_path / "a.png")
    assert capfd.readouterr().err == ""


def test_control_characters_do_not_break_an_svg(tmp_path: Path):
    save_figure(figure_with_text("a\x1b[31mb"), tmp_path / "a.svg")
    texts = ElementTree.parse(tmp_path / "a.svg").getroot().itertext()
    assert "a[31mb" in "".join(texts)


@pytest.mark.parametrize("name", ["a.gif", "a", "missing/a.png"])
def test_a_picture_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path, name):
    with pytest.raises(SemrsmError, match=r"name it \.png, \.pdf, \.svg|does not exist"):
        save_figure(figure_with_text(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_an_older_picture(tmp_path: Path, monkeypatch):
    out = tmp_path / "a.png"
    out.write_bytes(b"older")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SemrsmError, match="No space left"):
        save_figure(figure_with_text(), out)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert out.read_bytes() == b"older"


def test_drawing_leaves_the_users_settings_alone_and_does_not_depend_on_them(tmp_path: Path):
    save_figure(figure_with_text(), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "image.cmap": "jet"}):
        save_figure(figure_with_text(), tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 20
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_diagonal_does_not_stretch_the_scale():
    rsm = np.full((30, 30), 0.5)
    rsm[0, 1] = rsm[1, 0] = 0.4
    rsm[2:9, 9:16] = 0.7
    np.fill_diagonal(rsm, 100)
    scale = colour_scale([rsm])
    assert (scale.high, scale.extend) == (0.7, "both")
    assert colour_scale([rsm], diagonal=True).high == 100


@pytest.mark.parametrize(
    ("low", "zero_counts", "expected"),
    [
        (-1.0, True, "RdBu_r"),
        (-1.0, False, "viridis"),
        (0.5, True, "viridis"),
        (-0.05, True, "viridis"),
    ],
)
def test_the_scale_diverges_only_where_zero_means_something(low, zero_counts, expected):
    values = np.linspace(low, 2.0, 400).reshape(20, 20)
    scale = colour_scale([values], zero_counts, diagonal=True)
    assert scale.colours == expected
    assert (scale.low == -scale.high) == (expected == "RdBu_r")


@pytest.mark.parametrize("values", [np.ones((4, 4)), np.full((3, 3), np.nan), np.ones((1, 1))])
def test_a_scale_is_never_empty(values):
    scale = colour_scale([values])
    assert scale.low < scale.high


def test_matplotlib_is_imported_only_when_something_is_drawn():
    code = "import sys, semrsm.cli, semrsm.plot; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


@pytest.mark.parametrize("side", [1, 2, 3, 7, 50])
def test_means_over_blocks_keep_the_mean_of_each_block(rng, side):
    matrix = rng.normal(size=(7, 9))
    means = block_means(matrix, side)
    assert means.shape == (-(-7 // side), -(-9 // side))
    for (i, j), mean in np.ndenumerate(means):
        block = matrix[i * side : (i + 1) * side, j * side : (j + 1) * side]
        assert mean == pytest.approx(block.mean())
