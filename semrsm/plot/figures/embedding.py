"""Where the samples lie: classical multidimensional scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.canvas import OTHER, style
from semrsm.plot.figures.classes import Classes, classes_of, legend_of
from semrsm.plot.figures.geometry import embed
from semrsm.plot.figures.grids import LINE, Around, new_grid, places_of
from semrsm.plot.figures.heatmaps import Panel, fitting, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 30  # samples; of more, the numbers at the points would overlap

SHARE = "share of the squares: of the sum of the squared entries of the centred RSM"


def draw_embedding(
    panels: Sequence[Panel],
    title: str = "",
    *,
    labels: NDArray[np.generic] | None = None,
    views: NDArray[np.generic] | None = None,
) -> Figure:
    """Draw the samples in the plane by classical multidimensional scaling of each RSM.

    The axes say which share of the sum of squares of the centred RSM they hold.

    Args:
        panels: The RSMs, symmetric.
        title: Above the figure.
        labels: (n,) colour the points.
        views: (n,) views of the same thing are joined by a line.

    Raises:
        SemrsmError: An RSM cannot be embedded (see `semrsm.plot.figures.geometry.embed`).

    Example:
        >>> figure = draw_embedding([Panel(np.eye(4), "layer4")])
        >>> figure.axes[0].get_xlabel()
        'dimension 1: 33 % of the squares'
    """
    classes = None if labels is None else classes_of(np.asarray(labels))
    size = 3.6 if len(panels) == 1 else 2.3
    legend = legend_of(classes, [SHARE], joined=views is not None)
    titles = fitting([panel.title for panel in panels], size)
    around = Around(left=0.68, right=0.14, bottom=0.5, top=lines_of(titles) * LINE + 0.14)
    places = places_of([panel.group for panel in panels])
    with style():
        width = places.columns * (size + around.left + around.right)
        below = legend.inches(width)
        grid = new_grid(places, (size, size), around, title, below=below)
        for panel, axes, text in zip(panels, grid.panels, titles, strict=True):
            points, share = embed(panel.values)
            _draw_points(axes, points, classes, views)
            axes.set_title(text, loc="left", fontsize=8)
            axes.set_xlabel(f"dimension 1: {100 * share[0]:.0f} % of the squares")
            axes.set_ylabel(f"dimension 2: {100 * share[1]:.0f} % of the squares")
        legend.draw(grid.figure)
    return grid.figure


def _draw_points(
    axes: Axes,
    points: NDArray[np.float64],
    classes: Classes | None,
    views: NDArray[np.generic] | None,
) -> None:
    """Draw the points, coloured by class, lines between views, and numbers where there is room."""
    n = len(points)
    if views is not None:
        from matplotlib.collections import LineCollection

        _, things = np.unique(views, return_inverse=True)
        lines = [points[things == thing] for thing in range(things.max() + 1)]
        axes.add_collection(LineCollection(lines, colors="0.75", linewidths=0.7, zorder=1))
    colours = OTHER if classes is None else [classes.colours[code] for code in classes.codes]
    area = float(np.clip(4000 / n, 6, 28))
    axes.scatter(
        points[:, 0], points[:, 1], s=area, c=colours, linewidths=0, alpha=0.85 if n < 200 else 0.6
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=5)
    if n <= NUMBERED and classes is None:
        _number_points(axes, points)


def _number_points(axes: Axes, points: NDArray[np.float64]) -> None:
    """Write each point's number at its right, or at its left where another point is there."""
    span = max(float(np.ptp(points, axis=0).max()), 1e-300)
    for index, point in enumerate(points):
        dx, dy = ((points - point) / span).T
        crowded = bool(((dx > 0) & (dx < 0.07) & (np.abs(dy) < 0.03)).any())
        axes.annotate(
            str(index), point, xytext=(-3 if crowded else 3, 2), textcoords="offset points",
            ha="right" if crowded else "left", fontsize=7, color="0.3",
        )  # fmt: skip
