"""`semrsm.report` from Python: one HTML page about RSMs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from semrsm.api.arguments import Names, RsmLike, bytes_in, keep_inputs, names_in, rsms_in
from semrsm.api.plot import parse_queries
from semrsm.plot.report import build_report
from semrsm.plot.request import PlotOptions
from semrsm.storage.address import require_path
from semrsm.storage.labels import AddressOrArray
from semrsm.storage.whole_files import check_output, write_aside


def report(
    *rsm: RsmLike | list[RsmLike],
    out: str | Path,
    layer: Names = (),
    kernel: str | None = None,
    labels: AddressOrArray | None = None,
    views: AddressOrArray | None = None,
    by_position: bool = False,
    images: AddressOrArray | None = None,
    queries: str | Sequence[int | str] | None = None,
    table: Names = (),
    title: str | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write one self-contained HTML page: what the RSMs are, how they were made, and pictures.

    It holds no script and refers to nothing outside of it. A picture that does not fit in memory is left
    out, and the page says how much it needs.

    Args:
        *rsm: RSM files or plain matrices, `path` or `path::layer`, or matrices (n, n) in memory.
        out: The page to write.
        layer: Names or globs; none means all.
        kernel: Kernel to show; None takes the first that is stored.
        labels: A label for each sample, an address or an array (n,).
        views: Which thing each sample is a view of.
        by_position: Row i of all is of one sample, whatever ids and records say.
        images: Of the samples: an address, an array (n, H, W), (n, H, W, 3) or (n, 3, H, W), or a folder
            of image files that the ids of the samples name.
        queries: Samples to retrieve images for: numbers, from 0, or ids; None takes the first three.
        table: Files that the commands compare or evaluate wrote.
        title: Of the page.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        overwrite: Replace the page if it exists.
        on_note: Told what should be known of the samples.

    Returns:
        The path of the page.

    Raises:
        SemrsmError: A file, layer, kernel or argument is not as it must be, the page cannot be written,
            or not even the heat maps fit in memory.

    Example:
        >>> import tempfile
        >>> page = report(np.eye(4), out=tempfile.mkdtemp() + "/page.html", title="four samples")
        >>> "<title>four samples</title>" in page.read_text()
        True
    """
    require_path(out, "out", "name the page to write")
    keep_inputs(Path(out), *rsm, labels, views, images, table)
    check_output(Path(out), overwrite)
    options = PlotOptions(
        kernel=kernel,
        layers=names_in(layer, "layer") or None,
        labels=labels,
        views=views,
        images=images,
        queries=parse_queries(queries),
        title=title,
        by_position=by_position or None,
    )
    tables = names_in(table, "table")
    page = build_report(rsms_in(rsm), options, tables, bytes_in(memory), on_note)
    content = page.encode("utf-8", "backslashreplace")  # names of files may be no UTF-8
    write_aside(Path(out), content, overwrite)
    return Path(out)
