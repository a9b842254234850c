"""From an activation file and the options of a run to layers that the engine can read."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semrsm.compute.options import RunOptions
from semrsm.compute.sample_choice import Ids, choose_samples, refuse_beyond
from semrsm.engine.positions import Positions, positions_of, to_positions
from semrsm.errors import SemrsmError
from semrsm.sample_numbers import Taken, runs_of
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.layer import Layer
from semrsm.storage.layer_names import check_layer_name
from semrsm.storage.rsm_file import is_rsm_file
from semrsm.storage.sample_ids import read_sample_ids

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LayerInput:
    """A layer, which of its samples are meant, and how they are read as positions.

    Attributes:
        path: The file.
        layer: The array in it.
        positions: How it is read.
        samples: Which samples, counted in the file, ascending.
        note: What should be known of how they were chosen, or None.
    """

    path: Path
    layer: Layer
    positions: Positions
    samples: Sequence[int]
    note: str | None = None

    @property
    def taken(self) -> Taken:
        """Return which samples of the file are meant."""
        return Taken(self.samples, self.layer.n_samples)

    @property
    def address(self) -> str:
        """Return `path::layer`; an array in memory has no name."""
        return f"{self.path}::{self.layer.name}" if self.layer.name else str(self.path)

    @property
    def n_samples(self) -> int:
        """How many samples are meant."""
        return len(self.samples)

    @property
    def n_positions(self) -> int:
        """S, after pooling and skipping tokens."""
        return self.positions.count(self.layer.shape)

    @property
    def n_channels(self) -> int:
        """C."""
        return self.positions.channels(self.layer.shape)

    @property
    def bytes_as_read(self) -> int:
        """Size of one sample as it is read: float16 arrives as float32."""
        numbers = self.layer.n_bytes // self.layer.dtype.itemsize // self.layer.n_samples
        return numbers * max(4, self.layer.dtype.itemsize)

    @property
    def grid(self) -> tuple[int, int] | None:
        """(height, width) of the plane that the positions lie on; None for tokens and volumes."""
        return self.positions.grid(self.layer.shape)

    @property
    def extent(self) -> tuple[int, ...] | None:
        """([depth,] height, width) of the positions; None for tokens."""
        return self.positions.extent(self.layer.shape)

    def read(self, rows: range, checked: bool = True) -> np.ndarray:
        """Return some of the samples as stored, (len(rows), ...), counted among those meant.

        `checked` refuses values that are not finite; what is known by its digest needs no check.
        """
        try:
            numbers = self.samples[rows.start : rows.stop]
            return _joined(
                (self.layer.read(run, checked) for run in runs_of(numbers)), len(numbers)
            )
        except SemrsmError as error:
            raise error.within(self.address) from error

    def spread(self, n: int) -> LayerInput:
        """Return the same layer with n of its samples, evenly spread."""
        step = max(1, self.n_samples // n)
        return replace(self, samples=self.samples[::step][:n])

    def vectors(self, rows: range) -> Tensor:
        """Return some of the samples as position vectors (len(rows), S, C)."""
        return self.as_vectors(self.read(rows))

    def as_vectors(self, block: np.ndarray) -> Tensor:
        """Return a block that `read` gave as position vectors (b, S, C)."""
        import torch

        return to_positions(torch.from_numpy(block), self.positions)


def _joined(parts: Iterator[np.ndarray], n: int) -> np.ndarray:
    """Return parts of n samples as one block, which takes memory once."""
    first = next(parts)
    if len(first) == n:
        return first
    block = np.empty((n, *first.shape[1:]), first.dtype)
    start = 0
    for part in itertools.chain((first,), parts):
        block[start : start + len(part)] = part
        start += len(part)
    return block


def open_maps(path: Path) -> ActivationFile:
    """Open an activation file; an RSM file is none, though it holds matrices of numbers."""
    file = open_activations(path)
    if is_rsm_file(path):
        file.close()
        raise SemrsmError(
            f"{path} is an RSM file, not activations; use it with semrsm compare, evaluate or plot"
        )
    return file


def layer_inputs(file: ActivationFile, layer: str | None, options: RunOptions) -> list[LayerInput]:
    """Return the layers that a run computes.

    Args:
        file: The open activation file.
        layer: The layer of an address `path::layer`, None where it names none.
        options: `layer`, `layout`, `skip_tokens`, `pool`, `samples`, `exclude`, `seed` and `bfloat16`
            are used.

    Raises:
        SemrsmError: A layer is missing, cannot be stored under its name or cannot be read as
            positions, the layers differ in their number of samples, or `samples` leaves none.
    """
    patterns = (layer, *options.layer) if layer else options.layer
    layers = file.select(patterns, options.bfloat16)
    for name in layers:
        try:
            check_layer_name(name)
        except SemrsmError as error:
            raise error.within(file.path) from error
    counts = {name: array.n_samples for name, array in layers.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise SemrsmError(
            f"{file.path}: the layers differ in their samples: {listed}; choose with `layer`"
        )
    ids = _ids_of(file)
    inputs = [layer_input(file.path, array, options, ids) for array in layers.values()]
    if options.against is None:
        refuse_beyond(options.exclude, inputs[0].layer.n_samples)
    return inputs


def _ids_of(file: ActivationFile) -> Ids:
    return functools.cache(functools.partial(read_sample_ids, file))


def layer_input(
    path: Path, layer: Layer, options: RunOptions, ids: Ids = lambda n: None
) -> LayerInput:
    """Return one layer as a run reads it.

    Args:
        path: The file.
        layer: The layer in it.
        options: As for `layer_inputs`.
        ids: Gives the ids of its samples, asked where samples are listed.

    Raises SemrsmError if it cannot be read as positions, or no sample is meant.
    """
    try:
        positions = positions_of(
            layer.shape, options.layout or layer.layout, options.skip_tokens, options.pool
        )
        n = layer.n_samples
        chosen = choose_samples(options.samples, options.exclude, options.seed, n, ids)
        return LayerInput(path, layer, positions, chosen.numbers, chosen.note)
    except SemrsmError as error:
        raise error.within(f"{path}::{layer.name}".removesuffix("::")) from error


def column_inputs(
    rows: list[LayerInput], file: ActivationFile, layer: str | None, options: RunOptions
) -> list[LayerInput]:
    """Return, for each row layer, the layer of the other file whose samples are the columns.

    A layer has its name in both files, unless the address of the other file names one or that file
    holds one array without a name (.npy).

    Raises SemrsmError if it is missing there, or its positions or channels differ.
    """
    if file.contents.unnamed:  # its one array has no name but the file's
        layer = next(iter(file.arrays))
    if layer and len(rows) > 1:
        names = ", ".join(row.layer.name for row in rows)
        raise SemrsmError(
            f"`against` names one layer, {layer}, for several: {names}; choose one with `layer`"
        )
    columns, ids = [], _ids_of(file)
    for row in rows:
        [array] = file.select((layer or row.layer.name,), options.bfloat16).values()
        column = layer_input(file.path, array, options, ids)
        refuse_beyond(options.exclude, max(row.layer.n_samples, array.n_samples))
        refuse_unequal(row, column)
        columns.append(column)
    return columns


def refuse_unequal(row: LayerInput, column: LayerInput) -> None:
    """Raise SemrsmError unless the maps of two layers have equal positions and channels."""
    for what, ours, theirs in (
        ("positions", row.n_positions, column.n_positions),
        ("channels", row.n_channels, column.n_channels),
    ):
        if ours != theirs:
            raise SemrsmError(
                f"{row.address} has {ours} {what} and {column.address} has {theirs};"
                " `against` needs maps of equal size"
                + (": `pool` both to one grid" if what == "positions" else "")
            )
