"""A page about RSMs: one HTML file with tables and pictures that refers to nothing outside of it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.engine.selection import NEEDS
from semrsm.errors import SemrsmError
from semrsm.machine import require_memory
from semrsm.plot.figures.canvas import render
from semrsm.plot.inputs import read_records
from semrsm.plot.kinds import PLOTS, check_memory
from semrsm.plot.memory import count_of, heatmap_bytes
from semrsm.plot.reduced import WORKING, quartiles
from semrsm.plot.request import PlotInputs, PlotOptions, read_inputs
from semrsm.rsms import Rsm
from semrsm.storage.rsm_file import LayerInfo, is_rsm_file, open_rsm
from semrsm.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
QUERIES = 3  # samples that images are retrieved for where none are named

# The policy has a browser refuse anything that is not in the file itself.
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto;
 padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: 0; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
table {{ border-collapse: collapse; font-size: 13px; }} .wide {{ overflow-x: auto; }}
td {{ white-space: nowrap; }} details td {{ white-space: normal; }}
th, td {{ padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ margin: 1rem 0; }} img {{ max-width: 100%; height: auto; }}
figcaption, .quiet {{ color: #666; font-size: 13px; }} summary {{ cursor: pointer; }}
code {{ font-size: 12px; overflow-wrap: anywhere; }}
</style>
</head>
<body>
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        heading: Above it.
        caption: Below it; also what is read out where the picture cannot be seen.
        figure: The picture; None where it does not fit in memory, which the caption then says.
    """

    heading: str
    caption: str
    figure: Figure | None


