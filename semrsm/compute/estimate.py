"""What a run would take: pairs, memory, bytes and, from a measured probe, time; nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from semrsm.compute.executors import n_processes
from semrsm.compute.grid import Grid
from semrsm.compute.options import RunOptions
from semrsm.compute.plan import LayerPlan
from semrsm.compute.scan import scan
from semrsm.compute.space import SCAN_BYTES, output_bytes, tile_bytes
from semrsm.engine.kernels import KERNELS
from semrsm.engine.tiles import Budget, Tile, power_of_two_up_to
from semrsm.storage.rsm_file import LayerInfo

PROBE_SECONDS = 0.5  # of matching that are timed, after a round that is not
LARGEST_PROBE = 512  # samples
FEW_SAMPLES = 64  # that are read to see how long that takes: more than stay in a processor's cache
FINISHED = 1 << 18  # entries that are finished to see how long that takes
DISK = 500e6  # bytes a second: a disk's share of finishing, which is not measured


@dataclass(frozen=True)
class Estimate:
    """What `semrsm compute --dry-run` says of a layer.

    Attributes:
        info: What is known of it.
        pairs: Pairs that are solved.
        tiles: Tiles that are matched.
        bytes_needed: Peak memory of one process.
        bytes_read: From the activation file, the scan included, by one process.
        bytes_written: The RSMs.
        run_folder_bytes: What the tiles take until the file is written.
        pairs_per_second: Measured on a few evenly spread samples, all processes of this machine.
        seconds: Estimated, of matching and finishing, all processes of this machine.
        seconds_per_part: The same for one of the shards, without finishing.
        solver: Name of the solver; None for a matcher that solves nothing.
        device: "cpu" or the GPU's model.
    """

    info: LayerInfo
    pairs: int
    tiles: int
    bytes_needed: int
    bytes_read: int
    bytes_written: int
    run_folder_bytes: int
    pairs_per_second: float
    seconds: float
    seconds_per_part: float | None
    solver: str | None
    device: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values, by the columns of the table."""
        names = ("layer", "n_samples", "n_columns", "n_positions", "n_channels")
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "info"}
        return self.info.facts(*names) | values | self.info.facts("matcher")


def estimate(plan: LayerPlan, options: RunOptions) -> Estimate:
    """Match a few evenly spread samples and estimate what the whole layer takes.

    Args:
        plan: The layer, its tiles and the budget of one process.
        options: The options of the run.
    """
    processes, parts = n_processes(options), options.shard[1] if options.shard else 1
    rate, ready = _probe(plan)
    n, m = plan.shape
    n_tiles, loads = len(plan.grid.tiles), _samples_read(plan.grid, plan.budget)
    scanned = n if plan.symmetric else n + m
    bytes_written = output_bytes(plan.shape, options.kernel, plan.work.certify)
    # Samples are made ready while pairs are matched, on the same cores; only the first are waited for.
    first = min(loads, plan.budget.piece)
    lanes = plan.budget.lanes or plan.work.threads
    waited = (first + (loads - first) / lanes) * ready
    matching = (plan.grid.n_pairs / rate + waited) / processes
    scanning = scanned * _scan_seconds(plan)
    finishing = _finishing_seconds(n * m, options) + 2 * bytes_written / DISK
    return Estimate(
        info=plan.info,
        pairs=plan.grid.n_pairs,
        tiles=n_tiles,
        bytes_needed=plan.budget.bytes_needed,
        bytes_read=(scanned + loads) * plan.rows.layer.n_bytes // plan.rows.layer.n_samples,
        bytes_written=bytes_written,
        run_folder_bytes=tile_bytes(plan.grid.tiles, plan.work.certify) + scanned * SCAN_BYTES,
        pairs_per_second=rate * processes,
        seconds=scanning + matching + finishing,
        seconds_per_part=scanning + matching / parts if parts > 1 else None,
        solver=plan.solver,
        device=plan.work.device.describe(),
    )


