"""Pictures of tables: comparisons of layers with layers, and values over layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import CATEGORIES, colour_scale, new_figure, style
from semrsm.plot.figures.texts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WRITTEN = 14  # rows or columns up to which each cell has its value written in it
MARKERS, LINES = "osD^vP*X", ("-", "--", "-.", ":")

Record = Mapping[str, Any]
COMPARED = ("a", "layer_a", "b", "layer_b", "kernel", "measure", "value")
EVALUATED = ("rsm", "layer", "matcher", "kernel", "metric", "value")

COUNTS = (
    "queries",
    "excluded",
    "excluded-views",
)  # of an evaluation: they say of how many a value is the mean


def file_name(path: Any) -> str:
    """Return the name of a file without its folder and suffixes.

    >>> file_name("out/resnet.rsm.h5"), file_name("out/v1.5.npy")
    ('resnet', 'v1.5')
    """
    name = Path(str(path or "")).name
    return name.removesuffix(".rsm.h5") if name.endswith(".rsm.h5") else Path(name).stem


def draw_comparison(records: Sequence[Record], title: str = "") -> Figure:
    """Draw each measure of a table of `semrsm compare` as a heat map of layers against layers.

    Rows are the layers of a, columns those of b; a file's name stands before a layer's where there
    are several files. A value that the table does not hold is left grey.

    Args:
        records: With the keys of COMPARED; a `value` of None is none.
        title: Above the figure.

    Raises:
        SemrsmError: There is no record, a key is missing, or a value stands there twice.

    Example:
        >>> keys = ("a", "layer_a", "b", "layer_b", "kernel", "measure", "value")
        >>> rows = [dict(zip(keys, ("x", i, "y", j, "linear", "cka", 0.5))) for i in "12" for j in "12"]
        >>> draw_comparison(rows).axes[0].get_title(loc="left")
        'cka, linear kernel'
    """
    _check(records, COMPARED, "comparisons")
    groups = _grouped(records, lambda r: (str(r["measure"]), r["kernel"]))
    rows, columns = (_items(records, file, layer) for file, layer in (COMPARED[:2], COMPARED[2:4]))
    cell = 0.42 if max(len(rows), len(columns)) <= WRITTEN else 0.13
    width = float(np.clip(cell * len(columns), 1.6, 7)) + 2.2
    height = float(np.clip(cell * len(rows), 1.4, 7)) + 1.5
    across = min(3, len(groups))
    down = math.ceil(len(groups) / across)
    with style():
        figure = new_figure(width * across, height * down, title)
        for index, ((measure, kernel), group) in enumerate(groups.items()):
            axes = figure.add_subplot(down, across, index + 1)
            image = _draw_table(axes, group, rows, columns)
            axes.set_title(f"{measure}, {kernel} kernel" if kernel else measure, loc="left")
            axes.set_xlabel(_side(records, "b"))
            axes.set_ylabel(_side(records, "a"))
            figure.colorbar(image, ax=axes, shrink=0.9, pad=0.03, aspect=25).set_label(measure)
    return figure


def _draw_table(
    axes: Axes,
    records: Sequence[Record],
    rows: dict[tuple[Any, Any], str],
    columns: dict[tuple[Any, Any], str],
) -> AxesImage:
    table = np.full((len(rows), len(columns)), np.nan)
    places = {key: index for index, key in enumerate(rows)}
    across = {key: index for index, key in enumerate(columns)}
    filled: set[tuple[int, int]] = set()
    for r in records:
        place = places[r["a"], r["layer_a"]], across[r["b"], r["layer_b"]]
        if place in filled:
            raise SemrsmError(
                f"the table holds {r['measure']} of {r['layer_a']} and {r['layer_b']} twice;"
                " draw one comparison at a time"
            )
        filled.add(place)
        table[place] = _number(r["value"])
    scale = colour_scale([table], zero_counts=True, diagonal=True)
    finite = table[np.isfinite(table)]
    low, high = scale.low, scale.high
    if finite.size and scale.colours == "viridis" and finite.min() < finite.max():
        low, high = finite.min(), finite.max()
    image = axes.imshow(table, cmap=scale.colours, vmin=low, vmax=high)
    axes.set_facecolor("0.85")  # shows where there is no number
    axes.spines[:].set_visible(True)
    many = max(map(len, columns.values())) > 6 or len(columns) > WRITTEN
    axes.set_xticks(range(len(columns)), list(columns.values()), rotation=90 if many else 0)
    axes.set_yticks(range(len(rows)), list(rows.values()))
    if max(table.shape) <= WRITTEN:
        _write_values(axes, table, image)
    else:
        axes.tick_params(labelsize=5)
    return image


def _write_values(axes: Axes, table: np.ndarray, image: AxesImage) -> None:
    """Write each value in its cell, in black or white, whichever stands out."""
    for (row, column), value in np.ndenumerate(table):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        colour = "white" if dark and np.isfinite(value) else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)


def _side(records: Sequence[Record], side: str) -> str:
    files = list(dict.fromkeys(file_name(r[side]) for r in records))
    return f"layer of {files[0]}" if len(files) == 1 else "file and layer"


def _items(records: Sequence[Record], file: str, layer: str) -> dict[tuple[Any, Any], str]:
    """Return (file, layer) -> what it is called, as short as its table allows, in its order."""
    keys = list(dict.fromkeys((r[file], r[layer]) for r in records))
    files = {key[0] for key in keys}
    one_layer = len({key[1] for key in keys}) == 1 and len(files) > 1
    names = {}
    for path, name in keys:
        parts = [file_name(path)] if len(files) > 1 or not name else []
        parts += [str(name)] if name and not one_layer else []
        names[path, name] = shorten(" ".join(parts), 28)
    return names


@dataclass(frozen=True)
class _Curve:
    """One value at one layer, whichever command the table came from."""

    panel: str
    line: tuple[str, ...]
    layer: str
    value: float


def draw_curves(records: Sequence[Record], title: str = "") -> Figure:
    """Draw a measure over the layers, from a table of `semrsm compare` or `semrsm evaluate`.

    Each measure or metric has its own axes. A comparison that holds equal layers of a and b shows
    those; any other shows, over the layers of a, one line for each layer of b. A line is named by what
    differs between the lines.

    Args:
        records: With the keys of COMPARED or of EVALUATED; a `value` of None is left out.
        title: Above the figure.

    Raises:
        SemrsmError: There is no record, or keys are missing.

    Example:
        >>> keys = ("rsm", "layer", "matcher", "kernel", "metric", "value")
        >>> rows = [("x", f"layer{i}", "optimal", "cosine", "f1@1", i / 4) for i in (1, 2, 3)]
        >>> figure = draw_curves([dict(zip(keys, row)) for row in rows])
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [0.25, 0.5, 0.75]
    """
    evaluated = bool(records) and "metric" in records[0]
    _check(records, EVALUATED if evaluated else COMPARED, "values over layers")
    curves = _evaluated(records) if evaluated else _compared(records)
    panels = _grouped(curves, lambda curve: curve.panel)
    names = _line_names(curves)
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    longest = max(len(dict.fromkeys(c.layer for c in group)) for group in panels.values())
    width = float(np.clip(0.42 * longest, 3.2, 7))
    with style():
        figure = new_figure(across * width, down * 2.5 + 0.3 + 0.16 * len(names) / across, title)
        for index, (panel, group) in enumerate(panels.items()):
            axes = figure.add_subplot(down, across, index + 1)
            _draw_lines(axes, group, names)
            axes.set_ylabel(panel)
            axes.set_xlabel("layer")
        if any(names.values()):
            handles, texts = figure.axes[0].get_legend_handles_labels()
            room = figure.get_figwidth() * 72 / (40 + 4.4 * max(map(len, texts)))
            figure.legend(
                handles, texts, loc="outside lower center", ncols=max(1, min(len(texts), int(room)))
            )
    return figure


def _draw_lines(axes: Axes, curves: Sequence[_Curve], names: dict[tuple[str, ...], str]) -> None:
    layers = {layer: x for x, layer in enumerate(dict.fromkeys(c.layer for c in curves))}
    for index, (line, name) in enumerate(names.items()):
        values = {c.layer: c.value for c in curves if c.line == line}
        x, y = _broken_between_models(layers, values)
        axes.plot(
            x, y, label=name or line[0], color=CATEGORIES[index % len(CATEGORIES)],
            marker=MARKERS[index % len(MARKERS)], markersize=3.5, linewidth=1.2,
            linestyle=LINES[index // len(CATEGORIES) % len(LINES)],
        )  # fmt: skip
    many = len(layers) > 6 or max(map(len, layers)) > 8
    axes.set_xticks(range(len(layers)), [shorten(x) for x in layers], rotation=90 if many else 0)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _broken_between_models(
    layers: Mapping[str, int], values: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Return the points of a line, with a gap where the group of the layers ("vit/…") changes."""
    x: list[float] = []
    y: list[float] = []
    group = None
    for layer, place in layers.items():
        if layer not in values:
            continue
        here = layer.rpartition("/")[0]
        if x and here != group:
            x.append(place - 0.5)
            y.append(math.nan)
        x.append(place)
        y.append(values[layer])
        group = here
    return x, y


