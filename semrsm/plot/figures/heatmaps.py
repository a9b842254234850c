"""Heat maps of RSMs: one, or a grid of several of the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import cell_side, show_matrix, style
from semrsm.plot.figures.classes import (
    BAR,
    GAP,
    Classes,
    blocks_of_classes,
    classes_of,
    draw_label_bar,
    legend_of,
)
from semrsm.plot.figures.grids import (
    LINE,
    Around,
    Grid,
    letters_in,
    new_grid,
    places_of,
)
from semrsm.plot.figures.scales import NO_LIMITS, Limits, Scale, colour_scale
from semrsm.plot.figures.short_names import shorten_all
from semrsm.plot.figures.ticks import Ticks, names_fit, sample_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

ONE, SEVERAL = 4.2, 2.2  # inches of a heat map, alone and in a grid
ALONE, IN_GRID = 20, 16  # letters of the id of a sample
COLOURS = 0.75  # inches that a colour bar takes with its numbers and its name


@dataclass(frozen=True)
class Panel:
    """One RSM of a picture.

    Attributes:
        values: (n, m) the RSM; or, of one too large for memory, its means over square cells of the
            samples as they are to be drawn.
        title: What it is: layer, matcher, kernel. The first line is shortened where it is too long.
        quantity: What its entries are, for the colour bar: "cosine similarity".
        zero_counts: Zero means something, as in inner products.
        compared: Panels with the same word here share a colour scale.
        group: Panels of another group, such as another network, begin a new row.
        whole: (n, m) where `values` are means; else None.
        spread: (k,) entries that tell the colour scale where `values` are means; else None.
    """

    values: NDArray[np.floating]
    title: str = ""
    quantity: str = "similarity"
    zero_counts: bool = False
    compared: str = ""
    group: str = ""
    whole: tuple[int, int] | None = None
    spread: NDArray[np.floating] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, m) of the RSM."""
        return self.whole or self.values.shape


def draw_heatmaps(
    panels: Sequence[Panel],
    title: str = "",
    *,
    order: NDArray[np.integer] | None = None,
    ordered_by: str = "",
    labels: NDArray[np.generic] | None = None,
    samples: Sequence[str] | None = None,
    sides: tuple[str, str] = ("sample", "sample"),
    limits: Limits = NO_LIMITS,
) -> Figure:
    """Draw RSMs as heat maps, samples in one order; panels that are compared share a colour scale.

    The scale spans the entries off the diagonal, but for the outermost 0.5 % at either end. The ticks
    say which sample stands there, by its number or its id; where not all ids fit, they name the blocks
    of samples of one label, if these fit. A cell of a large RSM is the mean of several entries, which is
    said below the figure.

    Args:
        panels: The RSMs, all of one shape; a rectangular one has no order and no labels.
        title: Above the figure.
        order: (n,) the samples in the order to show; None is as given.
        ordered_by: Said below the figure: "label", "clustering of layer4".
        labels: (n,) drawn as coloured bars at the left and the top.
        samples: (n,) ids; of a rectangular RSM those of its rows.
        sides: What the rows and the columns are.
        limits: The values of the first and of the last colour, for all panels; None where it is found.

    Raises:
        SemrsmError: There is no panel, or shapes, labels and order do not fit together.

    Example:
        >>> figure = draw_heatmaps([Panel(np.eye(3), "layer4")], order=np.array([2, 0, 1]))
        >>> [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        ['2', '0', '1']
    """
    n, m = _shape(panels, order, labels)
    symmetric = n == m and sides[0] == sides[1]
    row_order = np.arange(n) if order is None else np.asarray(order)
    classes = None if labels is None else classes_of(np.asarray(labels))
    size, letters = (ONE, ALONE) if len(panels) == 1 else (SEVERAL, IN_GRID)
    high, wide = _sides(size, n, m)
    scales = scales_of(panels, limits)
    shared = len(set(scales)) == 1 and len({panel.quantity for panel in panels}) == 1
    side = cell_side((n, m), len(panels))
    notes = [f"samples ordered by {ordered_by}"] if ordered_by else []
    notes += [f"each cell is the mean of {side} x {side} entries"] if side > 1 else []
    with style():
        down = ticks_of(classes, row_order, samples, high, letters)
        across = down
        if not symmetric or high != wide:
            across = sample_ticks(np.arange(m), samples if symmetric else None, wide, letters)
        legend = legend_of(None if down.named else classes, ["; ".join(notes)])
        titles = fitting([panel.title for panel in panels], wide + COLOURS * (not shared))
        around = room_around(down, across, classes, titles, not shared)
        places = places_of([panel.group for panel in panels], wide / high)
        width = places.columns * (wide + around.left + around.right) + COLOURS * shared
        grid = new_grid(
            places, (wide, high), around, title,
            right=COLOURS * shared, below=legend.inches(width),
        )  # fmt: skip
        images = []
        for panel, axes, scale, text in zip(panels, grid.panels, scales, titles, strict=True):
            ordered = order is not None and panel.whole is None
            matrix = panel.values[np.ix_(row_order, row_order)] if ordered else panel.values
            images.append(show_matrix(axes, matrix, scale, panel.whole, side))
            axes.set_aspect("auto")
            draw_axes(axes, down, across, sides)
            above = 4.0
            if classes is not None:
                draw_bars(axes, classes, row_order, (high, wide), down)
                above += 72 * (BAR + GAP)
            axes.set_title(text, loc="left", pad=above, fontsize=8)
        _draw_colours(grid, panels, images, scales, shared)
        legend.draw(grid.figure)
    return grid.figure


