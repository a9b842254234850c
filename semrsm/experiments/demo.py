"""The main job on the embedded example: does matching positions bring translated views together?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from semrsm.api.compute import compute
from semrsm.compute.run import Progress
from semrsm.data import digits_path
from semrsm.errors import SemrsmError
from semrsm.evaluate.views import auroc, codes_of, medians, same_view_pairs
from semrsm.plot import draw_side_by_side, order_by_views, save_figure
from semrsm.rsms import read_rsm
from semrsm.storage.activations import open_activations
from semrsm.storage.whole_files import check_name, check_output


@dataclass(frozen=True)
class DemoRun:
    """One network of the example: its layers, how they are read, and which of them is drawn."""

    network: str
    layer: str
    skip_tokens: int
    drawn: str


RUNS = (
    DemoRun("resnet", "resnet/layer*", skip_tokens=0, drawn="resnet/layer2"),
    DemoRun("vit", "vit/block*", skip_tokens=1, drawn="vit/block4"),
)
MATCHERS = ("identity", "optimal")


@dataclass(frozen=True)
class DemoRow:
    """Medians of the cosine similarity of two views of one digit, and of all other pairs.

    `auroc` is the probability that two views of one digit are more similar than another pair.
    """

    layer: str
    matcher: str
    median_same_digit_moved: float
    median_other_pairs: float
    auroc: float


@dataclass(frozen=True)
class Demo:
    """What the demo found, and the files that it wrote."""

    rows: list[DemoRow]
    files: list[Path]


def run_demo(
    folder: Path, *, overwrite: bool = False, on_progress: Progress = lambda layer, pairs, of: None
) -> Demo:
    """Compute identity and optimal RSMs for every layer of the embedded digits; draw one of each network.

    Every digit of the example is there twice, at two random places of the canvas: two views. The
    RSM files, `NETWORK.MATCHER.rsm.h5`, and the pictures, `NETWORK.png`, go to `folder`, which is
    made if it is missing.

    Raises SemrsmError if the folder cannot be made, or a file is there and `overwrite` is not set.
    """
    check_name(folder.absolute())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SemrsmError(
            f"the folder {folder} cannot be made ({error.strerror}); choose another `out`"
        ) from error
    files = {
        run: [folder / f"{run.network}.{matcher}.rsm.h5" for matcher in MATCHERS]
        + [folder / f"{run.network}.png"]
        for run in RUNS
    }
    for out in chain(*files.values()):
        check_output(out, overwrite)
    with open_activations(digits_path()) as example:
        views = codes_of([str(view) for view in example.arrays["views"].take(slice(None))])
        labels = np.asarray(example.arrays["labels"].take(slice(None)))
    rows = []
    for run, (*rsm_files, picture) in files.items():
        for matcher, out in zip(MATCHERS, rsm_files, strict=True):
            report = compute(
                digits_path(),
                out,
                on_progress=on_progress,
                command="semrsm demo",
                layer=run.layer,
                skip_tokens=run.skip_tokens,
                matcher=matcher,
                kernel=("cosine", "rbf"),
                overwrite=overwrite,
            )
            rows += [_row(out, layer.layer, matcher, views) for layer in report.layers]
        identity, optimal = (read_rsm(out, run.drawn)[0] for out in rsm_files)
        figure = draw_side_by_side(
            identity,
            optimal,
            f"{run.drawn}, cosine kernel: 40 digits, each at two places",
            views,
            order=order_by_views(views, labels),
            ordered_by="view, then by digit",
            labels=labels,
        )
        save_figure(figure, picture, overwrite)
    rows.sort(key=lambda row: row.layer)
    return Demo(rows, list(chain(*files.values())))


def _row(rsm_file: Path, layer: str, matcher: str, views: np.ndarray) -> DemoRow:
    rsm, _ = read_rsm(rsm_file, layer)
    same = same_view_pairs(views)
    pairs = rsm[np.triu_indices(len(rsm), 1)]
    values = medians(pairs[same], pairs[~same])
    return DemoRow(
        layer,
        matcher,
        values["median-same"],
        values["median-other"],
        auroc(pairs[same], pairs[~same]),
    )
