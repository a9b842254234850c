"""What a backend is: the record of the table BACKENDS, one row for each kind of device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from semrsm.engine.blocks import Block, Source
    from semrsm.engine.pairs import MatchedPairs, Work
    from semrsm.engine.tiles import Budget, LayerSize, Tile


@dataclass(frozen=True)
class Backend:
    """A kind of device: what is in work at once there, how samples are made ready and pairs matched.

    Attributes:
        name: "cpu" or "cuda".
        summary: One line for help texts.
        count: How many devices of this kind are here and can be used.
        place: Number of a device -> where torch keeps its tensors.
        describe: Number of a device -> its name for people.
        precisions: A value of `precision` -> what torch calls it.
        plan: (work, layer, bytes granted on this machine) -> what is in work at once; raises
            SemrsmError if not even one pair at a time fits.
        chunks: (piece of a tile, work, budget) -> the pairs of the piece, (P, 2) int64 on the CPU each,
            counted from its corner, as they are matched at once.
        ready: (source, samples, work) -> samples read and made ready.
        match: (rows, columns, pairs (P, 2) int64 on the CPU, work) -> what was found.
        serves_workers: Several processes may share a device of this kind, as `--workers` has them.
        parts: In how many chunks a small tile is cut at least, so that the device is used as in a run.
    """

    name: str
    summary: str
    count: Callable[[], int]
    place: Callable[[int], torch.device]
    describe: Callable[[int], str]
    precisions: Mapping[str, str]
    plan: Callable[[Work, LayerSize, int], Budget]
    chunks: Callable[[Tile, Work, Budget], list[Tensor]]
    ready: Callable[[Source, range, Work], Block]
    match: Callable[[Block, Block, Tensor, Work], MatchedPairs]
    serves_workers: bool
    parts: int
