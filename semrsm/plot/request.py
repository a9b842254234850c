"""What a picture is asked for: options, and the RSMs, labels and views that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.machine import default_memory
from semrsm.plot.figures.heatmaps import Panel
from semrsm.plot.figures.records import file_name, matching
from semrsm.plot.figures.scales import Limits
from semrsm.plot.figures.short_names import shorten_all
from semrsm.plot.inputs import read_column
from semrsm.rsms import Rsm, open_rsms
from semrsm.same_samples import check_same_samples
from semrsm.storage.labels import AddressOrArray
from semrsm.storage.rsm_file import is_rsm_file, open_rsm

ROWS_AND_COLUMNS = ("row sample", "column sample")  # of a rectangular RSM, where no file says more


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
        queries: Numbers or ids of samples to retrieve images for.
        k: How many images to retrieve for each; None is 5.
        title: Above the figure.
        by_position: Row i of all RSMs and tables is of sample i, whatever ids and records say.
        vmin: Value of the first colour; None is found from the values.
        vmax: Value of the last colour; None is found from the values.
        own_scales: Each heat map has a colour scale of its own.
    """

    kernel: str | None = None
    layers: tuple[str, ...] | None = None
    labels: AddressOrArray | None = None
    views: AddressOrArray | None = None
    order: str | None = None
    images: AddressOrArray | None = None
    queries: tuple[int | str, ...] | None = None
    k: int | None = None
    title: str | None = None
    by_position: bool | None = None
    vmin: float | None = None
    vmax: float | None = None
    own_scales: bool | None = None

    def names_in_use(self) -> list[str]:
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
    def limits(self) -> Limits:
        """Return the ends of the colour scale that were asked for."""
        return self.options.vmin, self.options.vmax

    @cached_property
    def names(self) -> Names:
        """Return what the RSMs are called."""
        return names_of(self.rsms)

    @property
    def title(self) -> str:
        """Return the title of the figure: the one asked for, and what all RSMs have in common."""
        common = self.names.common if self.rsms else ""
        return "\n".join(filter(None, (self.options.title, common)))

    @cached_property
    def panels(self) -> list[Panel]:
        """Return the RSMs as panels, read whole."""
        return [self.panel(index, rsm.values()) for index, rsm in enumerate(self.rsms)]

    def panel(self, index: int, values: NDArray[np.floating], **means: Any) -> Panel:
        """Return one of the RSMs as a panel, or its means.

        Values of one kernel are compared. Those of the linear kernel have the size of the activations,
        so of these only the ones of one layer are.
        """
        rsm = self.rsms[index]
        unbounded = rsm.kernel in ("linear", None)
        compared = f"{rsm.kernel} {rsm.layer if unbounded else ''}"
        if self.options.own_scales:
            compared = str(index)
        quantity = f"{rsm.kernel} similarity" if rsm.kernel else "similarity"
        title = self.names.titles[index]
        group = f"{rsm.path}::{network_of(rsm)}"
        return Panel(values, title, quantity, rsm.kernel == "linear", compared, group, **means)


@dataclass(frozen=True)
class Names:
    """What some RSMs are called: file, layer, matcher and kernel, each said once.

    Attributes:
        common: What all of several RSMs have in common, for the title of their figure.
        titles: The rest, for each: the layer in the first line, all else in the second.
    """

    common: str
    titles: list[str]


def names_of(rsms: Sequence[Rsm]) -> Names:
    """Return what RSMs are called; files are named where there are several and nothing else names them.

    A single RSM has its layer, matcher and kernel in its own title; a matrix in memory has no name.
    """
    parts = [[rsm.layer or file_name(rsm.path), *_method_of(rsm)] for rsm in rsms]
    if len(rsms) == 1 and rsms[0].path.name == "RSM 1":
        parts[0][0] = ""
    alike = len({tuple(part) for part in parts}) < len(parts)
    if alike or not _tell_files_apart(rsms):
        files = [file_name(rsm.path) for rsm in rsms]
        parts = [
            [f"{file}: {rsm.layer}" if rsm.layer else file, *part[1:]]
            for file, rsm, part in zip(files, rsms, parts, strict=True)
        ]
    same = [len(values) == 1 and len(rsms) > 1 for values in map(set, zip(*parts, strict=True))]
    if all(same):
        same[0] = False
    common = ", ".join(part for part, of_all in zip(parts[0], same, strict=True) if of_all and part)
    titles = []
    for part in parts:
        own = [p for p, of_all in zip(part, same, strict=True) if p and not of_all]
        first, rest = "".join(own[:1]), own[1:]
        titles.append("\n".join(filter(None, (first, ", ".join(rest)))))
    return Names(common, titles)


def _tell_files_apart(rsms: Sequence[Rsm]) -> bool:
    """Say whether layers and matchers tell of which file an RSM is.

    They do where the same layers are matched in different ways, or the names of layers begin with a
    network ("resnet/layer1") that no other file has.
    """
    files: dict[Path, list[Rsm]] = {}
    for rsm in rsms:
        files.setdefault(rsm.path, []).append(rsm)
    for a, b in combinations(files.values(), 2):
        layers, methods, networks = (
            [{key(rsm) for rsm in of_file} for of_file in (a, b)]
            for key in (lambda rsm: rsm.layer, _method_of, network_of)
        )
        rematched = layers[0] & layers[1] and not methods[0] & methods[1]
        named = not networks[0] & networks[1] and "" not in networks[0] | networks[1]
        if not (rematched or named or None in layers[0] | layers[1]):
            return False
    return True


def network_of(rsm: Rsm) -> str:
    """Return the network that the name of a layer begins with: "resnet" of "resnet/layer1", else ""."""
    first, slash, _ = (rsm.layer or "").partition("/")
    return first if slash else ""


def _method_of(rsm: Rsm) -> tuple[str, str]:
    """Return matcher and kernel of an RSM in words; nothing of a plain matrix."""
    return kind_of(rsm), f"{rsm.kernel} kernel" if rsm.kernel else ""


def kind_of(rsm: Rsm) -> str:
    """Return what an RSM was matched by: "semantic (optimal)", "greedy matcher"; nothing of a matrix."""
    return matching(rsm.matcher) if rsm.matcher else ""


def sides_of(rsms: Sequence[Rsm]) -> tuple[str, str]:
    """Return what the rows and the columns of rectangular RSMs are: samples of which activation files."""
    sides = {_sides_of(path) for path in {rsm.path for rsm in rsms}}
    return sides.pop() if len(sides) == 1 else ROWS_AND_COLUMNS


def _sides_of(path: Path) -> tuple[str, str]:
    if not is_rsm_file(path):
        return ROWS_AND_COLUMNS
    with open_rsm(path) as file:
        used = [file.metadata.get(name) for name in ("activations", "against")]
    names = [Path(str(u["path"])).name if isinstance(u, dict) and "path" in u else "" for u in used]
    if not all(names) or names[0] == names[1]:
        return ROWS_AND_COLUMNS
    rows, columns = shorten_all(names, 32)
    return f"sample of {rows}", f"sample of {columns}"


def read_inputs(
    addresses: Sequence[str | Path | Rsm], options: PlotOptions, memory: int | None = None
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
