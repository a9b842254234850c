"""Figures of several panels of one size: placed in inches, so that no number of them makes them small."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from semrsm.plot.figures.canvas import drawable, new_figure
from semrsm.plot.figures.short_names import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8  # panels beside each other, at most
LINE = 0.165  # inches of a line of text, of 8 or 9 points
LONGEST = 300  # letters of a line before it is wrapped
EDGE = 0.08  # inches around all
LETTER, SMALL = 0.085, 0.068  # inches of a letter of 10 points, and of 8, about


@dataclass(frozen=True)
class Around:
    """Inches around a panel that its own texts take."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Places:
    """Where panels stand.

    Attributes:
        cells: (row, column) of each panel, row by row.
        columns: How many stand beside each other, at most.
    """

    cells: list[tuple[int, int]]
    columns: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return 1 + max((row for row, _ in self.cells), default=0)

    def row_ends(self) -> list[int]:
        """Return the number of the last panel of each row."""
        return list({row: index for index, (row, _) in enumerate(self.cells)}.values())


@dataclass(frozen=True)
class Grid:
    """A figure and its panels.

    Attributes:
        figure: The figure.
        panels: One for each thing that is drawn, row by row.
        places: Where they stand.
    """

    figure: Figure
    panels: list[Axes]
    places: Places

    def beside(self, panel: Axes, gap: float, width: float) -> Axes:
        """Return new axes right of a panel, as high as it is; in inches."""
        box = panel.get_position()
        across = self.figure.get_size_inches()[0]
        return self.figure.add_axes((box.x1 + gap / across, box.y0, width / across, box.height))


def columns_of(count: int, shape: float = 1.0) -> int:
    """Return how many panels stand beside each other, so that the figure is about as high as wide.

    >>> [columns_of(count) for count in (1, 2, 4, 13, 49, 300)]
    [1, 2, 2, 4, 7, 8]
    >>> columns_of(4, shape=4.0)  # panels four times as wide as high
    1
    """
    return max(1, min(COLUMNS, count, math.ceil(math.sqrt(count / shape))))


def places_of(groups: Sequence[str], shape: float = 1.0) -> Places:
    """Return where panels stand: about as many rows as columns; where there are groups, rows of each.

    Args:
        groups: What each panel belongs to; those of one group stand one after the other.
        shape: How many times as wide as high a panel is.

    Example:
        >>> places_of(["a", "a", "a", "b", "b", "b"]).cells
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        >>> places_of(["a"] * 4).cells, places_of(["a", "b"]).cells
        ([(0, 0), (0, 1), (1, 0), (1, 1)], [(0, 0), (0, 1)])
    """
    runs = [len(list(run)) for _, run in groupby(groups)]
    longest = max(runs, default=1)
    if len(runs) == 1 or longest == 1:
        runs = [len(groups)]
        columns = columns_of(len(groups), shape)
    else:
        most = max(1, round(COLUMNS / max(1.0, shape)))
        columns = math.ceil(longest / math.ceil(longest / most))
    cells: list[tuple[int, int]] = []
    rows = 0
    for run in runs:
        cells += [(rows + index // columns, index % columns) for index in range(run)]
        rows += math.ceil(run / columns)
    return Places(cells, columns)


def new_grid(
    places: Places,
    size: tuple[float, float],
    around: Around,
    title: str = "",
    *,
    right: float = 0.0,
    below: float = 0.0,
) -> Grid:
    """Return a figure with empty panels of a size.

    Args:
        places: Where the panels stand.
        size: (width, height) of each, in inches, without its texts.
        around: What its texts take.
        title: Above the figure.
        right: Inches at the right of all, for a colour bar.
        below: Inches below all, for a legend.
    """
    wide = size[0] + around.left + around.right
    high = size[1] + around.bottom + around.top
    width = places.columns * wide + right + 2 * EDGE
    lines = wrapped(title, width)
    top = (len(lines) * LINE * 1.15 + EDGE) if lines else 0.0
    height = places.rows * high + below + top + 2 * EDGE
    figure = new_figure(width, height, layout=None)
    if lines:
        figure.suptitle("\n".join(lines), y=1 - EDGE / height, va="top")
    panels = []
    for row, column in places.cells:
        x = EDGE + column * wide + around.left
        y = height - EDGE - top - row * high - around.top - size[1]
        place = (x / width, y / height, size[0] / width, size[1] / height)
        panels.append(figure.add_axes(place))
    return Grid(figure, panels, places)


def wrapped(title: str, inches: float, letter: float = LETTER) -> list[str]:
    """Return a title in lines that fit a width; what fits stays as it is.

    >>> wrapped("resnet, cosine kernel", 4.0), wrapped("a b", 0.1)
    (['resnet, cosine kernel'], ['a b'])
    """
    letters = max(16, int(inches / letter))
    lines = [shorten(line, LONGEST) for line in title.split("\n")] if title else []
    return [
        part
        for line in lines
        for part in (textwrap.wrap(line, letters) if len(line) > letters else [line])
    ]


def text_inches(texts: Iterable[str], points: float = 7.0) -> float:
    """Return how wide the widest of some texts is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=points)
    widths = (
        text_to_path.get_text_width_height_descent(drawable(text), font, ismath=False)[0]
        for text in dict.fromkeys(texts)
        if text
    )
    return max(widths, default=0.0) / 72


def letters_in(inches: float, points: float = 8.0) -> int:
    """Return about how many letters fit a width.

    >>> letters_in(2.2)
    32
    """
    return max(8, int(inches * 72 / (0.61 * points)))
