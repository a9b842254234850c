"""Labels in a picture: their colours, the bar beside a matrix, and the legend."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.canvas import CATEGORIES
from semrsm.plot.figures.grids import LINE, SMALL, text_inches, wrapped
from semrsm.plot.figures.short_names import shorten_all
from semrsm.plot.figures.ticks import AIR, POINTS_PER_NAME, Ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_LEGEND = 20  # labels; a legend of more is longer than its picture
BAR, GAP = 0.1, 0.04  # inches: how wide a bar of labels is, and how far from its picture
HANDLE = 0.42  # inches that an entry of a legend takes beside its text


@dataclass(frozen=True)
class Classes:
    """The labels of the samples as classes with colours.

    Attributes:
        names: Of the classes, sorted.
        codes: (n,) the class of each sample.
        colours: One for each class.
    """

    names: list[str]
    codes: NDArray[np.intp]
    colours: list[str]


def classes_of(labels: NDArray[np.generic]) -> Classes:
    """Return the labels (n,) as classes: eight colours for colour-blind readers, or else more."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    names, codes = np.unique(labels, return_inverse=True)
    count = len(names)
    if count <= len(CATEGORIES):
        colours = list(CATEGORIES[:count])
    elif count <= IN_LEGEND:
        colours = [to_hex(c) for c in colormaps["tab10" if count <= 10 else "tab20"].colors[:count]]  # type: ignore[attr-defined]
    else:
        colours = [to_hex(c) for c in colormaps["turbo"](np.linspace(0, 1, count))]
    return Classes(shorten_all([str(name) for name in names]), codes, colours)


def draw_label_bar(
    axes: Axes,
    classes: Classes,
    order: NDArray[np.integer],
    side: str,
    inches: tuple[float, float],
) -> Axes:
    """Draw the classes of the samples as a strip of colours at one side of a heat map.

    Args:
        axes: The heat map.
        classes: Of the samples.
        order: (n,) how the heat map orders them.
        side: "left", "top" or "bottom".
        inches: (height, width) of the heat map.

    Returns:
        The axes of the strip.
    """
    from matplotlib.colors import ListedColormap

    height, width = inches
    place = {
        "left": (-(GAP + BAR) / width, 0, BAR / width, 1),
        "top": (0, 1 + GAP / height, 1, BAR / height),
        "bottom": (0, -(GAP + BAR) / height, 1, BAR / height),
    }
    bar = axes.inset_axes(place[side])
    codes = classes.codes[order]
    strip = codes[:, None] if side == "left" else codes[None, :]
    last = max(len(classes.names) - 1, 1)
    bar.imshow(
        strip, cmap=ListedColormap(classes.colours), vmin=0, vmax=last, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    bar.set(xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    return bar


def blocks_of_classes(classes: Classes, order: NDArray[np.integer], inches: float) -> Ticks | None:
    """Return ticks that name each block of samples of one class, at its middle.

    None where a name has no room beside its block, or there are blocks of most classes all over.
    """
    codes = classes.codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    room = inches * 72 * (ends - starts) / len(codes)
    if len(starts) > 3 * len(classes.names) or room.min() < POINTS_PER_NAME:
        return None
    middles = ((starts + ends - 1) / 2).tolist()
    names = [classes.names[code] for code in codes[starts]]
    turned = 72 * (text_inches(names) + AIR) > room.min()
    return Ticks(middles, names, turned, named="label")


@dataclass(frozen=True)
class Legend:
    """What stands below a figure: notes, and the colours of the classes.

    Attributes:
        entries: Text -> (colour, "patch", "line" or "none").
        notes: Lines above the entries.
    """

    entries: dict[str, tuple[str, str]]
    notes: tuple[str, ...] = ()

    def columns(self, width: float) -> int:
        """How many entries stand beside each other in a figure of a width in inches."""
        widest = text_inches(self.entries) + HANDLE
        return max(1, min(len(self.entries), int((width - 0.2) / widest)))

    def inches(self, width: float) -> float:
        """How high it is in a figure of a width in inches."""
        lines = len(self._lines(width))
        if self.entries:
            lines += math.ceil(len(self.entries) / self.columns(width))
        return lines * LINE + (0.06 if lines else 0.0)

    def _lines(self, width: float) -> list[str]:
        return [line for note in self.notes for line in wrapped(note, width, SMALL)]

    def draw(self, figure: Figure) -> None:
        """Draw it at the lower edge of a figure."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        width, height = figure.get_size_inches()
        handles = [
            Line2D([], [], color=colour, linewidth=0.8) if kind == "line" else Patch(color=colour)
            for colour, kind in self.entries.values()
        ]
        up = 0.04
        if self.entries:
            columns = self.columns(width)
            figure.legend(
                handles, list(self.entries), loc="lower center", ncols=columns, handlelength=1.1,
                handletextpad=0.5, columnspacing=1.2, borderaxespad=0, borderpad=0.2, labelspacing=0.35,
                bbox_to_anchor=(0.5, up / height),
            )  # fmt: skip
            up += math.ceil(len(self.entries) / columns) * LINE + 0.04
        for line in reversed(self._lines(width)):
            figure.text(0.5, up / height, line, ha="center", va="bottom", fontsize=8)
            up += LINE


def legend_of(classes: Classes | None, notes: Iterable[str] = (), joined: bool = False) -> Legend:
    """Return the legend of a figure; where there are too many classes, it says how many.

    Args:
        classes: None where the samples have no labels, or these are named otherwise.
        notes: Lines above the entries; empty ones are left out.
        joined: Say that lines join views of one image.
    """
    entries: dict[str, tuple[str, str]] = {}
    if classes is not None and len(classes.names) > IN_LEGEND:
        entries[f"colours: {len(classes.names)} labels"] = ("none", "patch")
    elif classes is not None:
        entries |= {
            name: (colour, "patch")
            for name, colour in zip(classes.names, classes.colours, strict=True)
        }
    if joined:
        entries["views of one image"] = ("0.7", "line")
    return Legend(entries, tuple(filter(None, notes)))
