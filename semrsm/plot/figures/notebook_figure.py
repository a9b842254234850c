"""The figure that every picture is drawn on: matplotlib's, which notebooks show without pyplot.

This module imports matplotlib, so it is imported where a figure is made.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from semrsm.errors import SemrsmError

DPI = 110  # of a picture in a notebook; a file has canvas.DPI


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows when a cell ends with it, or when `show` is called."""

    def show(self, warn: bool = True) -> None:
        """Show the figure in the notebook.

        Args:
            warn: As matplotlib has it; not used.

        Raises:
            SemrsmError: This is no notebook.
        """
        try:
            from IPython import get_ipython
            from IPython.display import Image, display
        except ImportError:
            get_ipython = None
        if get_ipython is None or get_ipython() is None:
            raise SemrsmError(
                "there is no notebook to show a figure in; save it with figure.savefig('figure.png')"
            )
        display(Image(self._repr_png_()))

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows."""
        from semrsm.plot.figures.canvas import render

        return render(self, ".png", DPI)
