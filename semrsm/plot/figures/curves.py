"""Values over the layers, from tables of comparisons and of evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semrsm.plot.figures.canvas import (
    LINE_STYLES,
    MARK_COLOURS,
    MARK_SHAPES,
    new_figure,
    style,
)
from semrsm.plot.figures.grids import text_inches, wrapped
from semrsm.plot.figures.records import (
    COMPARED,
    EVALUATED,
    Record,
    check_records,
    common,
    file_name,
    grouped,
    matching,
    method_title,
    number_of,
)
from semrsm.plot.figures.short_names import shorten, shorten_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EACH_LAYER = 0.17  # inches, at least: names of 7 points stand upright side by side
LETTERS = 28  # of the name of a layer
COUNTS = (
    "queries",
    "excluded",
    "excluded-views",
)  # of an evaluation: they say of how many a value is the mean


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
    check_records(records, EVALUATED if evaluated else COMPARED, "values over layers")
    curves = _evaluated(records) if evaluated else _compared(records)
    panels = grouped(curves, lambda curve: curve.panel)
    names = _line_names(curves)
    layers = list(dict.fromkeys(curve.layer for curve in curves))
    ticks = dict(zip(layers, shorten_all(layers, LETTERS), strict=True))
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    longest = max(len(dict.fromkeys(c.layer for c in group)) for group in panels.values())
    width = max(3.2, EACH_LAYER * longest + 0.8)
    subtitle = _subtitle(records, evaluated)
    with style():
        turned = longest > 1 and text_inches(ticks.values()) + 0.06 > (width - 0.8) / longest
        height = 2.3 + (text_inches(ticks.values()) if turned else 0.0)
        named = any(names.values())
        wide = across * width
        beside = max(1, int((wide - 0.2) / (text_inches(names.values()) + 0.55)))
        below = 0.17 * math.ceil(len(names) / beside) + 0.1 if named else 0.0
        lines = [part for line in (title, subtitle) for part in wrapped(line, wide)]
        figure = new_figure(wide, down * height + below + 0.2 * len(lines), "\n".join(lines))
        for index, (panel, group) in enumerate(panels.items()):
            axes = figure.add_subplot(down, across, index + 1)
            _draw_lines(axes, group, names, ticks, turned)
            axes.set_ylabel(shorten(panel, LETTERS))
            axes.set_xlabel("layer")
        if named:
            handles, texts = figure.axes[0].get_legend_handles_labels()
            columns = min(len(texts), beside)
            figure.legend(handles, texts, loc="outside lower center", ncols=columns)
    return figure


def _subtitle(records: Sequence[Record], evaluated: bool) -> str:
    """Say in the title what all RSMs have in common; what they have not tells the lines apart."""
    if evaluated:
        return method_title(*common(records, "matcher", "kernel"))
    a, b, kernel = common(records, "matcher_a", "matcher_b", "kernel")
    if a and b and a != b:
        return f"{matching(str(a))} against {method_title(b, kernel)}"
    return method_title(a if a == b else None, kernel)


def _draw_lines(
    axes: Axes,
    curves: Sequence[_Curve],
    names: Mapping[tuple[str, ...], str],
    ticks: Mapping[str, str],
    turned: bool,
) -> None:
    layers = {layer: x for x, layer in enumerate(dict.fromkeys(c.layer for c in curves))}
    for index, (line, name) in enumerate(names.items()):
        values = {c.layer: c.value for c in curves if c.line == line}
        x, y = _broken_between_models(layers, values)
        mark, again = index % len(MARK_SHAPES), index // len(MARK_SHAPES)
        axes.plot(
            x, y, label=name or line[0], color=MARK_COLOURS[mark], marker=MARK_SHAPES[mark],
            markersize=4, linewidth=1.2, linestyle=LINE_STYLES[again % len(LINE_STYLES)],
            fillstyle="none" if again % 2 else "full",
        )  # fmt: skip
    axes.set_xticks(range(len(layers)), [ticks[x] for x in layers], rotation=90 if turned else 0)
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
    texts = [", ".join(line[i] for i in kept if line[i]) for line in lines]
    return dict(zip(lines, shorten_all(texts, 48), strict=True))


def _evaluated(records: Sequence[Record]) -> list[_Curve]:
    return [
        _Curve(
            str(r["metric"]),
            (file_name(r["rsm"]), f"{r['matcher'] or 'matrix'}", f"{r['kernel'] or ''}"),
            str(r["layer"] or file_name(r["rsm"])),
            number_of(r["value"]),
        )
        for r in records
        if r["metric"] not in COUNTS
    ]


def _compared(records: Sequence[Record]) -> list[_Curve]:
    curves = []
    groups = grouped(records, lambda r: (r["a"], r["b"], r["kernel"], r["measure"]))
    for (a, b, kernel, measure), group in groups.items():
        equal = [r for r in group if r["layer_a"] == r["layer_b"]]
        for r in equal or group:
            line = (
                f"{file_name(a)} and {file_name(b)}",
                f"{kernel or ''}",
                "" if equal else f"{r['layer_b'] or file_name(b)}",
            )
            layer = str(r["layer_a"] or file_name(a))
            curves.append(_Curve(str(measure), line, layer, number_of(r["value"])))
    return curves
