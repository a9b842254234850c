"""A table of comparisons as heat maps of layers against layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.plot.figures.canvas import style
from semrsm.plot.figures.grids import (
    LINE,
    Around,
    new_grid,
    places_of,
    wrapped,
)
from semrsm.plot.figures.records import (
    COMPARED,
    Record,
    check_records,
    grouped,
    number_of,
)
from semrsm.plot.figures.scales import NO_LIMITS, Limits, Scale, range_scale
from semrsm.plot.figures.short_names import shorten
from semrsm.plot.figures.sides import AIR, LETTERS, Item, Side, side_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WRITTEN = 14  # rows or columns up to which each cell has its value written in it
CELL, SMALL_CELL = (
    0.42,
    0.13,
)  # inches of a cell, with its value in it and without; names are 7 points
BAR_INCHES = 0.9  # that a colour bar takes with its numbers and its name


def draw_comparison(
    records: Sequence[Record], title: str = "", limits: Limits = NO_LIMITS
) -> Figure:
    """Draw each measure of a table of `semrsm compare` as a heat map of layers against layers.

    Rows are the layers of a, columns those of b. Of several files, lines part the layers, and each
    file's name stands beside its layers, or in their names where there is no room. The colours span the
    range of the measure: all heat maps of one measure have the same. A value that the table does not
    hold is left grey.

    Args:
        records: With the keys of COMPARED, and "matcher_a" and "matcher_b" if known; a `value` of None
            is none.
        title: Above the figure.
        limits: The values of the first and of the last colour; None where the measure's range tells.

    Raises:
        SemrsmError: There is no record, a key is missing, or a value stands there twice.

    Example:
        >>> keys = ("a", "layer_a", "b", "layer_b", "kernel", "measure", "value")
        >>> rows = [dict(zip(keys, ("x", i, "y", j, "linear", "cka", 0.5))) for i in "12" for j in "12"]
        >>> axes = draw_comparison(rows).axes[0]
        >>> axes.get_title(loc="left"), axes.images[0].get_clim()
        ('cka, linear kernel', (0.0, 1.0))
    """
    check_records(records, COMPARED, "comparisons")
    groups = grouped(records, lambda r: (str(r["measure"]), r["kernel"]))
    items = [list(dict.fromkeys((r[x], r[f"layer_{x}"]) for r in records)) for x in "ab"]
    tables = [_table(group, *items) for group in groups.values()]
    scales = _scales([measure for measure, _ in groups], tables, limits)
    written = max(map(len, items)) <= WRITTEN
    cell = CELL if written else SMALL_CELL
    high, wide = max(1.0, cell * len(items[0])), max(1.3, cell * len(items[1]))
    with style():
        down, across = side_of(records, "a", high), side_of(records, "b", wide)
        turned = across.inches + AIR > wide / len(across.names)
        below = across.inches if turned else 0.14
        titles = [
            "\n".join(wrapped(shorten(m, LETTERS) + (f", {k} kernel" if k else ""), wide, 0.07))
            for m, k in groups
        ]
        around = Around(
            left=down.inches + down.room,
            right=BAR_INCHES,
            bottom=below + across.room,
            top=max(title.count("\n") + 1 for title in titles) * LINE + 0.14,
        )
        grid = new_grid(places_of([""] * len(groups)), (wide, high), around, title)
        for axes, (measure, _), table, text in zip(
            grid.panels, groups, tables, titles, strict=True
        ):
            scale = scales[measure]
            image = axes.imshow(
                table, cmap=scale.colours, vmin=scale.low, vmax=scale.high, aspect="auto"
            )
            axes.set_facecolor("0.85")  # shows where there is no number
            axes.spines[:].set_visible(True)
            axes.set_xticks(
                range(len(across.names)), list(across.names.values()), rotation=90 if turned else 0
            )
            axes.set_yticks(range(len(down.names)), list(down.names.values()))
            if written:
                _write_values(axes, table, image)
            axes.set_title(text, loc="left")
            axes.set_ylabel(down.label, labelpad=down.pad)
            axes.set_xlabel(across.label, labelpad=across.pad)
            _part_files(axes, down, across, (wide, high), below)
            cax = grid.beside(axes, 0.1, 0.1)
            bar = grid.figure.colorbar(image, cax=cax, extend=scale.extend)
            bar.set_label(shorten(measure, LETTERS))
    return grid.figure


def _table(records: Sequence[Record], rows: list[Item], columns: list[Item]) -> NDArray[np.float64]:
    """Return the values of one measure, (rows, columns); NaN where there is none."""
    table = np.full((len(rows), len(columns)), np.nan)
    down, across = ({key: i for i, key in enumerate(keys)} for keys in (rows, columns))
    filled: set[tuple[int, int]] = set()
    for r in records:
        place = down[r["a"], r["layer_a"]], across[r["b"], r["layer_b"]]
        if place in filled:
            raise SemrsmError(
                f"the table holds {r['measure']} of {r['layer_a']} and {r['layer_b']} twice;"
                " draw one comparison at a time"
            )
        filled.add(place)
        table[place] = number_of(r["value"])
    return table


def _scales(
    measures: Sequence[str], tables: Sequence[NDArray[np.float64]], limits: Limits
) -> dict[str, Scale]:
    """Return the colour scale of each measure: its range; of one that is not known, its values."""
    scales = {}
    for measure in dict.fromkeys(measures):
        values = [table for m, table in zip(measures, tables, strict=True) if m == measure]
        known = MEASURES.get(measure)
        scales[measure] = range_scale(
            values, known.range if known else (-math.inf, math.inf), limits
        )
    return scales


def _write_values(axes: Axes, table: NDArray[np.float64], image: AxesImage) -> None:
    """Write each value in its cell, in black or white, whichever stands out; equal texts look alike."""
    for (row, column), exact in np.ndenumerate(table):
        value = round(float(exact), 2) + 0.0  # no minus before 0.00
        finite = math.isfinite(value)
        light = (
            not finite or _luminance(np.asarray(image.cmap(image.norm(np.asarray(value))))) > 0.179
        )
        text = f"{value:.2f}" if finite else "–"
        colour = "black" if light else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _luminance(colour: NDArray[np.float64]) -> float:
    """Return the relative luminance of a colour; above 0.179 black has more contrast to it than white.

    Source: Web Content Accessibility Guidelines 2.2, W3C, 2023.

    >>> _luminance(np.ones(3)), _luminance(np.zeros(3))
    (1.0, 0.0)
    """
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3].tolist()
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _part_files(
    axes: Axes, down: Side, across: Side, inches: tuple[float, float], below: float
) -> None:
    """Draw lines between the layers of different files, and write the files beside them."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.2, foreground="white")]
    for start in down.starts[1:-1]:
        axes.axhline(start - 0.5, color="black", linewidth=0.9, path_effects=halo)
    for start in across.starts[1:-1]:
        axes.axvline(start - 0.5, color="black", linewidth=0.9, path_effects=halo)
    wide, high = inches
    left = -(down.inches + AIR + 0.08 + LINE / 2) / wide
    under = -(below + AIR + 0.08 + LINE / 2) / high
    for name, start, end in zip(down.files, down.starts[:-1], down.starts[1:], strict=False):
        axes.text(
            left, (start + end - 1) / 2, name, transform=axes.get_yaxis_transform(),
            rotation=90, ha="center", va="center", fontsize=8,
        )  # fmt: skip
    for name, start, end in zip(across.files, across.starts[:-1], across.starts[1:], strict=False):
        axes.text(
            (start + end - 1) / 2, under, name, transform=axes.get_xaxis_transform(),
            ha="center", va="center", fontsize=8,
        )  # fmt: skip
