"""Time against quality: what the matchers cost on one's own data, and how near they come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import MARK_COLOURS, MARK_SHAPES, new_figure, style
from semrsm.plot.figures.short_names import shorten_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

# A bound is a line that the value lies below, or above, with an arrow to that side.
BOUNDS = {"upper": (11, "upper bound"), "lower": (10, "lower bound")}  # carets under, over a line
BOUND_COLOUR = "0.35"
ABOVE = 0.15  # of the range below 1 is left above it; what lies higher stands at the top edge
AROUND = 16  # directions in which a label is tried at each distance
NEAR, FARTHEST = 6, 90  # points between a label and its point; those beyond NEAR get a line


class Measured(Protocol):
    """What a picture needs of a trial: `semrsm.compute.trial.Trial` has it."""

    @property
    def layer(self) -> str:
        """Name of the layer."""

    @property
    def n_positions(self) -> int:
        """S."""

    @property
    def matcher(self) -> str:
        """Name of the matcher."""

    @property
    def bound(self) -> str | None:
        """ "upper" or "lower", where the matcher only bounds the value; None where it matches."""

    @property
    def ms_median(self) -> float | None:
        """Milliseconds for a pair."""

    @property
    def relative_mean(self) -> float | None:
        """Value over the optimum."""


@dataclass(frozen=True)
class _Point:
    """A trial that has both a time and a value."""

    layer: str
    n_positions: int
    matcher: str
    bound: str | None
    ms: float
    relative: float

    def name(self, top: float) -> str:
        """Return what is written beside it; what lies too high to be drawn in its place has its value."""
        bound = f" ({BOUNDS[self.bound][1]})" if self.bound else ""
        return f"{self.matcher}{bound}" + (f" {self.relative:.2f} ↑" if self.relative > top else "")


def draw_quality(trials: Sequence[Measured], title: str = "") -> Figure:
    """Draw milliseconds per pair against the value relative to the optimum, a panel for each layer.

    A matcher has a mark of its own, the same in every panel; what was not measured is left out. What
    only bounds the value is drawn as a line with an arrow to the side on which the value lies. Upper
    bounds far above 1 stand at the top edge with their value, so that the others can be told apart.

    Args:
        trials: What `semrsm.compute.trial.try_matchers` returns.
        title: Above the figure.

    Raises:
        SemrsmError: No matcher has both a time and a value.
    """
    measured_points = [
        _Point(t.layer, t.n_positions, t.matcher, t.bound, t.ms_median, t.relative_mean)
        for t in trials
        if t.ms_median and t.relative_mean is not None
    ]
    if not measured_points:
        raise SemrsmError(
            "no matcher was measured against a positive optimum, so there is nothing to draw;"
            " choose another `layer`"
        )
    layers = {t.layer: t.n_positions for t in measured_points}
    matchers = list(dict.fromkeys(t.matcher for t in trials if not t.bound))
    names = shorten_all(list(layers), 40)
    top = 1 + ABOVE * max(0.01, 1 - min(p.relative for p in measured_points))
    across = min(2, len(layers))
    down = math.ceil(len(layers) / across)
    with style():
        figure = new_figure(4.2 * across, 3.1 * down, title)
        for index, ((layer, positions), name) in enumerate(zip(layers.items(), names, strict=True)):
            share = figure.axes[0] if index else None
            axes = figure.add_subplot(down, across, index + 1, sharey=share)
            _draw_layer(axes, [p for p in measured_points if p.layer == layer], matchers, top)
            axes.set_title(f"{name}, S = {positions}", loc="left")
            axes.set_xlabel("milliseconds per pair, one thread")
        for axes in figure.axes[::across]:
            axes.set_ylabel("m relative to the optimum")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axes, layer in zip(figure.axes, layers, strict=True):
            _name_points(axes, [p for p in measured_points if p.layer == layer], top)
    return figure


def _draw_layer(axes: Axes, points: Sequence[_Point], matchers: Sequence[str], top: float) -> None:
    from matplotlib.ticker import LogFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    for point in points:
        place = [point.ms], [min(point.relative, top)]
        if point.bound:
            arrow, _ = BOUNDS[point.bound]
            axes.plot(*place, "_", color=BOUND_COLOUR, markersize=11, markeredgewidth=1.4, zorder=2)
            axes.plot(
                *place,
                marker=arrow,
                markersize=6,
                linestyle="",
                color=BOUND_COLOUR,
                label=point.matcher,
            )
            continue
        index = matchers.index(point.matcher)
        mark = index % len(MARK_SHAPES)
        axes.plot(
            *place,
            MARK_SHAPES[mark],
            color=MARK_COLOURS[mark],
            fillstyle="none" if index // len(MARK_SHAPES) % 2 else "full",
            markersize=5,
            label=point.matcher,
            zorder=3 - index / 100,
        )
    axes.margins(x=0.12, y=0.12)


def _name_points(axes: Axes, points: Sequence[_Point], top: float) -> None:
    """Write the name of each matcher near its point, where it covers no other name or point."""
    from matplotlib.transforms import Bbox

    dot = axes.figure.dpi / 72
    data = [(p.ms, min(p.relative, top)) for p in points]
    places = axes.transData.transform(data)
    halves = [dot * (8 if point.bound else 4) for point in points]
    taken = [
        Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half)
        for (x, y), half in zip(places, halves, strict=True)
    ]
    _, line = axes.transData.transform((points[0].ms, 1))
    taken.append(Bbox.from_bounds(axes.bbox.x0, line - dot / 2, axes.bbox.width, dot))
    for point, place, (x, y) in zip(points, data, places, strict=True):
        text = axes.annotate(
            point.name(top),
            place,
            (0, 0),
            textcoords="offset points",
            fontsize=7,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": 3},
            annotation_clip=False,
        )
        extent = text.get_window_extent()
        width, height = extent.width, extent.height
        boxes = (
            (Bbox.from_bounds(x + dx - width / 2, y + dy - height / 2, width, height), dx, dy, gap)
            for dx, dy, gap in _offsets(width, height, dot)
        )
        free = (b for b in boxes if _inside(b[0], axes.bbox) and not _overlaps(b[0], taken))
        box, dx, dy, gap = next(free, (extent, 0.0, 0.0, NEAR))
        text.set_position((dx / dot, dy / dot))
        taken.append(box)
        if text.arrow_patch is not None:
            text.arrow_patch.set_visible(gap > NEAR)


def _offsets(width: float, height: float, dot: float) -> Iterator[tuple[float, float, float]]:
    """Yield where a label's middle could be, in pixels from its point, and the gap in points."""
    for distance in range(NEAR, FARTHEST, 4):
        for step in range(AROUND):
            angle = 2 * math.pi * step / AROUND
            across, up = math.cos(angle), math.sin(angle)
            yield (
                across * (distance * dot + width / 2),
                up * (distance * dot + height / 2),
                distance,
            )


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    )


def _overlaps(box: Bbox, others: Iterable[Bbox]) -> bool:
    return any(box.overlaps(other) for other in others)
