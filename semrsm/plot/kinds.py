"""From addresses of files to a figure: every kind of picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.machine import require_memory
from semrsm.names import look_up
from semrsm.plot.figures.canvas import cell_side
from semrsm.plot.figures.comparison import draw_comparison
from semrsm.plot.figures.curves import draw_curves
from semrsm.plot.figures.dendrogram import draw_dendrogram
from semrsm.plot.figures.embedding import draw_embedding
from semrsm.plot.figures.geometry import ORDERS, order_samples, top_k
from semrsm.plot.figures.heatmaps import Panel, draw_heatmaps
from semrsm.plot.figures.retrieved import Retrieved, draw_retrieved
from semrsm.plot.figures.side_by_side import draw_side_by_side, order_by_views
from semrsm.plot.inputs import read_images, records_of
from semrsm.plot.memory import (
    CLUSTER_BYTES,
    EMBED_BYTES,
    READ_BYTES,
    SIDE_BY_SIDE_BYTES,
    count_of,
    heatmap_bytes,
    whole_bytes,
)
from semrsm.plot.reduced import WORKING, reduce_rsm
from semrsm.plot.request import (
    PlotInputs,
    PlotOptions,
    names_of,
    read_inputs,
    sides_of,
)
from semrsm.rsms import Rsm
from semrsm.storage.sample_ids import number_of_sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

K = 5  # images to retrieve where nothing is said


def _heatmap(inputs: PlotInputs) -> Figure:
    rsms = inputs.rsms
    if not rsms[0].symmetric:
        if inputs.options.order or inputs.labels is not None:
            raise SemrsmError("a rectangular RSM has no order and no labels; leave them out")
        return draw_heatmaps(
            _panels(inputs, None),
            inputs.title,
            samples=rsms[0].samples,
            sides=sides_of(rsms),
            limits=inputs.limits,
        )
    by = inputs.options.order or ("given" if inputs.labels is None else "label")
    order = None if by == "given" else _order(inputs, by)
    return draw_heatmaps(
        _panels(inputs, order),
        inputs.title,
        order=order,
        ordered_by=_ordered_by(by, rsms),
        labels=inputs.labels,
        samples=rsms[0].samples,
        limits=inputs.limits,
    )


def _ordered_by(by: str, rsms: Sequence[Rsm]) -> str:
    """Say what the samples are ordered by; nothing where they stand as in the file."""
    last = names_of(rsms).titles[-1].replace("\n", ", ")
    clustering = "clustering" + (f" of {last}" if len(rsms) > 1 else "")
    return {"label": "label", "given": "", "cluster": clustering}[by]


def _order(inputs: PlotInputs, by: str) -> NDArray[np.intp]:
    """Return the samples in an order; only one that reads the last RSM whole needs memory for it."""
    last = inputs.rsms[-1]
    n = last.shape[0]
    if not look_up(ORDERS, by, "order").whole:
        return order_samples(np.empty((n, 0)), by, inputs.labels)
    needed = (CLUSTER_BYTES + READ_BYTES) * n**2
    what = f"{last.address}: clustering {n} samples"
    require_memory(what, needed, inputs.memory, "choose another `order`")
    return order_samples(last.values(), by, inputs.labels)


def _panels(inputs: PlotInputs, order: NDArray[np.intp] | None) -> list[Panel]:
    """Return the RSMs as panels: as they are, or large ones read by blocks and reduced to means."""
    count = len(inputs.rsms)
    if cell_side(inputs.rsms[0].shape, count) == 1:
        return inputs.panels
    panels = []
    for index, rsm in enumerate(inputs.rsms):
        left = inputs.memory - heatmap_bytes(inputs.rsms) + rsm.row_need(WORKING)
        values, spread = reduce_rsm(rsm, order, left, count)
        panels.append(inputs.panel(index, values, whole=rsm.shape, spread=spread))
    return panels


def _side_by_side(inputs: PlotInputs) -> Figure:
    rsms = inputs.rsms
    if len(rsms) != 2:
        raise SemrsmError(
            f"side-by-side draws two RSMs and got {len(rsms)}; give two files and choose one layer"
            " with `layer`"
        )
    if rsms[0].kernel != rsms[1].kernel:
        raise SemrsmError(
            f"one colour scale needs one kernel, not {rsms[0].kernel} and {rsms[1].kernel};"
            " choose with `kernel`"
        )
    left, right = inputs.panels
    if inputs.views is not None and inputs.options.order is None:
        order = order_by_views(inputs.views, inputs.labels)
        ordered_by = "view, then by label" if inputs.labels is not None else "view"
    else:
        by = inputs.options.order or ("given" if inputs.labels is None else "label")
        order = order_samples(right.values, by, inputs.labels)
        ordered_by = _ordered_by(by, rsms)
    in_file_order = np.array_equal(order, np.arange(len(order)))
    return draw_side_by_side(
        left.values,
        right.values,
        inputs.title,
        inputs.views,
        order=None if in_file_order else order,
        ordered_by="" if in_file_order else ordered_by,
        labels=inputs.labels,
        samples=rsms[0].samples,
        kernel=rsms[0].kernel,
        names=(left.title, right.title),
        limits=inputs.limits,
    )


def _mds(inputs: PlotInputs) -> Figure:
    return draw_embedding(inputs.panels, inputs.title, labels=inputs.labels, views=inputs.views)


def _dendrogram(inputs: PlotInputs) -> Figure:
    samples = inputs.rsms[0].samples
    return draw_dendrogram(inputs.panels, inputs.title, labels=inputs.labels, samples=samples)


def _compare(inputs: PlotInputs) -> Figure:
    return draw_comparison(inputs.records, inputs.title, inputs.limits)


def _curves(inputs: PlotInputs) -> Figure:
    return draw_curves(inputs.records, inputs.title)


def _retrieved(inputs: PlotInputs) -> Figure:
    options = inputs.options
    if options.images is None or not options.queries:
        raise SemrsmError(
            "retrieved needs images and queries; give `images='FILE::name'` and `queries='0,5'`"
        )
    n = inputs.rsms[0].shape[0]
    k = K if options.k is None else options.k
    if k < 1 or k >= n:
        raise SemrsmError(
            f"of {n} samples 1 to {n - 1} can be retrieved, not {k}; change `neighbours`"
        )
    first, rows = inputs.rsms[0], []
    for sample in options.queries:
        query = number_of_sample(sample, n, lambda: first.samples, first.address)
        for rsm, name in zip(inputs.rsms, inputs.names.titles, strict=True):
            similarities = rsm.rows(slice(query, query + 1))[0]
            neighbours = top_k(similarities, query, k)
            rows.append(
                Retrieved(name.replace(", ", "\n"), query, neighbours, similarities[neighbours])
            )
    needed = {row.query for row in rows} | {int(i) for row in rows for i in row.neighbours}
    images = read_images(options.images, needed, n, first.taken, first.samples)
    return draw_retrieved(rows, images, inputs.title, inputs.labels, first.samples)


@dataclass(frozen=True)
class Plot:
    """A kind of picture.

    Attributes:
        name: Key in PLOTS.
        summary: One line.
        reads: RSMs, or tables of `semrsm compare` and `semrsm evaluate`.
        options: The fields of PlotOptions that it uses.
        draw: Draws it.
        needs: (RSMs) -> bytes of memory; None where a few rows, or a table, are all it reads.
        otherwise: What to do where that is more than may be taken.
        rectangular: It can draw a rectangular RSM.
    """

    name: str
    summary: str
    reads: Literal["rsms", "tables"]
    options: tuple[str, ...]
    draw: Callable[[PlotInputs], Figure]
    needs: Callable[[Sequence[Rsm]], int] | None = None
    otherwise: str = "draw fewer layers, or `kind='heatmap'`, which reads by blocks"
    rectangular: bool = False


OF_RSMS = ("kernel", "layers", "title", "labels", "by_position")
COLOURS = ("vmin", "vmax")

PLOTS: Mapping[str, Plot] = {
    "heatmap": Plot(
        "heatmap",
        "the RSMs as heat maps, one or a grid",
        "rsms",
        (*OF_RSMS, "order", *COLOURS, "own_scales"),
        _heatmap,
        heatmap_bytes,
        "draw fewer layers",
        True,
    ),
    "side-by-side": Plot(
        "side-by-side",
        "two RSMs on one colour scale, with the histograms of their similarities",
        "rsms",
        (*OF_RSMS, "order", "views", *COLOURS),
        _side_by_side,
        whole_bytes(SIDE_BY_SIDE_BYTES),
    ),
    "mds": Plot(
        "mds",
        "the samples in the plane, by classical multidimensional scaling",
        "rsms",
        (*OF_RSMS, "views"),
        _mds,
        whole_bytes(EMBED_BYTES),
    ),
    "dendrogram": Plot(
        "dendrogram",
        "the samples as a tree, by average linkage",
        "rsms",
        OF_RSMS,
        _dendrogram,
        whole_bytes(CLUSTER_BYTES),
    ),
    "compare": Plot(
        "compare",
        "a table of semrsm compare as heat maps",
        "tables",
        ("title", *COLOURS),
        _compare,
    ),
    "curves": Plot("curves", "values of a table over the layers", "tables", ("title",), _curves),
    "retrieved": Plot(
        "retrieved",
        "the images most similar to query images",
        "rsms",
        (*OF_RSMS, "images", "queries", "k"),
        _retrieved,
    ),
}


def check_memory(plot: Plot, inputs: PlotInputs) -> None:
    """Refuse a picture that takes more memory than may be taken, before anything is read for it."""
    if plot.needs is None:
        return
    what = f"drawing the {plot.name} of {count_of(inputs.rsms)}"
    require_memory(what, plot.needs(inputs.rsms), inputs.memory, plot.otherwise)


def draw_plot(
    kind: str,
    addresses: Sequence[Any],
    options: PlotOptions,
    memory: int | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Figure:
    """Draw a picture of RSM files, or of tables.

    Args:
        kind: A key of PLOTS.
        addresses: RSM files or plain matrices, `path` or `path::layer`; or tables (CSV, TSV,
            JSON), or their records.
        options: What is asked of the picture; an option that the kind does not use is refused.
        memory: Bytes that may be taken; None means half of the machine's. Heat maps of large RSMs are
            read by blocks of rows, the kinds that need a whole RSM are refused where it does not fit.
        on_note: Told what should be known of the samples.

    Raises:
        SemrsmError: A file, layer, kernel, kind or option is not as it must be, or it does not fit in
            memory.

    Example:
        >>> options = PlotOptions(kernel="cosine", labels="digits.h5::labels")
        >>> figure = draw_plot("heatmap", ["out.rsm.h5"], options)  # doctest: +SKIP
    """
    plot = look_up(PLOTS, kind, "kind of picture")
    for name in options.names_in_use():
        if name not in plot.options:
            able = ", ".join(p.name for p in PLOTS.values() if name in p.options)
            raise SemrsmError(f"`{_keyword(name)}` is not for {kind} but for: {able}; leave it out")
    if plot.reads == "tables":
        records = [row for address in addresses for row in records_of(address)]
        return plot.draw(PlotInputs(options, records=records))
    inputs = read_inputs(addresses, options, memory)
    for rsm in inputs.rsms:
        if not rsm.symmetric and not plot.rectangular:
            raise SemrsmError(
                f"{rsm.address} is rectangular, {rsm.shape[0]} x {rsm.shape[1]}, and {kind} needs a"
                " square RSM of one set of samples; use `kind='heatmap'`"
            )
    check_memory(plot, inputs)
    figure = plot.draw(inputs)
    for note in inputs.notes:  # once nothing fails any more
        on_note(note)
    return figure


def _keyword(name: str) -> str:
    """Return what users call a field of PlotOptions.

    >>> _keyword("layers")
    'layer'
    """
    return {"layers": "layer", "k": "neighbours"}.get(name, name)
