"""What a run will do: layers, tiles, memory and, from a measured probe, time; nothing is written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.compute.layers import LayerInput, column_inputs, layer_inputs
from semrsm.compute.options import RunOptions
from semrsm.engine.kernels import KERNELS, refuse_unmatched
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError
from semrsm.machine import cores, default_memory
from semrsm.names import look_up
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import is_rsm_file

if TYPE_CHECKING:  # torch takes two seconds to load; nothing here needs it before layers are read
    from semrsm.engine.matchers import Matcher
    from semrsm.engine.pairs import Work
    from semrsm.engine.tiles import Plan


@dataclass(frozen=True)
class LayerPlan:
    """What a run would do for one layer.

    Attributes:
        rows: The layer whose samples are the rows.
        columns: The layer whose samples are the columns; the same one in a symmetric RSM.
        work: How pairs are matched.
        plan: The tiles.
    """

    rows: LayerInput
    columns: LayerInput
    work: Work
    plan: Plan

    @property
    def symmetric(self) -> bool:
        """Rows and columns are the same samples."""
        return self.plan.symmetric

    @property
    def solver(self) -> str | None:
        """Name of the solver; None for a matcher that solves no assignment problem."""
        return self.work.settings.solver if self.work.matcher.solves else None

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that the matcher reads, by name, besides the solver."""
        return {name: getattr(self.work.settings, name) for name in self.work.matcher.parameters}


@contextlib.contextmanager
def open_plans(
    activations: str | Path, options: RunOptions
) -> Iterator[tuple[ActivationFile, ActivationFile | None, list[LayerPlan]]]:
    """Open the files of a run and plan every layer; nothing is computed or written.

    Yields the activation file, the file of `against` or None, and the plans.
    """
    path, layer = address_of(activations)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open_maps(path))
        rows = layer_inputs(file, layer, options)
        other, columns = None, rows
        if options.against is not None:
            other_path, other_layer = address_of(options.against)
            other = stack.enter_context(_open_maps(other_path))
            columns = column_inputs(rows, other, other_layer, options)
        yield file, other, [plan_layer(r, c, options) for r, c in zip(rows, columns, strict=True)]


def _open_maps(path: Path) -> ActivationFile:
    """Open an activation file; an RSM file is none, though it holds matrices of numbers."""
    file = open_activations(path)
    if file.format == "hdf5" and is_rsm_file(path):
        file.close()
        raise SemrsmError(
            f"{path} is an RSM file, not activations; use it with semrsm compare, evaluate or plot"
        )
    return file


def plan_layer(rows: LayerInput, columns: LayerInput, options: RunOptions) -> LayerPlan:
    """Plan the tiles of one layer; rows and columns are one object in a symmetric RSM.

    Raises SemrsmError if not even one pair at a time fits into memory, and as `work_of` does.
    """
    from semrsm.engine.devices import free_memory
    from semrsm.engine.tiles import plan_tiles

    work = work_of(options, rows)
    if work.matcher.needs_grid:
        refuse_without_grid(work.matcher, rows, columns)
    memory = min(options.memory or default_memory(), free_memory(work.device))
    inputs = (rows,) if rows is columns else (rows, columns)
    loaded = sum(i.layer.n_bytes for i in inputs if i.layer.loaded_whole)
    try:
        if loaded >= memory:
            raise SemrsmError(
                f"a compressed .npz is loaded whole, here {loaded / 2**20:.1f} MiB, and --memory grants"
                f" {memory / 2**20:.1f} MiB; raise --memory or save it as HDF5 or uncompressed"
            )
        plan = plan_tiles(
            rows.n_samples,
            columns.n_samples,
            symmetric=rows is columns,
            sample_bytes=work.sample_bytes(rows.n_positions, rows.n_channels),
            # Twice: as the file gives it, and as position vectors.
            reading_bytes=2 * max(rows.bytes_as_read, columns.bytes_as_read),
            pair_bytes=work.pair_bytes(rows.n_positions, rows.n_channels),
            threads=work.threads,
            memory=memory - loaded,
            largest_chunk=work.largest_chunk,
            largest_work=work.largest_work,
        )
    except SemrsmError as error:
        raise error.within(rows.address) from error
    return LayerPlan(rows, columns, work, replace(plan, bytes_needed=plan.bytes_needed + loaded))