def scales_of(panels: Sequence[Panel], limits: Limits = NO_LIMITS) -> list[Scale]:
    """Return the colour scale of each panel; those that are compared have the same."""
    scales: dict[str, Scale] = {}
    for name in dict.fromkeys(panel.compared for panel in panels):
        group = [panel for panel in panels if panel.compared == name]
        parts = [p.values if p.spread is None else p.spread[None, :] for p in group]
        zero_counts = any(panel.zero_counts for panel in group)
        scales[name] = colour_scale(parts, zero_counts, limits=limits)
    return [scales[panel.compared] for panel in panels]


def _shape(
    panels: Sequence[Panel],
    order: NDArray[np.integer] | None,
    labels: NDArray[np.generic] | None,
) -> tuple[int, int]:
    """Return the shape of all panels; raise SemrsmError if something does not fit."""
    shapes = sorted({panel.shape for panel in panels})
    if len(shapes) != 1:
        raise SemrsmError(f"RSMs of one shape are needed, not {shapes}; draw them one by one")
    n, m = shapes[0]
    if n != m and (order is not None or labels is not None):
        raise SemrsmError(f"a rectangular RSM {n} x {m} has no order and no labels; leave them out")
    for what, values in (("labels", labels), ("an order", order)):
        if values is not None and len(values) != n:
            raise SemrsmError(
                f"{what} of {n} samples is needed, not of {len(values)}; choose another"
            )
    return n, m


def _sides(size: float, n: int, m: int) -> tuple[float, float]:
    """Return (height, width) in inches of a heat map; the shorter side is a fourth at least.

    >>> _sides(2.0, 50, 100)
    (1.0, 2.0)
    """
    longest = max(n, m)
    return size * max(0.25, n / longest), size * max(0.25, m / longest)


def fitting(titles: Sequence[str], inches: float) -> list[str]:
    """Return titles whose first lines, the names of layers, fit a width and stay different."""
    firsts, rests = zip(*(title.partition("\n")[::2] for title in titles), strict=True)
    short = shorten_all(firsts, letters_in(inches))
    return [f"{first}\n{rest}" if rest else first for first, rest in zip(short, rests, strict=True)]


def lines_of(titles: Sequence[str]) -> int:
    """Return how many lines the longest of some titles has."""
    return max(1 + title.count("\n") for title in titles)


def ticks_of(
    classes: Classes | None,
    order: NDArray[np.integer],
    samples: Sequence[str] | None,
    inches: float,
    letters: int = ALONE,
) -> Ticks:
    """Return the ticks of an axis: ids where all fit, else names of the blocks of one label, else samples."""
    all_ids = samples is not None and names_fit(len(order), inches)
    blocks = None if classes is None or all_ids else blocks_of_classes(classes, order, inches)
    return blocks or sample_ticks(order, samples, inches, letters)


def room_around(
    down: Ticks,
    across: Ticks,
    classes: Classes | None,
    titles: Sequence[str],
    own_colours: bool,
) -> Around:
    """Return the inches that ticks, names, label bars, titles and colour bars take around a panel."""
    bar = (BAR + GAP) if classes is not None else 0.0
    return Around(
        left=down.inches + bar + LINE + 0.14,
        right=COLOURS + 0.1 if own_colours else 0.22,
        bottom=(across.inches if across.turned else 0.12) + LINE + 0.16,
        top=lines_of(titles) * LINE + bar + 0.1,
    )


def draw_axes(axes: Axes, down: Ticks, across: Ticks, sides: tuple[str, str]) -> None:
    """Write the ticks of the samples at the left and below, and what the rows and the columns are."""
    across.write_across(axes)
    down.write_down(axes)
    axes.set_ylabel(down.label(sides[0]))
    axes.set_xlabel(across.label(sides[1]))


def draw_bars(
    axes: Axes,
    classes: Classes,
    order: NDArray[np.integer],
    inches: tuple[float, float],
    down: Ticks,
) -> None:
    """Draw the label bars at the left and the top; the ticks at the left move beside the bar."""
    left, _ = (draw_label_bar(axes, classes, order, side, inches) for side in ("left", "top"))
    axes.set_yticks([])
    left.set_ylabel(axes.get_ylabel())
    axes.set_ylabel("")
    down.write_down(left)


def _draw_colours(
    grid: Grid,
    panels: Sequence[Panel],
    images: Sequence[AxesImage],
    scales: Sequence[Scale],
    shared: bool,
) -> None:
    """Draw a colour bar at the right of each panel, or of each row where all share one scale."""
    for index in grid.places.row_ends() if shared else range(len(panels)):
        cax = grid.beside(grid.panels[index], 0.12, 0.1)
        bar = grid.figure.colorbar(images[index], cax=cax, extend=scales[index].extend)
        bar.set_label(panels[index].quantity)
