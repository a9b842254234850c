"""Two RSMs of the same samples next to each other, with the histograms of their similarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import OTHER, SAME, show_matrix, style
from semrsm.plot.figures.classes import BAR, GAP, classes_of, legend_of
from semrsm.plot.figures.grids import Grid, new_grid, places_of
from semrsm.plot.figures.heatmaps import (
    COLOURS,
    draw_axes,
    draw_bars,
    fitting,
    room_around,
    ticks_of,
)
from semrsm.plot.figures.scales import NO_LIMITS, Limits, colour_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 40
SIDE = 2.5  # inches of a heat map
HISTOGRAM, BEFORE, BETWEEN = 2.8, 0.55, 0.4  # inches: how wide, before it, between the two
HEADROOM = 0.28  # of the height of the bars, above them, for each line of the legend


def order_by_views(
    views: NDArray[np.generic], labels: NDArray[np.generic] | None = None
) -> NDArray[np.intp]:
    """Return an order of the samples: the first view of every thing, then the second views, ...

    Two views of one thing then lie on a line parallel to the diagonal of the RSM.

    Args:
        views: (n,) which thing each sample is a view of.
        labels: (n,) sorts the things, by label; None keeps them by their id.

    Returns:
        (n,) such that `views[order]` counts through the things once for each view.

    Example:
        >>> views = np.array([1, 0, 1, 0])
        >>> views[order_by_views(views)].tolist()
        [0, 1, 0, 1]
    """
    _, things = np.unique(views, return_inverse=True)
    _, classes = np.unique(np.zeros(len(views)) if labels is None else labels, return_inverse=True)
    by_thing = np.argsort(things, kind="stable")
    starts = np.flatnonzero(np.diff(things[by_thing], prepend=-1))
    occurrence = np.empty(len(views), dtype=np.intp)
    occurrence[by_thing] = np.arange(len(views)) - starts[things[by_thing]]
    return np.lexsort((things, classes, occurrence))


def draw_side_by_side(
    identity: NDArray[np.floating],
    optimal: NDArray[np.floating],
    title: str = "",
    same_view: NDArray[np.generic] | None = None,
    *,
    order: NDArray[np.integer] | None = None,
    ordered_by: str = "",
    labels: NDArray[np.generic] | None = None,
    samples: Sequence[str] | None = None,
    kernel: str | None = "cosine",
    names: tuple[str, str] = ("spatio-semantic (identity)", "semantic (optimal)"),
    limits: Limits = NO_LIMITS,
) -> Figure:
    """Draw two RSMs as heat maps on one colour scale and the histograms of their similarities.

    The histograms are over pairs i < j, of the pairs that are views of the same thing and of all
    others, each with its median; without `same_view`, of all pairs.

    Args:
        identity: (n, n) the spatio-semantic RSM, drawn on the left.
        optimal: (n, n) the semantic RSM.
        title: Above the figure.
        same_view: (n,) which thing each sample is a view of, or (n, n) bool, which pairs are views of
            the same thing.
        order: (n,) the samples in the order in which the heat maps show them, such as
            `order_by_views`; None is as given.
        ordered_by: Said below the figure: "view, then label".
        labels: (n,) drawn as coloured bars at the left and the top of the heat maps.
        samples: (n,) ids.
        kernel: Named at the colour bar; None where it is not known.
        names: What the two are called.
        limits: The values of the first and of the last colour; None where it is found.

    Raises:
        SemrsmError: The shapes do not fit together, or there are fewer than two samples.

    Source: the figure of translation sensitivity in Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> figure = draw_side_by_side(np.eye(4), np.ones((4, 4)), "two", np.array([0, 0, 1, 1]))
        >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
        ['spatio-semantic (identity)', 'semantic (optimal)']
    """
    pairs = _groups_of_pairs(identity, optimal, same_view)
    n = len(identity)
    row_order = np.arange(n) if order is None else np.asarray(order)
    classes = None if labels is None else classes_of(np.asarray(labels))
    what = f"{kernel} similarity" if kernel else "similarity"
    scale = colour_scale([identity, optimal], zero_counts=kernel == "linear", limits=limits)
    first, second = fitting(names, SIDE)
    with style():
        ticks = ticks_of(classes, row_order, samples, SIDE)
        note = f"samples ordered by {ordered_by}" if ordered_by else ""
        legend = legend_of(None if ticks.named else classes, [note])
        around = room_around(ticks, ticks, classes, (first, second), own_colours=False)
        width = 2 * (SIDE + around.left + around.right) + COLOURS + HISTOGRAM + BEFORE
        grid = new_grid(
            places_of(["", ""]), (SIDE, SIDE), around, title,
            right=COLOURS + HISTOGRAM + BEFORE, below=legend.inches(width),
        )  # fmt: skip
        for axes, rsm, name in zip(grid.panels, (identity, optimal), (first, second), strict=True):
            image = show_matrix(axes, rsm[np.ix_(row_order, row_order)], scale)
            draw_axes(axes, ticks, ticks, ("sample", "sample"))
            above = 4.0
            if classes is not None:
                draw_bars(axes, classes, row_order, (SIDE, SIDE), ticks)
                above += 72 * (BAR + GAP)
            axes.set_title(name, loc="left", pad=above)
        edges = _edges([rsm[mask] for rsm in (identity, optimal) for mask in pairs.values()])
        histograms = _histogram_axes(grid)
        for axes, rsm, name in zip(histograms, (identity, optimal), (first, second), strict=True):
            _draw_histograms(axes, {k: rsm[mask] for k, mask in pairs.items()}, edges)
            axes.set_title(name, loc="left")
            axes.set_ylabel("density of pairs")
        histograms[0].tick_params(labelbottom=False)
        histograms[1].set_xlabel(what)
        bar = grid.figure.colorbar(
            image, cax=grid.beside(grid.panels[1], 0.12, 0.1), extend=scale.extend
        )
        bar.set_label(what)
        legend.draw(grid.figure)
    return grid.figure


def _histogram_axes(grid: Grid) -> list[Axes]:
    """Return two axes below each other, right of the colour bar, together as high as the heat maps."""
    box = grid.panels[1].get_position()
    width, height = grid.figure.get_size_inches()
    x = box.x1 + (COLOURS + BEFORE) / width
    half = (box.height * height - BETWEEN) / 2 / height
    upper = grid.figure.add_axes((x, box.y1 - half, HISTOGRAM / width, half))
    lower = grid.figure.add_axes((x, box.y0, HISTOGRAM / width, half), sharex=upper)
    return [upper, lower]


def _groups_of_pairs(
    identity: NDArray[np.floating],
    optimal: NDArray[np.floating],
    same_view: NDArray[np.generic] | None,
) -> dict[str, NDArray[np.bool_]]:
    """Return masks (n, n) of pairs i < j by the name of their group, without empty groups."""
    n = len(identity)
    if identity.shape != optimal.shape or identity.shape != (n, n) or n < 2:
        raise SemrsmError(
            f"two square RSMs of the same samples are needed, not {identity.shape} and"
            f" {optimal.shape}; compute both from the same file"
        )
    pairs = np.triu(np.ones((n, n), dtype=bool), k=1)
    if same_view is None:
        return {"all pairs": pairs}
    same = np.asarray(same_view)
    if same.shape not in ((n,), (n, n)):
        raise SemrsmError(
            f"views of {n} samples are needed, ({n},) or ({n}, {n}), not {same.shape}; choose others"
        )
    if same.ndim == 1:
        same = same[:, None] == same[None, :]
    same = same.astype(bool)
    groups = {"views of the same image": pairs & same, "different images": pairs & ~same}
    return {name: mask for name, mask in groups.items() if mask.any()}


def _edges(values: list[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return the edges of bins that hold all of the values."""
    low = min(float(part.min()) for part in values)
    high = max(float(part.max()) for part in values)
    return np.linspace(low, high, BINS + 1) if low < high else np.linspace(low - 0.5, low + 0.5, 3)


def _draw_histograms(
    axes: Axes, groups: dict[str, NDArray[np.floating]], edges: NDArray[np.float64]
) -> None:
    """Draw the histogram of each group, with its median as a line and in the legend."""
    colours = {"views of the same image": SAME}
    room = 1.05 + HEADROOM * len(groups)
    for name, values in groups.items():
        colour = colours.get(name, OTHER)
        median = float(np.median(values))
        label = f"{name}, median {median:.3g}"
        density, _ = np.histogram(values, edges, density=True)
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.45, label=label)
        axes.axvline(median, 0, 1 / room, color=colour, linewidth=1.4)
    axes.margins(x=0.01)
    axes.set_ylim(top=axes.get_ylim()[1] * room)
    axes.legend(loc="upper left", borderaxespad=0.2)
