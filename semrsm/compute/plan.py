"""What a run will do with each layer: matcher, device, tiles and memory; nothing is computed or written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semrsm.compute.conventions import against_record, hints_of
from semrsm.compute.grid import Grid, edge_for
from semrsm.compute.layers import LayerInput, column_inputs, layer_inputs, open_maps
from semrsm.compute.options import RunOptions
from semrsm.engine.kernels import KERNELS, refuse_no_pairs, refuse_unmatched
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError
from semrsm.machine import cores, default_memory, require_memory
from semrsm.names import look_up
from semrsm.storage.activations import ActivationFile
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import LayerInfo
from semrsm.storage.sample_ids import near_miss

if TYPE_CHECKING:  # torch takes two seconds to load; nothing here needs it before layers are read
    from semrsm.engine.assignment import Solver
    from semrsm.engine.matchers import Matcher
    from semrsm.engine.pairs import Work
    from semrsm.engine.tiles import Budget


@dataclass(frozen=True)
class LayerPlan:
    """What a run would do for one layer.

    Attributes:
        rows: The layer whose samples are the rows.
        columns: The layer whose samples are the columns; the same object in a symmetric RSM.
        work: How pairs are matched.
        grid: The tiles.
        budget: How much of them is in work at once, in one process.
    """

    rows: LayerInput
    columns: LayerInput
    work: Work
    grid: Grid
    budget: Budget

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.rows.layer.name

    @property
    def symmetric(self) -> bool:
        """Rows and columns are the same samples."""
        return self.grid.symmetric

    @property
    def shape(self) -> tuple[int, int]:
        """(row samples, column samples)."""
        return self.grid.n_rows, self.grid.n_columns

    @property
    def solver(self) -> str | None:
        """Name of the solver; None for a matcher that solves no assignment problem."""
        return self.work.settings.solver if self.work.matcher.solves else None

    @property
    def pair_seconds(self) -> float:
        """About what a pair takes one core; what takes hardly anything counts a little."""
        return max(1e-9, self.work.matcher.pair_seconds(self.rows.n_positions))

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings that the matcher reads, by name, besides the solver."""
        return {name: getattr(self.work.settings, name) for name in self.work.matcher.parameters}

    @property
    def info(self) -> LayerInfo:
        """What is known of the layer, as RSM files and tables say it."""
        return LayerInfo(
            name=self.name,
            matcher=self.work.matcher.name,
            layout=self.rows.positions.layout,
            n_positions=self.rows.n_positions,
            n_channels=self.rows.n_channels,
            n_samples=self.rows.n_samples,
            n_columns=self.columns.n_samples,
            storage_mode="symmetric" if self.symmetric else "rectangular",
        )


@dataclass(frozen=True)
class RunPlan:
    """The open files of a run and what it does with each layer.

    Attributes:
        file: The activation file.
        other: The file of `against`, or None.
        layers: A plan for each layer, by name, in order.
    """

    file: ActivationFile
    other: ActivationFile | None
    layers: dict[str, LayerPlan]


@contextlib.contextmanager
def open_plan(
    activations: str | Path, options: RunOptions, processes: int = 1
) -> Iterator[RunPlan]:
    """Open the files of a run and plan every layer; nothing is computed or written.

    Args:
        activations: Activation file, or `path::layer`.
        options: The options of the run.
        processes: How many share the cores and the memory of this machine.
    """
    path, layer = address_of(activations)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_maps(path))
        rows = layer_inputs(file, layer, options)
        other, columns = None, rows
        if options.against is not None:
            other_path, other_layer = address_of(options.against)
            other = stack.enter_context(open_maps(other_path))
            columns = column_inputs(rows, other, other_layer, options)
        plans = [plan_layer(r, c, options, processes) for r, c in zip(rows, columns, strict=True)]
        yield RunPlan(file, other, {plan.name: plan for plan in plans})


def notes_of(plan: RunPlan) -> list[str]:
    """Return what should be known of the input of a run: what was guessed, which samples were chosen."""
    first = next(iter(plan.layers.values()))
    files = filter(None, (plan.file, plan.other))
    notes: list[str | None] = [
        f"{file.path}: {note}" for file in files for note in file.contents.notes
    ]
    rows = [layer.rows for layer in plan.layers.values()]
    notes += hints_of((row.layer.name, row.layer.shape, row.positions) for row in rows)
    layouts = [(row.layer.name, row.layer.layout, row.positions.layout) for row in rows]
    notes.append(against_record(layouts))
    notes.append(f"{first.rows.path}: {first.rows.note}" if first.rows.note else None)
    if not first.symmetric and first.columns.note:
        notes.append(f"{first.columns.path}: {first.columns.note}")
    of_layers = {side.path: side.layer.note for side in (first.rows, first.columns)}
    notes += [f"{path}: {note}" for path, note in of_layers.items() if note]
    notes.append(near_miss(plan.file, first.rows.layer.n_samples))
    return [note for note in notes if note]


