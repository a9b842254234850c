"""What a picture is asked for: options, and the RSMs, labels and views that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.machine import default_memory
from semrsm.plot.figures.curves import file_name
from semrsm.plot.figures.heatmaps import Panel
from semrsm.plot.inputs import read_column
from semrsm.rsms import Rsm, open_rsms
from semrsm.same_samples import check_same_samples

RSM_KINDS: Mapping[str | None, str] = {"identity": "spatio-semantic", "optimal": "semantic"}


@dataclass(frozen=True)
class PlotOptions:
    """What a user asks of a picture; None where nothing is said.

    Attributes:
        kernel: A key of KERNELS; None takes the first that a file stores.
        layers: Globs.
        labels: Address of a label for each sample.
        views: Address of which thing each sample is a view of.
        order: A key of ORDERS; None is by label where there are labels, else as given.
        images: Address of the images.
        queries: Samples to retrieve images for.
        k: How many images to retrieve for each; None is 5.
        title: Above the figure.
        by_position: Row i of all RSMs and tables is of sample i, whatever ids and records say.
    """

    kernel: str | None = None
    layers: tuple[str, ...] | None = None
    labels: str | None = None
    views: str | None = None
    order: str | None = None
    images: str | None = None
    queries: tuple[int, ...] | None = None
    k: int | None = None
    title: str | None = None
    by_position: bool | None = None

    def given(self) -> list[str]:
        """Return the names of the options that say something."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]


@dataclass(frozen=True)
class PlotInputs:
    """What a kind of picture draws from.

    Attributes:
        options: What was asked.
        rsms: The RSMs; none where the picture is of a table.
        records: The rows of the tables.
        labels: (n,) of the samples, or None.
        views: (n,) of the samples, or None.
        memory: Bytes that may be taken.
        notes: What should be known of the samples.
    """

    options: PlotOptions
    rsms: list[Rsm] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    labels: NDArray[np.generic] | None = None
    views: NDArray[np.generic] | None = None
    memory: int = field(default_factory=default_memory)
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return the title asked for, or none."""
        return self.options.title or ""

    @cached_property
    def panels(self) -> list[Panel]:
        """Return the RSMs as panels, read whole."""
        return [
            Panel(rsm.values(), name, quantity_of(rsm), rsm.kernel == "linear")
            for rsm, name in zip(self.rsms, names_of(self.rsms), strict=True)
        ]


def names_of(rsms: Sequence[Rsm]) -> list[str]:
    """Return what each RSM is called: layer and matching, and the file where those do not suffice."""
    short = [
        ", ".join([r.layer or file_name(r.path), *([kind_of(r)] if r.matcher else [])])
        for r in rsms
    ]
    if len(set(short)) == len(short):
        return short
    return [f"{file_name(rsm.path)}: {name}" for rsm, name in zip(rsms, short, strict=True)]


def kind_of(rsm: Rsm) -> str:
    """Return "semantic", "spatio-semantic", or the name of another matcher with "matching"."""
    return RSM_KINDS.get(rsm.matcher, f"{rsm.matcher} matching") if rsm.matcher else "similarity"


def quantity_of(rsm: Rsm) -> str:
    """Return what the entries of an RSM are: kernel and matcher."""
    if rsm.kernel is None:
        return "similarity"
    return f"{rsm.kernel} similarity, {rsm.matcher} matching"


def read_inputs(
    addresses: Sequence[str], options: PlotOptions, memory: int | None = None
) -> PlotInputs:
    """Open the RSMs, and read labels and views; raise SemrsmError if they do not fit together."""
    rsms = [
        rsm
        for address in addresses
        for rsm in open_rsms(address, layers=options.layers or (), kernel=options.kernel)
    ]
    for rsm in rsms:
        if rsm.shape != rsms[0].shape:
            raise SemrsmError(
                f"{rsms[0].address} is {rsms[0].shape[0]} x {rsms[0].shape[1]} and {rsm.address}"
                f" {rsm.shape[0]} x {rsm.shape[1]}; draw RSMs of the same samples together"
            )
    by_position = bool(options.by_position)
    note = check_same_samples(rsms, "draw them one by one", by_position=by_position)
    labels, views = (
        None if address is None else read_column(address, rsms[0], what, by_position)
        for address, what in ((options.labels, "labels"), (options.views, "views"))
    )
    granted = memory or default_memory()
    notes = [note] if note else []
    notes += [
        f"{rsm.address} is a matrix of {rsm.shape[0]} x {rsm.shape[1]}: taken for an RSM of queries x gallery"
        for rsm in rsms
        if rsm.matcher is None and not rsm.symmetric
    ]
    return PlotInputs(options, rsms, labels=labels, views=views, memory=granted, notes=tuple(notes))
