"""Heat maps of RSMs: one, or a grid of several of the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import (
    Scale,
    cell_side,
    colour_scale,
    new_figure,
    show_matrix,
    style,
)
from semrsm.plot.figures.texts import (
    Classes,
    classes_of,
    draw_label_bar,
    draw_legend,
    name_blocks,
    names_fit,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE, SEVERAL = 4.2, 2.5  # inches of a heat map, alone and in a grid
COLUMNS = 4


@dataclass(frozen=True)
class Panel:
    """One RSM of a picture.

    Attributes:
        values: (n, m) the RSM; or, of one too large for memory, its means over square cells of the
            samples as they are to be drawn.
        title: What it is: layer, matcher.
        quantity: What its entries are, for the colour bar: "cosine similarity".
        zero_counts: Zero means something, as in inner products.
        whole: (n, m) where `values` are means; else None.
        scale: Its colours where `values` are means; else None.
    """

    values: NDArray[np.floating]
    title: str = ""
    quantity: str = "similarity"
    zero_counts: bool = False
    whole: tuple[int, int] | None = None
    scale: Scale | None = None

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
) -> Figure:
    """Draw RSMs as heat maps, each with a colour bar of its own, samples in one order.

    The scale spans the entries off the diagonal, but for the outermost 0.5 % at either end. Names of
    samples, or of the labels' blocks, are written where they fit. A cell of a large RSM is the mean of
    several entries, which is said below the figure.

    Args:
        panels: The RSMs, all of one shape; a rectangular one has no order and no labels.
        title: Above the figure.
        order: (n,) the samples in the order to show; None is as given.
        ordered_by: Said below the figure: "label", "clustering of layer4".
        labels: (n,) drawn as coloured bars at the left and the top.
        samples: (n,) names.

    Raises:
        SemrsmError: There is no panel, or shapes, labels and order do not fit together.

    Example:
        >>> figure = draw_heatmaps([Panel(np.eye(3), "layer4")], order=np.array([2, 0, 1]))
        >>> figure.axes[0].get_title(loc="left"), figure.axes[0].images[0].get_array().shape
        ('layer4', (3, 3))
    """
    n, m = _shape(panels, order, labels)
    symmetric = n == m
    shown = np.arange(n) if order is None else np.asarray(order)
    classes = None if labels is None else classes_of(np.asarray(labels))
    size = ONE if len(panels) == 1 else SEVERAL
    columns = min(COLUMNS, math.ceil(math.sqrt(len(panels))), len(panels))
    rows = math.ceil(len(panels) / columns)
    with style():
        figure = new_figure(columns * (size + 1.15), rows * (size + 0.65) + 0.3, title)
        notes = [f"samples ordered by {ordered_by}"] if ordered_by else []
        if (side := cell_side((n, m))) > 1:
            notes.append(f"each cell is the mean of {side} x {side} entries")
        below = "; ".join(notes)
        named = True
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, index + 1)
            ordered = symmetric and panel.whole is None
            matrix = panel.values[np.ix_(shown, shown)] if ordered else panel.values
            _draw_matrix(figure, axes, panel, matrix)
            if index + columns >= len(panels):
                axes.set_xlabel("sample" if symmetric else "column sample")
            if index % columns == 0:
                axes.set_ylabel("sample" if symmetric else "row sample")
            _write_names(axes, shown, samples, size, symmetric)
            if classes is not None:
                named &= _draw_bars(axes, classes, shown, size)
        if classes is not None and not named:
            draw_legend(figure, classes, title=below)
        elif below:
            figure.supxlabel(below, fontsize=8)
    return figure


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
    for what, given in (("labels", labels), ("an order", order)):
        if given is not None and len(given) != n:
            raise SemrsmError(
                f"{what} of {n} samples is needed, not of {len(given)}; choose another"
            )
    return n, m


def _draw_matrix(figure: Figure, axes: Axes, panel: Panel, matrix: NDArray[np.floating]) -> None:
    scale = panel.scale or colour_scale([matrix], panel.zero_counts)
    image = show_matrix(axes, matrix, scale, panel.whole)
    axes.set_title(panel.title, loc="left")
    bar = figure.colorbar(image, ax=axes, extend=scale.extend, shrink=0.9, pad=0.03, aspect=25)
    bar.set_label(panel.quantity)


def _write_names(
    axes: Axes,
    order: NDArray[np.integer],
    samples: Sequence[str] | None,
    size: float,
    symmetric: bool,
) -> None:
    """Write the samples' names at the ticks where they fit; else whole numbers are counted."""
    from matplotlib.ticker import MaxNLocator

    if samples is not None and symmetric and names_fit(len(samples), size):
        names = [shorten(str(samples[index])) for index in order]
        axes.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=6)
        axes.set_yticks(np.arange(len(names)), names, fontsize=6)
        return
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_bars(axes: Axes, classes: Classes, order: NDArray[np.integer], size: float) -> bool:
    """Draw the label bars at the left and the top; say whether the blocks are named there."""
    title = axes.get_title(loc="left")
    left, top = (draw_label_bar(axes, classes, order, side) for side in ("left", "top"))
    axes.tick_params(left=False)
    axes.set_yticks([])
    named = name_blocks(left, classes, order, size, "left")
    left.set_ylabel(axes.get_ylabel())
    axes.set_ylabel("")
    axes.set_title("", loc="left")
    top.set_title(title, loc="left")
    return named
