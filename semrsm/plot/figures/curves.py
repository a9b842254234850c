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
GAP = 0.6  # between networks, of the distance of two layers
PAD = 0.08  # inches around the axes
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
    file: str


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
    networks = _networks(curves)
    names = _line_names(curves, keep_first=len(set(networks.values())) > 1)
    layers = sorted(
        dict.fromkeys(curve.layer for curve in curves),
        key=lambda layer: list(networks.values()).index(networks[layer]),
    )
    ticks = dict(zip(layers, shorten_all(layers, LETTERS), strict=True))
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    longest = max(len(dict.fromkeys(c.layer for c in group)) for group in panels.values())
    width = max(3.2, EACH_LAYER * longest + 0.8)
    subtitle = _subtitle(records, evaluated, curves)
    with style():
        turned = longest > 1 and text_inches(ticks.values()) + 0.06 > (width - 0.8) / longest
        height = 2.3 + (text_inches(ticks.values()) if turned else 0.0)
        named = any(names.values())
        wide = across * width
        beside = max(1, int((wide - 0.2) / (text_inches(names.values()) + 0.55)))
        below = 0.17 * math.ceil(len(names) / beside) + 0.1 if named else 0.0
        lines = [part for line in (title, subtitle) for part in wrapped(line, wide)]
        figure = new_figure(wide, down * height + below + 0.2 * len(lines), "\n".join(lines))
        figure.get_layout_engine().set(w_pad=PAD, h_pad=PAD)  # type: ignore[union-attr, call-arg]
        for index, (panel, group) in enumerate(panels.items()):
            axes = figure.add_subplot(down, across, index + 1)
            here = {c.layer for c in group}
            places = _places([x for x in layers if x in here], networks)
            _draw_lines(axes, group, names, places, networks)
            texts = [ticks[x] for x in places]
            axes.set_xticks(list(places.values()), texts, rotation=90 if turned else 0)
            _part_networks(axes, places, networks, width - 0.8)
            axes.set_ylabel(shorten(panel, LETTERS))
            axes.set_xlabel("layer")
        if named:
            handles, texts = figure.axes[0].get_legend_handles_labels()
            columns = min(len(texts), beside)
            figure.legend(handles, texts, loc="outside lower center", ncols=columns)
    return figure


def _subtitle(records: Sequence[Record], evaluated: bool, curves: Sequence[_Curve]) -> str:
    """Say what is drawn, and what all RSMs have in common; what they have not tells the lines apart."""
    if evaluated:
        [rsm] = common(records, "rsm")
        what = f"{file_name(rsm)} over its layers" if rsm else "values over the layers"
        method = method_title(*common(records, "matcher", "kernel"))
        return "\n".join(filter(None, (what, method)))
    a, b, kernel = common(records, "matcher_a", "matcher_b", "kernel")
    method = method_title(a if a == b else None, kernel)
    if a and b and a != b:
        method = f"{matching(str(a))} against {method_title(b, kernel)}"
    first, second = (file_name(path) if path else "" for path in common(records, "a", "b"))
    pair = f"{first} and {second}" if first and second else "pairs of files"
    what = f"{pair}, layer by layer"
    if any(curve.line[-1] for curve in curves):
        what = f"layers of {first or 'a'}, a line for each layer of {second or 'b'}"
    return "\n".join(filter(None, (what, method)))


def _networks(curves: Sequence[_Curve]) -> dict[str, str]:
    """Return layer -> network: what stands before its last "/", else the files that have it.

    Files that share a layer are taken for one network.
    """
    groups: list[tuple[list[str], set[str]]] = []
    for file, of_file in grouped(curves, lambda curve: curve.file).items():
        layers = {curve.layer for curve in of_file}
        joined = [group for group in groups if group[1] & layers]
        groups = [group for group in groups if not group[1] & layers]
        files = [name for names, _ in joined for name in names]
        groups.append(([*files, file_name(file)], layers.union(*(x for _, x in joined))))
    files_of = {layer: ", ".join(names) for names, layers in groups for layer in layers}
    every = dict.fromkeys(curve.layer for curve in curves)
    networks = {layer: layer.rpartition("/")[0] or files_of[layer] for layer in every}
    alone = len(set(networks.values())) == len(networks)  # a layer each: nothing to part
    return dict.fromkeys(networks, "") if alone else networks


def _places(layers: Sequence[str], networks: Mapping[str, str]) -> dict[str, float]:
    """Return where each layer stands, with a gap between networks.

    >>> _places(["a", "b", "c"], {"a": "vit", "b": "vit", "c": "resnet"})
    {'a': 0.0, 'b': 1.0, 'c': 2.6}
    """
    places: dict[str, float] = {}
    place, last = 0.0, None
    for layer in layers:
        if places:
            place += 1.0 if networks[layer] == last else 1.0 + GAP
        places[layer], last = place, networks[layer]
    return places


