"""Labels in a picture: their colours, the bar beside a matrix, the legend, and texts that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.canvas import CATEGORIES, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_LEGEND = 20  # labels; a legend of more is longer than its picture
LETTERS = 20  # of a name; a longer one is shortened in the middle
POINTS_PER_NAME = 7.5


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
    return Classes([shorten(str(name)) for name in names], codes, colours)


def shorten(name: str, letters: int = LETTERS) -> str:
    """Return a name that fits, shortened in the middle.

    >>> shorten("ILSVRC2012_val_00000293.JPEG", 12)
    'ILSVR…3.JPEG'
    """
    name = drawable(name)
    if len(name) <= letters:
        return name
    head = (letters - 1) // 2
    return f"{name[:head]}…{name[len(name) - (letters - 1 - head) :]}"


def names_fit(n: int, inches: float) -> bool:
    """Say whether n names below each other fit a length in inches."""
    return n * POINTS_PER_NAME <= inches * 72


def draw_label_bar(axes: Axes, classes: Classes, order: NDArray[np.integer], side: str) -> Axes:
    """Draw the classes of the samples as a strip of colours at one side of a heat map.

    Args:
        axes: The heat map.
        classes: Of the samples.
        order: (n,) how the heat map orders them.
        side: "left", "top" or "bottom".

    Returns:
        The axes of the strip.
    """
    from matplotlib.colors import ListedColormap

    place = {"left": (-0.055, 0, 0.04, 1), "top": (0, 1.015, 1, 0.04), "bottom": (0, -0.13, 1, 0.1)}
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


def name_blocks(
    bar: Axes, classes: Classes, order: NDArray[np.integer], inches: float, side: str
) -> bool:
    """Write the name of each class at the middle of its block, where samples are ordered by class.

    Returns whether that was done: not where a class has several blocks or the names do not fit.
    """
    codes = classes.codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    room = inches * 72 * (ends - starts) / len(codes)
    if len(starts) > len(classes.names) or room.min() < POINTS_PER_NAME:
        return False
    names = [classes.names[code] for code in codes[starts]]
    longest = max(map(len, names))
    axis = bar.yaxis if side == "left" else bar.xaxis
    axis.set_ticks((starts + ends - 1) / 2, names)
    axis.set_tick_params(length=0, labelrotation=90 if side != "left" and longest > 3 else 0)
    return True


def draw_legend(
    figure: Figure, classes: Classes | None, joined: bool = False, title: str = ""
) -> None:
    """Draw the colours of the classes below the figure; where there are too many, say how many.

    Args:
        figure: Gets the legend.
        classes: None where the samples have no labels.
        joined: Say that lines join views of one image.
        title: Above the legend.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: dict[str, Patch | Line2D] = {}
    if classes is not None and len(classes.names) > IN_LEGEND:
        entries[f"colours: {len(classes.names)} labels"] = Patch(color="none")
    elif classes is not None:
        entries |= {n: Patch(color=c) for n, c in zip(classes.names, classes.colours, strict=True)}
    if joined:
        entries["views of one image"] = Line2D([], [], color="0.7", linewidth=0.8)
    if not entries:
        return
    widths = [20 + 4.4 * len(name) for name in entries]
    room = figure.get_figwidth() * 72 - 20
    columns = len(entries) if sum(widths) <= room else max(1, int(room / max(widths)))
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=columns,
        handlelength=1.1, handletextpad=0.5, columnspacing=1.2, borderaxespad=0.8,
        title=title or None, title_fontsize=8,
    )  # fmt: skip
