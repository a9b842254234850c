"""Where the samples lie: classical multidimensional scaling, and the dendrogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.canvas import OTHER, new_figure, style
from semrsm.plot.figures.geometry import cluster, embed
from semrsm.plot.figures.heatmaps import COLUMNS, Panel
from semrsm.plot.figures.texts import (
    Classes,
    classes_of,
    draw_label_bar,
    draw_legend,
    names_fit,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 300  # leaves; of more, stems down to 0 would be a black wall
HANGING = 0.03  # of the height of a tree of many leaves: how long its stems are
NUMBERED = 30  # samples; of more, the numbers at the points would overlap


def draw_embedding(
    panels: Sequence[Panel],
    title: str = "",
    *,
    labels: NDArray[np.generic] | None = None,
    views: NDArray[np.generic] | None = None,
) -> Figure:
    """Draw the samples in the plane by classical multidimensional scaling of each RSM.

    The axes say which share of the squared centred RSM they hold.

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
        'dimension 1 (33 %)'
    """
    classes = None if labels is None else classes_of(np.asarray(labels))
    columns = min(COLUMNS, math.ceil(math.sqrt(len(panels))), len(panels))
    rows = math.ceil(len(panels) / columns)
    size = 4.4 if len(panels) == 1 else 3.0
    with style():
        figure = new_figure(columns * size, rows * size + 0.3, title)
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, index + 1)
            points, share = embed(panel.values)
            _draw_points(axes, points, classes, views)
            axes.set_title(panel.title, loc="left")
            axes.set_xlabel(f"dimension 1 ({100 * share[0]:.0f} %)")
            axes.set_ylabel(f"dimension 2 ({100 * share[1]:.0f} %)")
        draw_legend(figure, classes, joined=views is not None)
    return figure


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
    axes.tick_params(labelsize=6)
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
            ha="right" if crowded else "left", fontsize=6, color="0.3",
        )  # fmt: skip


def draw_dendrogram(
    panels: Sequence[Panel],
    title: str = "",
    *,
    labels: NDArray[np.generic] | None = None,
    samples: Sequence[str] | None = None,
) -> Figure:
    """Draw the average-linkage clustering of the samples of each RSM as a tree.

    Args:
        panels: The RSMs, symmetric.
        title: Above the figure.
        labels: (n,) drawn as a coloured bar under the leaves.
        samples: (n,) names, written under the leaves where they fit.

    Raises:
        SemrsmError: An RSM cannot be clustered (see `semrsm.plot.figures.geometry.cluster`).

    Example:
        >>> figure = draw_dendrogram([Panel(np.eye(4) + 1)])
        >>> len(figure.axes[0].collections[0].get_segments())
        3
    """
    from matplotlib.collections import LineCollection

    classes = None if labels is None else classes_of(np.asarray(labels))
    width, height = 7.0, 2.9
    with style():
        figure = new_figure(width, height * len(panels) + 0.3, title)
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(len(panels), 1, index + 1)
            merges = cluster(panel.values)
            fit = names_fit(len(merges) + 1, 0.85 * width)
            lines, leaves = dendrogram_lines(
                merges, HANGING * merges[-1, 2] if len(merges) > MANY else None
            )
            thin = float(np.clip(120 / len(leaves), 0.4, 1.0))
            axes.add_collection(LineCollection(lines, colors="0.15", linewidths=thin))
            axes.set_xlim(-0.5, len(leaves) - 0.5)
            axes.set_ylim(0, max(1e-12, 1.04 * max(line[1][1] for line in lines)))
            axes.set_title(panel.title, loc="left")
            axes.set_title(f"from {panel.quantity}", loc="right", fontsize=7, color="0.3")
            axes.set_ylabel("distance")
            axes.spines["bottom"].set_visible(False)
            under = axes if classes is None else draw_label_bar(axes, classes, leaves, "bottom")
            _name_leaves(axes, under, leaves, samples, fit)
        if classes is not None:
            draw_legend(figure, classes)
    return figure


def dendrogram_lines(
    merges: NDArray[np.float64], hanging: float | None = None
) -> tuple[list[NDArray[np.float64]], NDArray[np.intp]]:
    """Return the lines of a tree, (4, 2) each, and its leaves from left to right.

    SciPy's own drawing is recursive and fails on deep trees of some thousand leaves.

    Args:
        merges: (n - 1, 4) as `scipy.cluster.hierarchy.linkage` lists them.
        hanging: How far each leaf hangs below its branch; None takes all of them down to 0.

    Example:
        >>> lines, leaves = dendrogram_lines(np.array([[0.0, 1.0, 2.0, 2.0]]))
        >>> lines[0].tolist(), leaves.tolist()
        ([[0.0, 0.0], [0.0, 2.0], [1.0, 2.0], [1.0, 0.0]], [0, 1])
    """
    from scipy.cluster.hierarchy import leaves_list

    leaves = leaves_list(merges).astype(np.intp)
    n = len(leaves)
    x, y = np.empty(2 * n - 1), np.zeros(2 * n - 1)
    x[leaves] = np.arange(n)
    lines = []
    for index, (left, right, height, _) in enumerate(merges):
        a, b = int(left), int(right)
        if hanging is not None:
            y[[child for child in (a, b) if child < n]] = max(0, height - hanging)
        x[n + index], y[n + index] = (x[a] + x[b]) / 2, height
        lines.append(np.array([(x[a], y[a]), (x[a], height), (x[b], height), (x[b], y[b])]))
    return lines, leaves


def _name_leaves(
    axes: Axes,
    under: Axes,
    leaves: NDArray[np.intp],
    samples: Sequence[str] | None,
    fit: bool,
) -> None:
    """Write names, or else numbers, under the leaves where they fit; else say how many there are."""
    axes.set_xticks([])
    if not fit:
        under.set_xlabel(f"{len(leaves)} samples")
        return
    names = [str(leaf) if samples is None else shorten(str(samples[leaf])) for leaf in leaves]
    turned = 90 if max(map(len, names)) > 2 else 0
    under.set_xticks(np.arange(len(leaves)), names, rotation=turned, fontsize=6)
    under.tick_params(axis="x", length=0)
    under.set_xlabel("sample")