def _samples_read(grid: Grid, budget: Budget) -> int:
    """Return about how many samples are read to match all tiles; see `grid.reading_order`."""
    rows, columns = (-(-n // budget.piece) for n in (grid.n_rows, grid.n_columns))
    blocks = rows if grid.symmetric else rows + columns
    if budget.cached_blocks < blocks:
        groups = -(-rows // max(1, budget.cached_blocks - 2))
        blocks = rows + groups * columns // (2 if grid.symmetric else 1)
    return min(blocks * budget.piece, blocks * max(grid.n_rows, grid.n_columns))


def _probe(plan: LayerPlan) -> tuple[float, float]:
    """Return pairs per second of one process, and the seconds in which it makes a sample ready.

    More and more samples are matched until half a second's work was timed; every round is matched
    once before, so that nothing that happens once only is counted.
    """
    from semrsm.engine.tile_matcher import TileMatcher

    ready, parts = _ready_seconds(plan), plan.work.device.backend.parts
    rate = 0.0
    size = 2
    while True:
        tile = _probe_tile(plan, size)
        rows, columns = (
            plan.rows.spread(tile.shape[0]).vectors,
            plan.columns.spread(tile.shape[1]).vectors,
        )
        if plan.symmetric:
            columns = rows
        chunk = power_of_two_up_to(max(1, min(plan.budget.chunk, tile.n_pairs // parts)))
        budget = replace(plan.budget, piece=max(tile.shape), cached_blocks=2, chunk=chunk)
        with TileMatcher(rows, columns, plan.work, budget) as matcher:
            matcher.match(tile)
            rounds, began = 0, time.perf_counter()
            while not rounds or (
                _is_largest(plan, size) and time.perf_counter() - began < PROBE_SECONDS
            ):
                matcher.match(tile)
                rounds += 1
            seconds = time.perf_counter() - began
        rate = max(rounds * tile.n_pairs, 1) / seconds
        if seconds >= PROBE_SECONDS or _is_largest(plan, size):
            return rate, ready
        growth = min(4.0, max(1.5, (1.2 * PROBE_SECONDS / seconds) ** 0.5))
        size = max(size + 1, int(size * growth))


def _probe_tile(plan: LayerPlan, size: int) -> Tile:
    rows, columns = (min(n, size, plan.budget.piece, LARGEST_PROBE) for n in plan.shape)
    return Tile(range(rows), range(columns), plan.symmetric)


def _is_largest(plan: LayerPlan, size: int) -> bool:
    return _probe_tile(plan, size) == _probe_tile(plan, LARGEST_PROBE)


def _ready_seconds(plan: LayerPlan) -> float:
    """Return how long a sample takes to be read and made ready, measured on a few."""
    from semrsm.engine.blocks import ready
    from semrsm.engine.devices import one_thread

    few = min(plan.rows.n_samples, plan.budget.piece, FEW_SAMPLES)
    with one_thread():
        for _ in range(2):  # the first is not counted
            began = time.perf_counter()
            ready(plan.rows.spread(few).vectors, range(few), plan.work)
            seconds = time.perf_counter() - began
    return seconds / few


def _scan_seconds(plan: LayerPlan) -> float:
    """Return how long a sample takes to be scanned, measured on a few."""
    few = min(plan.rows.n_samples, FEW_SAMPLES)
    scan(plan.rows.spread(1), 1)  # opens what is opened once
    began = time.perf_counter()
    scan(plan.rows.spread(few), few)
    return (time.perf_counter() - began) / few


def _finishing_seconds(entries: int, options: RunOptions) -> float:
    """Return about how long the kernels of so many entries take."""
    some = min(entries, FINISHED)
    side = np.ones(int(some**0.5) or 1)
    block = np.outer(side, side)
    began = time.perf_counter()
    for name in options.kernel:
        KERNELS[name].finish(block, side, side, 1.0).astype(np.float32)
    return (time.perf_counter() - began) * entries / block.size
