"""Which positions of two samples belong together: two grids in shared colours, lines between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.canvas import new_figure, style
from semrsm.plot.figures.grids import LINE, SMALL, wrapped
from semrsm.plot.figures.retrieved import as_picture, draw_image
from semrsm.plot.figures.short_names import shorten_ids

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = 16  # of the strongest matches
# Red top left, yellow top right, violet bottom left, green bottom right.
CORNERS = np.array([[[0.95, 0.05, 0.2], [1.0, 0.8, 0.0]], [[0.3, 0.1, 0.9], [0.0, 0.75, 0.45]]])
FAINTEST = 0.2  # of its colour is left to the weakest match; the rest is white
IN_TITLE = 36  # letters of the name of a sample
LONG, HEIGHT = 2.6, 2.6  # inches of one grid


def grid_colours(height: int, width: int) -> NDArray[np.float64]:
    """Return a colour for each position of a grid, blended from the four corners: (S, 3) in [0, 1].

    >>> grid_colours(1, 1).round(2).tolist()
    [[0.56, 0.43, 0.39]]
    """
    down, across = (np.linspace(0, 1, n) if n > 1 else np.full(1, 0.5) for n in (height, width))
    return np.einsum("ya,xb,abc->yxc", _ends(down), _ends(across), CORNERS).reshape(-1, 3)


def _ends(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of either end there is in a blend: (n,) -> (n, 2)."""
    return np.stack([1 - share, share], axis=1)


def draw_matching(
    permutation: NDArray[np.integer],
    strength: NDArray[np.floating],
    grid: tuple[int, int],
    names: tuple[str, str],
    title: str = "",
    images: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None,
) -> Figure:
    """Draw two samples: matched positions share a colour, lines join the strongest matches.

    Colours run over the first grid; the weaker a match, the paler. With images, the lines lie over
    them and the grids stand below.

    Args:
        permutation: (S,), position of the second sample for each of the first.
        strength: (S,), the inner product of each position with its match.
        grid: (height, width) of both, height * width = S.
        names: Titles of the two.
        title: Above the figure.
        images: Of the two samples, (H, W), (H, W, 3) or (3, H, W) each.

    Raises:
        SemrsmError: The grid does not hold S positions, or an image has another shape.

    Example:
        >>> figure = draw_matching(np.array([1, 0]), np.array([2.0, 1.0]), (1, 2), ("a", "b"))
        >>> [axes.get_title() for axes in figure.axes]
        ['a', 'b']
    """
    if grid[0] * grid[1] != len(permutation):
        raise SemrsmError(
            f"a grid of {grid[0]}x{grid[1]} has other than {len(permutation)} positions"
        )
    cells = colours_of(grid, strength)
    of_second = np.empty_like(cells)
    of_second[permutation] = cells
    down = 1 if images is None else 2
    with style():
        width = 2 * LONG + 0.8
        lines = wrapped(_caption(len(permutation)), width, SMALL)
        figure = new_figure(width, HEIGHT * down + 0.6 + LINE * len(lines), title)
        figure.supxlabel("\n".join(lines), fontsize=8)
        short, _ = shorten_ids(names, IN_TITLE)
        axes = figure.subplots(down, 2, squeeze=False)
        for side, colours in enumerate((cells, of_second)):
            _draw_grid(axes[-1, side], colours, grid)
            axes[0, side].set_title(short[side])
        sizes = [grid, grid]
        if images is not None:
            sizes = _draw_images((axes[0, 0], axes[0, 1]), images)
        _join(axes[0, 0], axes[0, 1], permutation, strength, grid, sizes)
    return figure


def _caption(count: int) -> str:
    """Say what lines and colours mean."""
    which = "all matches" if count <= LINES else f"the {LINES} strongest of {count} matches"
    return f"lines join {which}; matched positions share a colour, the paler the weaker the match"


def colours_of(grid: tuple[int, int], strength: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colours of the first grid, paler where the match is weaker: (S, 3)."""
    share = np.clip(strength / max(float(strength.max()), np.finfo(float).tiny), 0, 1)
    kept = (FAINTEST + (1 - FAINTEST) * np.sqrt(share))[:, None]
    return kept * grid_colours(*grid) + (1 - kept)


def _draw_grid(axes: Axes, colours: NDArray[np.float64], grid: tuple[int, int]) -> None:
    axes.imshow(colours.reshape(*grid, 3), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.6")


def _draw_images(
    axes: tuple[Axes, Axes], images: tuple[NDArray[np.generic], NDArray[np.generic]]
) -> list[tuple[int, int]]:
    """Draw both images on one scale; return the (height, width) of each."""
    pictures = [as_picture(image) for image in images]
    low = min(float(np.nanmin(image)) for image in pictures)
    high = max(float(np.nanmax(image)) for image in pictures)
    for place, image in zip(axes, pictures, strict=True):
        draw_image(place, image, low, high)
    return [image.shape[:2] for image in pictures]


def _join(
    first: Axes,
    second: Axes,
    permutation: NDArray[np.integer],
    strength: NDArray[np.floating],
    grid: tuple[int, int],
    sizes: list[tuple[int, int]],
) -> None:
    """Draw a line for each of the strongest matches, from the middle of a cell to that of its match."""
    from matplotlib.patches import ConnectionPatch
    from matplotlib.patheffects import withStroke

    colours = grid_colours(*grid)
    strongest = np.argsort(-strength, kind="stable")[:LINES]
    for s in strongest.tolist():
        line = ConnectionPatch(
            xyA=_middle(s, grid, sizes[0]),
            xyB=_middle(int(permutation[s]), grid, sizes[1]),
            coordsA="data",
            coordsB="data",
            axesA=first,
            axesB=second,
            arrowstyle="-",
            color=colours[s],
            linewidth=1.0,
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )
        first.figure.add_artist(line)
        line.set_in_layout(False)
    for axes, places, size in (
        (first, strongest, sizes[0]),
        (second, permutation[strongest], sizes[1]),
    ):
        x, y = zip(*(_middle(int(s), grid, size) for s in places), strict=True)
        axes.scatter(x, y, s=14, c=colours[strongest], edgecolors="white", linewidths=0.7, zorder=3)


def _middle(position: int, grid: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Return where the middle of a cell lies in an image (height, width) that the grid covers.

    >>> _middle(3, (2, 2), (8, 8))
    (5.5, 5.5)
    """
    row, column = divmod(position, grid[1])
    return (column + 0.5) * size[1] / grid[1] - 0.5, (row + 0.5) * size[0] / grid[0] - 0.5