def _line_names(curves: Sequence[_Curve]) -> dict[tuple[str, ...], str]:
    """Return what each line is called: no more parts than tell the lines apart."""
    lines = list(dict.fromkeys(c.line for c in curves))
    kept = list(range(len(lines[0])))
    for part in range(len(lines[0])):
        without = [index for index in kept if index != part]
        if len({tuple(line[i] for i in without) for line in lines}) == len(lines):
            kept = without
    return {line: shorten(", ".join(line[i] for i in kept if line[i]), 48) for line in lines}


def _evaluated(records: Sequence[Record]) -> list[_Curve]:
    return [
        _Curve(
            str(r["metric"]),
            (file_name(r["rsm"]), f"{r['matcher'] or 'matrix'}", f"{r['kernel'] or ''}"),
            str(r["layer"] or file_name(r["rsm"])),
            _number(r["value"]),
        )
        for r in records
        if r["metric"] not in COUNTS
    ]


def _compared(records: Sequence[Record]) -> list[_Curve]:
    curves = []
    groups = _grouped(records, lambda r: (r["a"], r["b"], r["kernel"], r["measure"]))
    for (a, b, kernel, measure), group in groups.items():
        equal = [r for r in group if r["layer_a"] == r["layer_b"]]
        for r in equal or group:
            line = (
                f"{file_name(a)} and {file_name(b)}",
                f"{kernel or ''}",
                "" if equal else f"{r['layer_b'] or file_name(b)}",
            )
            layer = str(r["layer_a"] or file_name(a))
            curves.append(_Curve(str(measure), line, layer, _number(r["value"])))
    return curves


def _number(value: Any) -> float:
    """Return a value of a table; one that could not be computed is NaN."""
    return math.nan if value is None or value == "" else float(value)


def _grouped(rows: Sequence[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _check(records: Sequence[Record], keys: Sequence[str], what: str) -> None:
    if not records:
        raise SemrsmError(f"a table of {what} is needed, this one is empty; compute it again")
    missing = [key for key in keys if not all(key in record for record in records)]
    if missing:
        raise SemrsmError(
            f"a table of {what} has the columns {', '.join(keys)}, this one lacks"
            f" {', '.join(missing)}; make one with: semrsm compare A B -o table.csv"
        )
