"""Which sample stands where in a picture: its number or its id at the ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semrsm.plot.figures.grids import text_inches
from semrsm.plot.figures.short_names import shorten, shorten_ids

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS_PER_NAME = 8.5  # of names below each other, of 7 points
SOME = 5  # ticks where not every sample can have one
AIR = 0.05  # inches between numbers beside each other


@dataclass(frozen=True)
class Ticks:
    """The ticks of one axis.

    Attributes:
        places: Where: rows, or columns, of the picture.
        texts: The numbers or ids of the samples that stand there.
        turned: The texts do not fit beside each other, and stand upright below a horizontal axis.
        left_out: What all ids begin or end with, where that is left out of the texts: "*.png".
        named: What stands there instead of samples: "label".
    """

    places: Sequence[float]
    texts: list[str]
    turned: bool
    left_out: str = ""
    named: str = ""

    def label(self, what: str) -> str:
        """Say what stands at the axis, and what is left out of all ids.

        >>> Ticks([0], ["a"], False, "*.png").label("sample")
        'sample (*.png)'
        """
        what = self.named or what
        return f"{what} ({shorten(self.left_out)})" if self.left_out else what

    @property
    def inches(self) -> float:
        """How wide the texts are."""
        return text_inches(self.texts)

    def write_across(self, axes: Axes) -> None:
        """Write the ticks below."""
        axes.set_xticks(self.places, self.texts, rotation=90 if self.turned else 0)
        if self.named:
            axes.tick_params(axis="x", length=0)

    def write_down(self, axes: Axes) -> None:
        """Write the ticks at the left."""
        axes.set_yticks(self.places, self.texts)
        if self.named:
            axes.tick_params(axis="y", length=0)


def names_fit(n: int, inches: float) -> bool:
    """Say whether n names below each other fit a length in inches."""
    return n * POINTS_PER_NAME <= inches * 72


def sample_ticks(
    order: NDArray[np.integer],
    names: Sequence[str] | None,
    inches: float,
    letters: int = 20,
) -> Ticks:
    """Return the ticks of an axis of samples: each says which sample stands there.

    All samples have one where they fit, else a few, evenly spread.

    Args:
        order: (n,) the number of the sample at each place.
        names: (n,) ids by sample; None writes numbers.
        inches: Length of the axis.
        letters: Of an id, at most.

    Example:
        >>> sample_ticks(np.array([30, 10, 20]), None, 2.0).texts
        ['30', '10', '20']
        >>> ticks = sample_ticks(np.arange(100)[::-1], None, 2.0)
        >>> (ticks.places, ticks.texts)
        ([0, 20, 40, 60, 80], ['99', '79', '59', '39', '19'])
    """
    n = len(order)
    counted = names is None and bool((np.diff(order) == 1).all())
    every = names_fit(n, inches) and not (counted and n > SOME)
    places = list(range(n)) if every else _spread(n)
    numbers = [int(order[place]) for place in places]
    left_out = ""
    if names is None:
        texts = [str(number) for number in numbers]
    else:
        short, left_out = shorten_ids([str(name) for name in names], letters)
        texts = [short[number] for number in numbers]
    steps = np.diff(places) if len(places) > 1 else np.array([n])
    turned = text_inches(texts) + AIR > inches * float(steps.min()) / n
    return Ticks(places, texts, turned, left_out)


def _spread(n: int) -> list[int]:
    """Return a few of n places: 0 and multiples of a round number.

    >>> _spread(8), _spread(80)
    ([0, 2, 4, 6], [0, 20, 40, 60])
    """
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(SOME, integer=True).tick_values(0, max(n - 1, 1))
    return [int(tick) for tick in ticks if 0 <= tick < n]
