"""How the samples cluster: the dendrogram of an RSM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.canvas import style
from semrsm.plot.figures.classes import BAR, GAP, classes_of, draw_label_bar, legend_of
from semrsm.plot.figures.geometry import cluster
from semrsm.plot.figures.grids import LINE, Around, new_grid, places_of, text_inches
from semrsm.plot.figures.heatmaps import Panel, fitting, lines_of
from semrsm.plot.figures.short_names import shorten_ids
from semrsm.plot.figures.ticks import Ticks, names_fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY = 300  # leaves; of more, stems down to 0 would be a black wall
HANGING = 0.03  # of the height of a tree of many leaves: how long its stems are
WIDE = 2.2  # times as wide as high is a tree with its texts


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
    places = places_of([panel.group for panel in panels], WIDE)
    width, height = (6.4, 2.1) if places.columns == 1 else (4.2, 1.6)
    n = len(panels[0].values)
    every = names_fit(n, width)
    legend = legend_of(classes, ["average linkage of the distances √(K_ii + K_jj - 2 K_ij)"])
    titles = fitting([panel.title for panel in panels], width)
    with style():
        ids, left_out = shorten_ids([str(i) for i in range(n)] if samples is None else samples)
        turned = every and (samples is not None or text_inches(ids) + 0.03 > width / n)
        label = Ticks([], [], turned, left_out).label("sample")
        bottom = (text_inches(ids) if turned else 0.12) + LINE + 0.16 + (BAR + GAP)
        top = lines_of(titles) * LINE + 0.14
        around = Around(left=0.62, right=0.14, bottom=bottom, top=top)
        below = legend.inches(places.columns * (width + around.left + around.right))
        grid = new_grid(places, (width, height), around, title, below=below)
        for panel, axes, text in zip(panels, grid.panels, titles, strict=True):
            merges = cluster(panel.values)
            lines, leaves = dendrogram_lines(
                merges, HANGING * merges[-1, 2] if len(merges) > MANY else None
            )
            thin = float(np.clip(120 / len(leaves), 0.4, 1.0))
            axes.add_collection(LineCollection(lines, colors="0.15", linewidths=thin))
            axes.set_xlim(-0.5, len(leaves) - 0.5)
            axes.set_ylim(0, max(1e-12, 1.04 * max(line[1][1] for line in lines)))
            axes.set_title(text, loc="left", fontsize=8)
            axes.set_ylabel("distance")
            axes.spines["bottom"].set_visible(False)
            under = axes
            if classes is not None:
                under = draw_label_bar(axes, classes, leaves, "bottom", (height, width))
            axes.set_xticks([])
            if every:
                names = [ids[leaf] for leaf in leaves]
                under.set_xticks(range(len(leaves)), names, rotation=90 if turned else 0)
                under.tick_params(axis="x", length=0)
            under.set_xlabel(label if every else f"{len(leaves)} samples")
        legend.draw(grid.figure)
    return grid.figure


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
