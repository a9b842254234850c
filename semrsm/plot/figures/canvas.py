"""What every picture shares: its style, an empty figure, the colours, and saving."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.plot.figures.scales import Scale
from semrsm.storage.whole_files import write_aside
from semrsm.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

STYLE = {  # no text is smaller than 7 points at the figure's own size
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "legend.title_fontsize": 8,
    "text.parse_math": False,  # names are not formulas: one dollar sign too many would end the drawing
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "svg.hashsalt": "semrsm",  # the same ids in every run
    "pdf.fonttype": 42,
}
DPI = 200
LONGEST_TEXT = 250  # letters of any line in a picture
MOST_LINES = 12  # of any text
ENLARGED = 6  # times that a figure may grow for the sake of its texts
NOT_IN_XML = bytes(set(range(32)) - set(b"\t\n\r"))  # characters that make an SVG no XML

# Nothing that differs between two runs goes into a picture: the same input gives the same bytes.
SUFFIXES: Mapping[str, Mapping[str, str | None]] = {
    ".png": {"Software": f"semrsm {__version__}"},
    ".pdf": {"Creator": f"semrsm {__version__}", "Producer": "matplotlib", "CreationDate": None},
    ".svg": {"Creator": f"semrsm {__version__}", "Date": None},
}

# Okabe and Ito's colours for colour-blind readers.
SAME, OTHER = "#D55E00", "#0072B2"
CATEGORIES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#BBBB33",
)
# Ten marks, each with a colour of its own, for lines and points that are told apart.
MARK_COLOURS = (*CATEGORIES, "#882255", "#888888")
MARK_SHAPES = "osD^vP*Xdh"
LINE_STYLES = ("-", "--", "-.", ":")

CELLS = 2000  # rows and columns of a matrix that are drawn; of more, means over blocks
CELLS_IN_GRID = 600  # the same for each of several matrices: a small panel has no more dots
MOST_DOTS = 60_000  # on a side of a picture; the drawing library takes 65 535


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of this package for a while; the user's own settings are put back."""
    from matplotlib import style as styles

    with styles.context(["default", STYLE]), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, which says enough.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        # What finds no room in a figure that has grown is drawn over something else.
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        yield


def new_figure(
    width: float,
    height: float,
    title: str = "",
    layout: Literal["constrained"] | None = "constrained",
) -> Figure:
    """Return an empty figure of a size in inches, outside of pyplot, laid out without overlaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from semrsm.plot.figures.notebook_figure import NotebookFigure

    figure = NotebookFigure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title)
    return figure


def check_suffix(path: Path) -> str:
    """Return the suffix of a picture's name; raise SemrsmError if it is none of SUFFIXES."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SemrsmError(
            f"{path} ends in '{suffix}', which is no kind of picture; name it {', '.join(SUFFIXES)}"
        )
    return suffix


def render(figure: Figure, suffix: str, dpi: int = DPI) -> bytes:
    """Return a figure as the bytes of a picture; the same figure gives the same bytes.

    Args:
        figure: Any figure.
        suffix: A key of SUFFIXES.
        dpi: Dots per inch, of images inside a PDF or SVG as well.
    """
    content = io.BytesIO()
    _tame(figure)
    with style():
        _make_room(figure)
        dpi = min(dpi, int(MOST_DOTS / max(figure.get_size_inches())))
        figure.savefig(
            content, format=suffix[1:], dpi=dpi, metadata=dict(SUFFIXES[suffix]), facecolor="white"
        )
    return (
        content.getvalue() if suffix != ".svg" else content.getvalue().translate(None, NOT_IN_XML)
    )


def drawable(text: str) -> str:
    r"""Return a text that can be drawn: half of a surrogate pair, which is no character, is escaped.

    Names come from files and command lines, and so may hold anything.

    >>> drawable("block\ud8001")
    'block\\ud8001'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _tame(figure: Figure) -> None:
    """Make the texts of a figure drawable, and shorten lines that no figure has room for."""
    from matplotlib.text import Text

    half = LONGEST_TEXT // 2
    for artist in figure.findobj(Text):
        lines = drawable(artist.get_text()).split("\n")[:MOST_LINES]
        short = [x if len(x) <= LONGEST_TEXT else f"{x[: half - 1]}…{x[-half:]}" for x in lines]
        artist.set_text("\n".join(short))


def _make_room(figure: Figure) -> None:
    """Lay a figure out; enlarge it while its texts leave no room for its axes."""
    for _ in range(ENLARGED):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "constrained_layout not applied")
                # Titles find their height only once axes have their places.
                figure.draw_without_rendering()
                return
        except UserWarning:
            width, height = figure.get_size_inches()
            figure.set_size_inches(1.4 * width, 1.4 * height)


def save_figure(figure: Figure, path: str | Path, overwrite: bool = True) -> None:
    """Write a figure as PNG, PDF or SVG, told by the suffix; aside first, then renamed.

    Args:
        figure: Any figure.
        path: Ends in .png, .pdf or .svg.
        overwrite: Replace a file that is there.

    Raises:
        SemrsmError: The suffix is another, or the file cannot be written or replaced.

    Example:
        >>> save_figure(draw_heatmaps([Panel(rsm, "layer4")]), "layer4.pdf")  # doctest: +SKIP
    """
    path = Path(path)
    suffix = check_suffix(path)
    write_aside(path, render(figure, suffix), overwrite)


def cell_side(shape: tuple[int, ...], panels: int = 1) -> int:
    """Return how many rows and columns of a matrix are drawn as one, so that not too many are left.

    >>> cell_side((2000, 3)), cell_side((50_000, 50_000)), cell_side((2000, 2000), panels=4)
    (1, 25, 4)
    """
    return 1 + (max(shape) - 1) // (CELLS if panels == 1 else CELLS_IN_GRID)


def show_matrix(
    axes: Axes,
    matrix: NDArray[np.floating],
    scale: Scale,
    shape: tuple[int, ...] | None = None,
    side: int | None = None,
) -> AxesImage:
    """Draw a matrix (n, m) as an image on a scale; a very large one by its means over square blocks.

    Entries that are not finite are left grey.

    Args:
        axes: Where to draw.
        matrix: The matrix, or its means.
        scale: Colours.
        shape: (n, m) of the matrix where only its means are given.
        side: Rows and columns of a block; None is as `cell_side` has it.
    """
    rows, columns = shape or matrix.shape
    image = axes.imshow(
        matrix if shape else block_means(matrix, side or cell_side(matrix.shape)),
        cmap=scale.colours,
        vmin=scale.low,
        vmax=scale.high,
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
    )
    axes.set_facecolor("0.85")
    axes.spines[:].set_visible(True)
    return image


def block_means(matrix: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Return the means over blocks of side x side entries; those at the far edges may be smaller.

    >>> block_means(np.arange(9.0).reshape(3, 3), 2).tolist()
    [[2.0, 3.5], [6.5, 8.0]]
    """
    if side == 1:
        return matrix
    for axis in (0, 1):
        starts = np.arange(0, matrix.shape[axis], side)
        sizes = np.diff(starts, append=matrix.shape[axis])
        matrix = np.add.reduceat(matrix, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return matrix
