"""The images that an RSM finds most similar to a few query images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import OTHER, SAME, new_figure, style
from semrsm.plot.figures.grids import letters_in
from semrsm.plot.figures.short_names import shorten, shorten_all, shorten_ids

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TALL = 1.72  # inches of a row
IN_TITLE = 14  # letters of an id above its image


@dataclass(frozen=True)
class Retrieved:
    """One query and what was found for it.

    Attributes:
        title: Which RSM found it.
        query: Number of the query sample.
        neighbours: (k,) numbers of the samples found, the most similar first.
        similarities: (k,) to the query.
    """

    title: str
    query: int
    neighbours: NDArray[np.integer]
    similarities: NDArray[np.floating]


def draw_retrieved(
    rows: Sequence[Retrieved],
    images: dict[int, NDArray[np.generic]],
    title: str = "",
    labels: NDArray[np.generic] | None = None,
    samples: Sequence[str] | None = None,
) -> Figure:
    """Draw queries, at the left, and the images found for each, most similar first.

    Args:
        rows: One for each query and RSM.
        images: Sample -> its image, (H, W), (H, W, 3) or (3, H, W); for every sample in `rows`.
        title: Above the figure.
        labels: (n,) written at the images; those found with the query's label have a solid blue
            frame, the others a dashed orange one.
        samples: (n,) ids, written at the images in place of numbers.

    Raises:
        SemrsmError: There is no row, or an image has another shape.

    Example:
        >>> rows = [Retrieved("semantic", 0, np.array([2, 1]), np.array([0.9, 0.4]))]
        >>> figure = draw_retrieved(rows, {i: np.eye(4) for i in range(3)})
        >>> [axes.get_title() for axes in figure.axes]
        ['query: sample 0', '1: sample 2', '2: sample 1']
    """
    if not rows:
        raise SemrsmError("queries are needed and none is given; name some with `queries='0,5,7'`")
    pictures = {index: as_picture(image) for index, image in images.items()}
    lowest = min(float(np.nanmin(image)) for image in pictures.values())
    highest = max(float(np.nanmax(image)) for image in pictures.values())
    k = max(len(row.neighbours) for row in rows)
    titles = _short_titles([row.title for row in rows])
    names = _names_of(list(images), labels, samples)
    with style():
        figure = new_figure(1.25 * (k + 1) + 0.6, TALL * len(rows) + 0.35, title)
        grid = figure.add_gridspec(len(rows), k + 1)
        for down, row in enumerate(rows):
            axes = figure.add_subplot(grid[down, 0])
            draw_image(axes, pictures[row.query], lowest, highest)
            axes.set_title(f"query: {names[row.query]}", fontsize=7)
            axes.set_ylabel(titles[row.title], fontsize=7)
            pairs = zip(row.neighbours, row.similarities, strict=True)
            for rank, (index, similarity) in enumerate(pairs, start=1):
                axes = figure.add_subplot(grid[down, rank])
                draw_image(axes, pictures[int(index)], lowest, highest)
                axes.set_xlabel(f"{similarity:#.3g}".rstrip("."), labelpad=2, fontsize=7)
                axes.set_title(f"{rank}: {names[int(index)]}", fontsize=7)
                if labels is not None:
                    _mark(axes, bool(labels[index] == labels[row.query]))
    return figure


def _short_titles(titles: Sequence[str]) -> dict[str, str]:
    """Return titles whose lines fit the height of an image; layers that differ stay different."""
    lines = list(dict.fromkeys(line for title in titles for line in title.split("\n")))
    short = dict(zip(lines, shorten_all(lines, letters_in(TALL, 7)), strict=True))
    return {title: "\n".join(short[line] for line in title.split("\n")) for title in titles}


def as_picture(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an image as (H, W) or (H, W, 3); raise SemrsmError if it is none.

    >>> as_picture(np.zeros((3, 8, 9))).shape
    (8, 9, 3)
    """
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] != 3:
        image = np.moveaxis(image, 0, 2)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise SemrsmError(
            f"an image of shape (H, W), (H, W, 3) or (3, H, W) is needed, not {image.shape};"
            " choose another array with `images='FILE::name'`"
        )
    return image


def draw_image(axes: Axes, image: NDArray[np.generic], low: float, high: float) -> None:
    """Draw an image; numbers are stretched from the lowest to the highest of all images to [0, 1]."""
    if image.dtype == np.uint8:
        low, high = 0, 255
    elif low >= 0 and high <= 1:
        low, high = 0, 1
    stretched = (image.astype(np.float64) - low) / ((high - low) or 1)
    axes.imshow(stretched, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)


def _names_of(
    numbers: Sequence[int], labels: NDArray[np.generic] | None, samples: Sequence[str] | None
) -> dict[int, str]:
    """Return what the images are called: by id with the label below, or by number with the label behind."""
    if samples is None:
        names = [f"sample {index}" if labels is None else str(index) for index in numbers]
    else:
        names, _ = shorten_ids([samples[index] for index in numbers], IN_TITLE)
    if labels is not None:
        gap = " " if samples is None else "\n"
        names = [
            f"{name}{gap}({shorten(str(labels[index]), 12)})"
            for name, index in zip(names, numbers, strict=True)
        ]
    return dict(zip(numbers, names, strict=True))


def _mark(axes: Axes, right: bool) -> None:
    """Frame an image by whether it has the query's label, and say so without colour as well."""
    axes.spines[:].set(color=OTHER if right else SAME, linewidth=2 if right else 1.2)
    axes.spines[:].set_linestyle("-" if right else (0, (2, 2)))
