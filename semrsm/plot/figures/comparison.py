"""A table of comparisons as heat maps of layers against layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.plot.figures.canvas import style
from semrsm.plot.figures.grids import LINE, Around, new_grid, places_of, text_inches, wrapped
from semrsm.plot.figures.records import (
    COMPARED,
    Record,
    check_records,
    common,
    file_name,
    grouped,
    matching,
    number_of,
)
from semrsm.plot.figures.scales import NO_LIMITS, Limits, Scale, range_scale
from semrsm.plot.figures.short_names import shorten, shorten_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WRITTEN = 14  # rows or columns up to which each cell has its value written in it
CELL, SMALL_CELL = (
    0.42,
    0.13,
)  # inches of a cell, with its value in it and without; names are 7 points
LETTERS = 28  # of the name of a layer
BAR_INCHES = 0.9  # that a colour bar takes with its numbers and its name

Item = tuple[Any, Any]  # file and layer


def draw_comparison(
    records: Sequence[Record], title: str = "", limits: Limits = NO_LIMITS
) -> Figure:
    """Draw each measure of a table of `semrsm compare` as a heat map of layers against layers.

    Rows are the layers of a, columns those of b; a file's name stands before a layer's where there
    are several files. The colours span the range of the measure: all heat maps of one measure have the
    same. A value that the table does not hold is left grey.

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
    rows, columns = _items(records, "a"), _items(records, "b")
    tables = [_table(group, list(rows), list(columns)) for group in groups.values()]
    scales = _scales([measure for measure, _ in groups], tables, limits)
    written = max(len(rows), len(columns)) <= WRITTEN
    cell = CELL if written else SMALL_CELL
    wide, high = max(1.3, cell * len(columns)), max(1.0, cell * len(rows))
    with style():
        widest = text_inches(columns.values())
        turned = widest + 0.06 > wide / len(columns)
        sides = [_side(records, side, inches) for side, inches in (("a", high), ("b", wide))]
        lines = max(side.count("\n") + 1 for side in sides) * LINE
        around = Around(
            left=text_inches(rows.values()) + lines + 0.16,
            right=BAR_INCHES,
            bottom=(widest if turned else 0.14) + lines + 0.16,
            top=LINE + 0.14,
        )
        grid = new_grid(places_of([""] * len(groups)), (wide, high), around, title)
        for axes, (measure, kernel), table in zip(grid.panels, groups, tables, strict=True):
            scale, name = scales[measure], shorten(measure, LETTERS)
            image = axes.imshow(
                table, cmap=scale.colours, vmin=scale.low, vmax=scale.high, aspect="auto"
            )
            axes.set_facecolor("0.85")  # shows where there is no number
            axes.spines[:].set_visible(True)
            axes.set_xticks(
                range(len(columns)), list(columns.values()), rotation=90 if turned else 0
            )
            axes.set_yticks(range(len(rows)), list(rows.values()))
            if written:
                _write_values(axes, table, image)
            axes.set_title(f"{name}, {kernel} kernel" if kernel else name, loc="left")
            axes.set_ylabel(sides[0])
            axes.set_xlabel(sides[1])
            cax = grid.beside(axes, 0.1, 0.1)
            grid.figure.colorbar(image, cax=cax, extend=scale.extend).set_label(name)
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
    """Write each value in its cell, in black or white, whichever stands out."""
    for (row, column), value in np.ndenumerate(table):
        red, green, blue, _ = image.cmap(image.norm(np.asarray(value)))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        colour = "white" if dark and np.isfinite(value) else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _side(records: Sequence[Record], side: str, inches: float) -> str:
    """Return what the rows or the columns are: layers of which file, matched by what."""
    files = list(dict.fromkeys(file_name(r[side]) for r in records))
    [matcher] = common(records, f"matcher_{side}")
    what = f"layer of {files[0]}" if len(files) == 1 else "file and layer"
    lines = wrapped(what, max(inches, 1.6)) + ([matching(str(matcher))] if matcher else [])
    return "\n".join(lines)


def _items(records: Sequence[Record], side: str) -> dict[Item, str]:
    """Return (file, layer) -> what it is called, as short as its table allows, in its order."""
    layer, matcher = f"layer_{side}", f"matcher_{side}"
    matchers = {(r[side], r[layer]): r.get(matcher) for r in records}
    files, layers = ({key[part] for key in matchers} for part in (0, 1))
    one_layer = len(layers) == 1 and len(files) > 1
    names = []
    for (path, name), by in matchers.items():
        parts = [file_name(path)] if len(files) > 1 or not name else []
        parts += [str(name)] if name and not one_layer else []
        parts += [str(by)] if by and len(set(matchers.values())) > 1 else []
        names.append(" ".join(parts))
    return dict(zip(matchers, shorten_all(names, LETTERS), strict=True))