def build_report(
    addresses: Sequence[str | Path | Rsm],
    options: PlotOptions,
    tables: Sequence[str] = (),
    memory: int | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> str:
    """Return one self-contained HTML page about RSMs: what they are, their values, pictures, making.

    Pictures: heat maps; side by side what two matchers make of the same layer; MDS; dendrograms;
    images retrieved for some queries if there are images; tables as heat maps and curves.

    Args:
        addresses: RSM files or plain matrices of the same samples.
        options: `kernel`, `layers`, `labels`, `views`, `images`, `queries`, `k`, `order` and `title`.
        tables: Files that `semrsm compare -o` or `semrsm evaluate` wrote.
        memory: Bytes that may be taken; None means half of the machine's. A picture that does not fit
            is left out, and the page says what it needs.
        on_note: Told what should be known of the samples.

    Returns:
        HTML without scripts; pictures are PNG in data URIs.

    Raises:
        SemrsmError: A file, layer, kernel or option is not as it must be, or not even the heat maps fit
            in memory.
    """
    if options.queries and options.images is None:
        raise SemrsmError(
            "queries are samples to retrieve images for, and no images are given; give `images='FILE::name'`,"
            " or leave `queries` out"
        )
    inputs = read_inputs(addresses, options, memory)
    needed = max(heatmap_bytes(inputs.rsms), NEEDS + inputs.rsms[0].row_need(WORKING))
    what = f"a report of {count_of(inputs.rsms)}"
    require_memory(what, needed, inputs.memory, "show fewer layers")
    for rsm in inputs.rsms:
        if rsm.matcher is None and not rsm.symmetric:
            raise SemrsmError(
                f"{rsm.address} is a matrix of {rsm.shape[0]} x {rsm.shape[1]}, no RSM;"
                " name RSM files or square matrices"
            )
    title = options.title or "RSMs of " + ", ".join(dict.fromkeys(r.path.name for r in inputs.rsms))
    captions = replace(inputs, options=replace(options, title=None))
    parts = [HEAD.format(title=html.escape(title)), f"<h1>{html.escape(title)}</h1>"]
    parts.append(f'<p class="quiet">made by semrsm {__version__}</p>')
    parts += ["<h2>RSMs</h2>", _table(describe(inputs)), _notes(inputs)]
    parts += [_picture(picture) for picture in _pictures(captions)]
    parts += [_picture(picture) for path in tables for picture in _table_pictures(path)]
    for note in inputs.notes:
        on_note(note)
    parts += ["<h2>How they were made</h2>", *_making(inputs.rsms), "</body>", "</html>", ""]
    return "\n".join(part for part in parts if part or part is parts[-1])


def describe(inputs: PlotInputs) -> list[dict[str, Any]]:
    """Return what each RSM is and how its entries are spread, one dict each.

    Quartiles are over finite pairs i < j (all entries of a rectangular RSM); with views, the medians of
    pairs of views of the same thing and of all other pairs.
    """
    rows = []
    left = inputs.memory - NEEDS
    for rsm in inputs.rsms:
        info = _info(rsm)
        low, median, high = quartiles(rsm, None, None, left)
        row: dict[str, Any] = {
            "file": rsm.path.name,
            "layer": rsm.layer,
            "matcher": rsm.matcher,
            "kernel": rsm.kernel,
            "sigma": info.sigmas.get(rsm.kernel or "") if info else None,
            "samples": " x ".join(str(side) for side in dict.fromkeys(rsm.shape)),
            "positions": info.n_positions if info else None,
            "channels": info.n_channels if info else None,
            "solver": info.parameters.get("solver") if info else None,
            "lower quartile": low,
            "median": median,
            "upper quartile": high,
        }
        if inputs.views is not None:
            row["median, same view"] = quartiles(rsm, inputs.views, True, left)[1]
            row["median, others"] = quartiles(rsm, inputs.views, False, left)[1]
        rows.append(row)
    return rows


def _info(rsm: Rsm) -> LayerInfo | None:
    """Return what an RSM file says of the layer; None for a plain matrix."""
    if not is_rsm_file(rsm.path):
        return None
    with open_rsm(rsm.path) as file:
        return file.layer(rsm.layer)


def _pictures(inputs: PlotInputs) -> Iterable[Picture]:
    """Yield every picture that the RSMs, labels, views and images allow."""
    ordered = "ordered by label" if inputs.labels is not None else "as in the file"
    yield _drawn(
        "heatmap",
        inputs,
        "Heat maps",
        f"RSMs of one kernel on one colour scale, of the linear kernel those of one layer; samples {ordered}."
        " The scale leaves out the diagonal and the outermost 0.5 % of the entries at either end.",
    )
    if not all(rsm.symmetric for rsm in inputs.rsms):
        return
    for pair in _pairs(inputs.rsms):
        name = pair[0].layer or pair[0].path.name
        yield _drawn(
            "side-by-side",
            replace(inputs, rsms=pair),
            f"Side by side: {name}",
            f"{pair[0].matcher} and {pair[1].matcher} matching of {name} on one colour scale, and the"
            " histograms of the similarities of pairs i < j with their medians.",
        )
    if inputs.rsms[0].shape[0] < 2:
        return
    yield _drawn(
        "mds",
        inputs,
        "Multidimensional scaling",
        "Classical scaling of each RSM. Percentages: share of the sum of squares of the centred RSM.",
    )
    yield _drawn(
        "dendrogram",
        inputs,
        "Dendrograms",
        "Average linkage of the distances sqrt(K_ii + K_jj - 2 K_ij).",
    )
    if inputs.options.images is not None:
        n = inputs.rsms[0].shape[0]
        queries = inputs.options.queries or tuple(range(min(QUERIES, n)))
        k = inputs.options.k or min(5, n - 1)
        options = replace(inputs.options, queries=queries, k=k)
        last = [rsm for rsm in inputs.rsms if rsm.layer == inputs.rsms[-1].layer]
        yield _drawn(
            "retrieved",
            replace(inputs, rsms=last, options=options),
            "Retrieved images",
            "The images most similar to each query in the last layer, and their similarity."
            " With labels, a solid frame means the query's label and a dashed one another.",
        )


def _drawn(kind: str, inputs: PlotInputs, heading: str, caption: str) -> Picture:
    """Return a picture of a kind, or why there is no memory for it."""
    try:
        check_memory(PLOTS[kind], inputs)
    except SemrsmError as error:
        return Picture(heading, f"Left out: {error}.", None)
    return Picture(heading, caption, PLOTS[kind].draw(replace(inputs)))  # a copy keeps no values


def _pairs(rsms: Sequence[Rsm]) -> list[list[Rsm]]:
    """Return pairs of one layer and kernel: identity matching, and each other matching."""
    return [
        [left, right]
        for left in rsms
        for right in rsms
        if left.matcher == "identity" and right.matcher not in ("identity", None)
        if (left.layer, left.kernel) == (right.layer, right.kernel)
    ]


def _table_pictures(path: str) -> Iterable[Picture]:
    """Yield the pictures of a table."""
    records = read_records(Path(path))
    inputs = PlotInputs(PlotOptions(), records=records)
    name = Path(path).name
    if not records or "measure" in records[0]:
        yield Picture(
            f"Comparison: {name}", "Layers of a down, of b across.", PLOTS["compare"].draw(inputs)
        )
    yield Picture(f"Over layers: {name}", "Values over the layers.", PLOTS["curves"].draw(inputs))


def _picture(picture: Picture) -> str:
    caption = html.escape(picture.caption)
    if picture.figure is None:
        return f'<h2>{html.escape(picture.heading)}</h2>\n<p class="quiet">{caption}</p>'
    data = base64.b64encode(render(picture.figure, ".png", DPI)).decode()
    return (
        f"<h2>{html.escape(picture.heading)}</h2>\n"
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an HTML table, without the columns that are empty."""
    columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    head = "".join(f"<th>{html.escape(key)}</th>" for key in columns)
    body = "\n".join("<tr>" + "".join(_cell(row[key]) for key in columns) + "</tr>" for row in rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return (
            f'<td class="number">{value:.4g}</td>'
            if isinstance(value, float)
            else (f'<td class="number">{value}</td>')
        )
    return f"<td>{html.escape('' if value is None else str(value))}</td>"


def _notes(inputs: PlotInputs) -> str:
    """Say in a line which labels and views were read."""
    options = inputs.options
    facts = [
        f"{what} from {address if isinstance(address, str | Path) else 'an array'}"
        for what, address in (("labels", options.labels), ("views", options.views))
        if address is not None
    ]
    return f'<p class="quiet">{html.escape("; ".join(facts))}</p>' if facts else ""


def _making(rsms: Sequence[Rsm]) -> Iterable[str]:
    """Yield how each file was made, as it says itself."""
    for path in dict.fromkeys(rsm.path for rsm in rsms):
        if not is_rsm_file(path):
            yield f"<p>{html.escape(path.name)}: a plain matrix; the file does not say how it was made.</p>"
            continue
        with open_rsm(path) as file:
            about = {"generated_by": file.generated_by, "created": file.created, **file.metadata}
        rows = "\n".join(
            f"<tr><th>{html.escape(key)}</th><td><code>{html.escape(_plain(value))}</code></td></tr>"
            for key, value in about.items()
        )
        yield (
            f"<details open><summary>{html.escape(path.name)}</summary>\n"
            f'<div class="wide"><table>\n{rows}\n</table></div></details>'
        )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