def plan_layer(
    rows: LayerInput, columns: LayerInput, options: RunOptions, processes: int = 1
) -> LayerPlan:
    """Plan the tiles of one layer; rows and columns are one object in a symmetric RSM.

    Raises SemrsmError if not even one pair at a time fits into memory, and as `work_of` does.
    """
    from semrsm.engine.tiles import LayerSize

    work = work_of(options, rows, processes)
    memory = (options.memory or default_memory()) // processes
    inputs = (rows,) if rows is columns else (rows, columns)
    loaded = sum(i.layer.loaded_bytes for i in inputs)
    n = rows.n_samples, columns.n_samples
    grid = Grid(*n, rows is columns, edge_for(max(n), rows.n_positions, work.matcher))
    try:
        _refuse_what_cannot_be(rows, columns, work, options)
        what = "a compressed array, which is loaded whole,"
        require_memory(what, loaded + bool(loaded), memory, "save it as HDF5 or uncompressed")
        size = LayerSize(
            edge=grid.edge,
            n_rows=rows.n_samples,
            n_columns=columns.n_samples,
            symmetric=grid.symmetric,
            n_positions=rows.n_positions,
            n_channels=rows.n_channels,
            # Twice: as the file gives it, and as position vectors.
            reading_bytes=2 * max(rows.bytes_as_read, columns.bytes_as_read),
        )
        budget = work.device.backend.plan(work, size, memory - loaded)
    except SemrsmError as error:
        raise error.within(rows.address) from error
    budget = replace(budget, bytes_needed=budget.bytes_needed + loaded)
    return LayerPlan(rows, columns, work, grid, budget)


def _refuse_what_cannot_be(
    rows: LayerInput, columns: LayerInput, work: Work, options: RunOptions
) -> None:
    """Raise SemrsmError for what would otherwise be found out after hours of matching."""
    if work.matcher.needs_plane:
        refuse_without_grid(work.matcher, rows, columns)
    for name in options.kernel:
        refuse_no_pairs(KERNELS[name], options.sigma, range(rows.n_samples), rows is columns)


def work_of(options: RunOptions, layer: LayerInput, processes: int = 1) -> Work:
    """Return how the options of a run have the pairs of a layer matched.

    Raises SemrsmError for a matcher that there is not, a kernel that it does not serve, an option
    that it does not take, a device that is not there, or more positions than its solver takes.
    """
    import torch

    from semrsm.engine.assignment import choose_solver
    from semrsm.engine.devices import devices_of, find_device
    from semrsm.engine.matchers import MATCHERS
    from semrsm.engine.pairs import Work

    matcher = look_up(MATCHERS, options.matcher, "matcher")
    for name in options.kernel:
        refuse_unmatched(KERNELS[name], matcher.permutation, matcher.name)
    if options.certify and matcher.value == "at least the optimum":
        raise SemrsmError(
            f"the matcher {matcher.name} is itself an upper bound; use `certify` with another `matcher`"
        )
    device = find_device(devices_of(options.device)[0])
    settings = Settings(**parameters_of(options, matcher))
    problem = matcher.problem(layer.n_positions, settings)
    solver = choose_solver(device.kind, problem)
    if matcher.solves:
        _refuse_too_large(solver, problem)
    return Work(
        matcher=matcher,
        settings=replace(settings, solver=solver.name),
        device=device,
        dtype=getattr(torch, options.dtype),
        threads=options.threads or max(1, cores() // processes),
        grid=layer.grid,
        certify=options.certify,
        precision=options.precision,
    )


def _refuse_too_large(solver: Solver, n_positions: int) -> None:
    if solver.most_positions is not None and n_positions > solver.most_positions:
        raise SemrsmError(
            f"the solver {solver.name} takes at most {solver.most_positions} positions, here it would be"
            f" given {n_positions}; `pool` the maps or use `device='cpu'`"
        )


def refuse_without_grid(matcher: Matcher, rows: LayerInput, columns: LayerInput) -> None:
    """Raise SemrsmError unless both layers have their positions on a grid, the same one."""
    for layer in (rows, columns):
        if layer.grid is None:
            raise SemrsmError(
                f"{layer.address}: the matcher {matcher.name} needs a grid of positions in a plane and"
                f" layout '{layer.positions.layout}' has none; use another `matcher` or a map (n,c,h,w)"
            )
    if rows.grid != columns.grid:
        raise SemrsmError(
            f"{rows.address} has the grid {rows.grid} and {columns.address} {columns.grid}, but the"
            f" matcher {matcher.name} needs equal ones; `pool` both to one grid"
        )


def parameters_of(options: RunOptions, matcher: Matcher) -> dict[str, Any]:
    """Return the parameters of a matcher that the options of a run give, by name.

    Raises SemrsmError for one that the matcher does not take.
    """
    parameters = {
        f.name: getattr(options, f.name)
        for f in fields(Settings)
        if getattr(options, f.name, None) is not None
    }
    for name in parameters:
        if name not in matcher.parameters:
            takes = ", ".join(f"`{parameter}`" for parameter in matcher.parameters)
            raise SemrsmError(
                f"the matcher {matcher.name} takes {takes or 'no parameter'}, not `{name}`;"
                " leave it out or use another `matcher`"
            )
    return parameters
