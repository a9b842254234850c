"""What is said of a run: a report for each layer, the gaps of certificates, versions."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.engine import native
from semrsm.engine.rounding import unsure_note
from semrsm.engine.selection import select
from semrsm.storage.rsm_file import LayerInfo


@dataclass(frozen=True)
class LayerReport:
    """What was done for one layer.

    Attributes:
        info: What is known of it.
        pairs: How many pairs its RSM holds.
        seconds: What matching took in this sitting; what the tiles say where nothing was left to match.
        pairs_per_second: Pairs matched over these seconds.
        solver: Name of the solver, or of several; None for a matcher that solves nothing.
        device: "cpu" or the GPU's model, or several.
        sigma: None unless the kernel rbf was computed.
        certificate: Largest, mean and 99th percentile gap; None unless certified.
        solved_again: Pairs that were matched again in float64: not proved optimal, or of maps so alike
            that their distance would have been rounding.
        handed_over: Problems, of pairs or of groups of their positions, that cost scaling gave up, so
            that augmenting paths solved them: many positions alike, exact all the same.
        in_float64: Kernels that float32 has no room for.
        unsure: Pairs whose rbf may be off by more than a thousandth.
        fast: Matchings were chosen on products of few digits.
    """

    info: LayerInfo
    pairs: int
    seconds: float
    pairs_per_second: float
    solver: str | None
    device: str
    sigma: float | None
    certificate: dict[str, float] | None = None
    solved_again: int = 0
    handed_over: int = 0
    in_float64: tuple[str, ...] = ()
    unsure: int = 0
    fast: bool = False

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return self.info.name

    @property
    def notes(self) -> list[str]:
        """What else should be known of the layer, a sentence each."""
        notes = []
        if self.fast:
            gap = (
                self.certificate
                and f"; no matching raises a cosine by more than {self.certificate['largest']:.2g}"
            )
            notes.append(
                "matchings were chosen on products in TF32 or bfloat16, so they may not be optimal; their"
                f" values are exact{gap or ', and `certify` would bound the optimum'}"
            )
        if self.solved_again:
            notes.append(
                f"pairs matched a second time in float64, so that their values are exact now:"
                f" {self.solved_again}; the first time in float32 could not prove them optimal, or their maps"
                " are so alike that their distance would have been rounding"
            )
        if self.handed_over:
            notes.append(
                f"matchings that the faster algorithm left to a slower one: {self.handed_over}; many of"
                " their positions are alike, and they are as exact as the others"
            )
        for kernel in self.in_float64:
            notes.append(f"{kernel} is stored in float64, as its values leave the range of float32")
        if self.unsure:
            notes.append(unsure_note(self.unsure))
        return [f"{self.layer}: {note}" for note in notes]

    def as_row(self) -> dict[str, Any]:
        """Return what a table shows, by column."""
        return {
            **self.info.facts("layer", "n_samples", "n_positions", "n_channels"),
            "pairs": self.pairs,
            "seconds": self.seconds,
            "pairs_per_second": self.pairs_per_second,
            **self.info.facts("matcher"),
            "solver": self.solver,
            "device": self.device,
            "sigma": self.sigma,
        }

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `certificate` is there only for a run that certifies."""
        more = {} if self.certificate is None else {"certificate": self.certificate}
        return self.as_row() | more


@dataclass(frozen=True)
class Report:
    """What a run wrote: the file and a report for each layer."""

    output: Path
    layers: list[LayerReport]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield a record for each layer, as `pandas.DataFrame` takes them."""
        return (layer.as_json() for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, as `semrsm compute --json` prints them."""
        return {"output": str(self.output), "layers": [layer.as_json() for layer in self.layers]}


def gap_summary(gaps: Callable[[], Iterable[NDArray[np.float64]]]) -> dict[str, float]:
    """Return the largest, mean and 99th percentile of the gaps between bound and m, over |x_i| |x_j|.

    A gap of 0.01 says that no matching could raise the cosine of that pair by more than 0.01.

    Args:
        gaps: Gives the gaps, float64 and at least 0, in blocks; called three times or four.

    >>> gap_summary(lambda: [np.array([0.0, 0.5]), np.array([1.0])])
    {'largest': 1.0, 'mean': 0.5, 'p99': 0.99}
    """
    count, total, largest = 0, 0.0, 0.0
    for block in gaps():
        count, total = count + block.size, total + float(block.sum())
        largest = max(largest, float(block.max(initial=0.0)))
    if not count:
        return {"largest": 0.0, "mean": 0.0, "p99": 0.0}
    place = 0.99 * (count - 1)  # between two ranks, as NumPy's quantiles
    low, high = select(gaps, lambda n: (int(place), min(int(place) + 1, n - 1)))
    p99 = low + (high - low) * (place - int(place))
    return {"largest": largest, "mean": total / count, "p99": p99}


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    by_package = {"python": platform.python_version()}
    for package in ("semrsm", "torch", "numpy", "scipy", "h5py", "laprust", "triton"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            by_package[package] = importlib.metadata.version(package)
    core = native.core()
    return by_package if core is None else by_package | {"native": core.target}
