"""`semrsm.plot` from Python: pictures of RSMs and of tables, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.api.arguments import Names, RsmLike, bytes_in, keep_inputs, names_in, rsms_in
from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.plot.figures.canvas import check_suffix, save_figure
from semrsm.plot.kinds import PLOTS, draw_plot
from semrsm.plot.request import PlotOptions
from semrsm.storage.labels import AddressOrArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = str | Path | list[dict[str, Any]]  # of `compare` or `evaluate`: a file, or its records


def plot(
    *rsm: RsmLike | Table | list[RsmLike],
    out: str | Path | None = None,
    kind: str = "heatmap",
    layer: Names = (),
    kernel: str | None = None,
    labels: AddressOrArray | None = None,
    views: AddressOrArray | None = None,
    by_position: bool = False,
    order: str | None = None,
    images: AddressOrArray | None = None,
    queries: str | Sequence[int | str] | None = None,
    neighbours: int | None = None,
    title: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    own_scales: bool = False,
    memory: str | int | None = None,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Figure:
    """Draw RSMs, or tables of comparisons and evaluations.

    A notebook shows the figure when a cell ends with it, or when its `show` is called; `savefig` writes
    it as any figure of matplotlib's. Nothing goes through pyplot.

    Args:
        *rsm: RSM files or plain matrices, `path` or `path::layer`, or matrices (n, n) in memory; for the
            kinds compare and curves the records that `compare` and `evaluate_*` returned, or tables
            that the commands wrote.
        out: Also write it here, as .png, .pdf or .svg.
        kind: A key of PLOTS: heatmap, side-by-side, mds, dendrogram, compare, curves, retrieved.
        layer: Names or globs; none means all.
        kernel: Kernel to draw; None takes the first that is stored.
        labels: A label for each sample, an address or an array (n,): orders and colours.
        views: Which thing each sample is a view of.
        by_position: Row i of all is of one sample, whatever ids and records say.
        order: Of the samples: given, label or cluster; None is by label where there are labels.
        images: Of the samples: an address, an array (n, H, W), (n, H, W, 3) or (n, 3, H, W), or a folder
            of image files that the ids of the samples name.
        queries: Samples to retrieve images for: numbers, from 0, or ids.
        neighbours: Images to retrieve for each query; None is 5.
        title: Above the picture.
        vmin: Value of the first colour; None is found from the values, or the measure.
        vmax: Value of the last colour.
        own_scales: A colour scale for each heat map; else one for all of a kernel.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        overwrite: Replace `out` if it exists.
        on_note: Told what should be known of the samples.

    Returns:
        The figure.

    Raises:
        SemrsmError: A file, layer, kernel, kind or argument is not as it must be; a kind does not use
            an argument; or it does not fit in memory.

    Example:
        >>> figure = plot(np.eye(4), labels=["cat", "dog", "cat", "dog"], title="four samples")
        >>> type(figure).__mro__[1].__name__, figure.get_suptitle()
        ('Figure', 'four samples')
    """
    if out is not None:
        check_suffix(Path(out))
        keep_inputs(Path(out), *rsm, labels, views, images)
    options = PlotOptions(
        kernel=kernel,
        layers=names_in(layer, "layer") or None,
        labels=labels,
        views=views,
        order=order,
        images=images,
        queries=parse_queries(queries),
        k=neighbours,
        title=title,
        by_position=by_position or None,
        vmin=vmin,
        vmax=vmax,
        own_scales=own_scales or None,
    )
    tables = look_up(PLOTS, kind, "kind of picture").reads == "tables"
    drawn = _tables_in(rsm) if tables else rsms_in(rsm)
    figure = draw_plot(kind, drawn, options, bytes_in(memory), on_note)
    if out is not None:
        save_figure(figure, out, overwrite)
    return figure


def _tables_in(arguments: Sequence[Any]) -> list[Any]:
    """Return files, and lists of records: several arguments, or one list of files."""
    tables: list[Any] = []
    for one in arguments:
        files = isinstance(one, list) and not any(isinstance(row, dict) for row in one)
        tables += one if files else [one]
    for one in tables:
        if not isinstance(one, str | Path | list):
            raise SemrsmError(
                f"a table is a file or a list of records, got one of type {type(one).__name__}; give what"
                " semrsm.compare or semrsm.evaluate_* returned"
            )
    return tables


def parse_queries(queries: str | Sequence[int | str] | None) -> tuple[int | str, ...] | None:
    """Return numbers or ids of samples from a text or a list, or None.

    >>> parse_queries("0,a.png"), parse_queries([3, "a, b.png"])
    (('0', 'a.png'), (3, 'a, b.png'))
    """
    if queries is None:
        return None
    if isinstance(queries, str):
        return tuple(queries.replace(",", " ").split())
    if isinstance(queries, Iterable):
        samples = tuple(queries)
        if all(isinstance(sample, str | Integral) for sample in samples):
            return samples
    raise SemrsmError(
        f"queries are numbers or ids of samples, such as 0,5,7, and not '{queries}'; change `queries`"
    )