def _draw_lines(
    axes: Axes,
    curves: Sequence[_Curve],
    names: Mapping[tuple[str, ...], str],
    places: Mapping[str, float],
    networks: Mapping[str, str],
) -> None:
    for index, (line, name) in enumerate(names.items()):
        values = {c.layer: c.value for c in curves if c.line == line}
        x, y = _broken_between_networks(places, networks, values)
        mark, again = index % len(MARK_SHAPES), index // len(MARK_SHAPES)
        axes.plot(
            x, y, label=name or line[0], color=MARK_COLOURS[mark], marker=MARK_SHAPES[mark],
            markersize=4, linewidth=1.2, linestyle=LINE_STYLES[again % len(LINE_STYLES)],
            fillstyle="none" if again % 2 else "full",
        )  # fmt: skip
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _part_networks(
    axes: Axes, places: Mapping[str, float], networks: Mapping[str, str], inches: float
) -> None:
    """Draw a line between networks, which share no depth, and name each above where its name fits."""
    parts = grouped(list(places), lambda layer: networks[layer])
    if len(parts) < 2:
        return
    each = inches / (max(places.values()) + 1)
    for network, layers in parts.items():
        left, right = places[layers[0]], places[layers[-1]]
        if left > 0:
            axes.axvline(left - (1 + GAP) / 2, color="0.7", linewidth=0.8, linestyle=":")
        if text_inches([network]) <= each * (right - left + 1):
            axes.annotate(
                network, ((left + right) / 2, 1), xycoords=axes.get_xaxis_transform(),
                xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=7,
            )  # fmt: skip


def _broken_between_networks(
    places: Mapping[str, float], networks: Mapping[str, str], values: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Return the points of a line, with a gap where the network changes."""
    x: list[float] = []
    y: list[float] = []
    network = None
    for layer, place in places.items():
        if layer not in values:
            continue
        if x and networks[layer] != network:
            x.append(place - 0.5)
            y.append(math.nan)
        x.append(place)
        y.append(values[layer])
        network = networks[layer]
    return x, y


def _line_names(curves: Sequence[_Curve], keep_first: bool) -> dict[tuple[str, ...], str]:
    """Return what each line is called: no more parts than tell the lines apart, and the file if asked."""
    lines = list(dict.fromkeys(c.line for c in curves))
    kept = list(range(len(lines[0])))
    for part in range(len(lines[0])):
        if keep_first and part == 0 and len({line[0] for line in lines}) > 1:
            continue
        without = [index for index in kept if index != part]
        if len({tuple(line[i] for i in without) for line in lines}) == len(lines):
            kept = without
    texts = [", ".join(line[i] for i in kept if line[i]) for line in lines]
    return dict(zip(lines, shorten_all(texts, 48), strict=True))


def _with_matcher(path: object, matcher: object, differ: bool) -> str:
    """Return the name of a file, with its matcher where these differ and the name does not say it."""
    name = file_name(path)
    return f"{name} ({matcher})" if differ and matcher and str(matcher) not in name else name


def _evaluated(records: Sequence[Record]) -> list[_Curve]:
    differ = len({r["matcher"] for r in records}) > 1
    return [
        _Curve(
            str(r["metric"]),
            (
                _with_matcher(r["rsm"], r["matcher"], differ),
                f"{r['matcher'] or 'matrix'}",
                f"{r['kernel'] or ''}",
            ),
            str(r["layer"] or file_name(r["rsm"])),
            number_of(r["value"]),
            str(r["rsm"]),
        )
        for r in records
        if r["metric"] not in COUNTS
    ]


def _compared(records: Sequence[Record]) -> list[_Curve]:
    curves = []
    differ = len({r.get(f"matcher_{side}") for r in records for side in "ab"}) > 1
    groups = grouped(records, lambda r: (r["a"], r["b"], r["kernel"], r["measure"]))
    for (a, b, kernel, measure), group in groups.items():
        equal = [r for r in group if r["layer_a"] == r["layer_b"]]
        for r in equal or group:
            line = (
                " and ".join(_with_matcher(r[x], r.get(f"matcher_{x}"), differ) for x in "ab"),
                f"{kernel or ''}",
                "" if equal else f"{r['layer_b'] or file_name(b)}",
            )
            layer = str(r["layer_a"] or file_name(a))
            curves.append(_Curve(str(measure), line, layer, number_of(r["value"]), str(a)))
    return curves