def work_of(options: RunOptions, layer: LayerInput) -> Work:
    """Return how the options of a run have the pairs of a layer matched.

    Raises SemrsmError for a matcher that there is not, a kernel that it does not serve, an option
    that it does not take, or a device that is not there.
    """
    import torch

    from semrsm.engine.assignment import choose_solver
    from semrsm.engine.devices import find_device
    from semrsm.engine.matchers import MATCHERS
    from semrsm.engine.pairs import Work

    matcher = look_up(MATCHERS, options.matcher, "matcher")
    for name in options.kernel:
        refuse_unmatched(KERNELS[name], matcher.permutation, matcher.name)
    if options.certify and matcher.value == "at least the optimum":
        raise SemrsmError(
            f"the matcher {matcher.name} is itself an upper bound; use --certify with another --matcher"
        )
    device = find_device(options.device)
    threads = options.threads or cores()
    return Work(
        matcher=matcher,
        settings=Settings(
            solver=choose_solver(device.type).name, **parameters_of(options, matcher)
        ),
        device=device,
        dtype=getattr(torch, options.dtype),
        threads=threads if matcher.in_threads and device.type == "cpu" else 1,
        grid=layer.grid,
        certify=options.certify,
        precision=options.precision,
    )


def refuse_without_grid(matcher: Matcher, rows: LayerInput, columns: LayerInput) -> None:
    """Raise SemrsmError unless both layers have their positions on a grid, the same one."""
    for layer in (rows, columns):
        if layer.grid is None:
            raise SemrsmError(
                f"{layer.address}: the matcher {matcher.name} needs a grid of positions and layout"
                f" '{layer.positions.layout}' has none; use another --matcher or a map (n,c,h,w)"
            )
    if rows.grid != columns.grid:
        raise SemrsmError(
            f"{rows.address} has the grid {rows.grid} and {columns.address} {columns.grid}, but the"
            f" matcher {matcher.name} needs equal ones; --pool both to one grid"
        )


def parameters_of(options: RunOptions, matcher: Matcher) -> dict[str, Any]:
    """Return the parameters of a matcher that the options of a run give, by name.

    Raises SemrsmError for one that the matcher does not take.
    """
    given = {
        f.name: getattr(options, f.name)
        for f in fields(Settings)
        if getattr(options, f.name, None) is not None
    }
    for name in given:
        if name not in matcher.parameters:
            takes = ", ".join(f"--{parameter}" for parameter in matcher.parameters)
            raise SemrsmError(
                f"the matcher {matcher.name} takes {takes or 'no parameter'}, not --{name};"
                " leave it out or use another --matcher"
            )
    return given


@dataclass(frozen=True)
class Estimate:
    """What `semrsm compute --dry-run` says of a layer; `seconds` is estimated from a probe."""

    layer: str
    n_samples: int
    n_columns: int
    n_positions: int
    n_channels: int
    pairs: int
    tiles: int
    bytes_needed: int
    bytes_written: int
    pairs_per_second: float
    seconds: float
    matcher: str
    solver: str | None
    device: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


PROBE_SECONDS = 0.5  # a probe shorter than this is repeated with more samples
PROBE_SAMPLES = (2, 4, 9, 24, 64)


def estimate(plan: LayerPlan, kernels: int) -> Estimate:
    """Match a few evenly spread samples and estimate what the whole layer takes.

    Args:
        plan: The layer and its tiles.
        kernels: How many kernels will be stored.
    """
    from semrsm.engine.devices import describe

    rate = _probe(plan)
    n, m = plan.rows.n_samples, plan.columns.n_samples
    return Estimate(
        layer=plan.rows.layer.name,
        n_samples=n,
        n_columns=m,
        n_positions=plan.rows.n_positions,
        n_channels=plan.rows.n_channels,
        pairs=plan.plan.n_pairs,
        tiles=plan.plan.n_tiles,
        bytes_needed=plan.plan.bytes_needed,
        bytes_written=n * m * (8 + 4 * kernels),
        pairs_per_second=rate,
        seconds=plan.plan.n_pairs / rate,
        matcher=plan.work.matcher.name,
        solver=plan.solver,
        device=describe(plan.work.device),
    )


def _probe(plan: LayerPlan) -> float:
    """Return pairs per second, measured on evenly spread samples, reading them included."""
    from semrsm.engine.pairs import matched_tiles
    from semrsm.engine.tiles import Plan

    rate = 0.0
    for size in PROBE_SAMPLES:
        a, b = (
            min(size, n, plan.plan.block) for n in (plan.rows.n_samples, plan.columns.n_samples)
        )
        probe = Plan(a, b, plan.symmetric, max(a, b), plan.plan.chunk, 0)
        began = time.perf_counter()
        for _ in matched_tiles(
            plan.rows.spread(a).vectors, plan.columns.spread(b).vectors, probe, plan.work
        ):
            pass
        seconds = time.perf_counter() - began
        rate = max(probe.n_pairs, 1) / seconds
        if seconds > PROBE_SECONDS or size >= max(plan.rows.n_samples, plan.columns.n_samples):
            break
    return rate
