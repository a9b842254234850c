"""From run files to RSMs, tables and pictures in one folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from semrsm.api.compute import compute
from semrsm.compute.options import read_toml
from semrsm.compute.run import Progress
from semrsm.errors import SemrsmError
from semrsm.experiments.experiment import Cell, Cells, Experiment, Network, RunFile, Table, checked
from semrsm.experiments.page import make_page
from semrsm.experiments.predictions import PREDICTIONS
from semrsm.experiments.retrieval import RETRIEVAL
from semrsm.experiments.translation_sensitivity import TRANSLATION_SENSITIVITY
from semrsm.names import look_up
from semrsm.plot import save_figure
from semrsm.storage.tables import write_table
from semrsm.storage.whole_files import write_aside

EXPERIMENTS = {row.name: row for row in (TRANSLATION_SENSITIVITY, RETRIEVAL, PREDICTIONS)}


PAGE = "reproduce.md"


@dataclass(frozen=True)
class Outcome:
    """What an experiment found: its tables, and the CSV files and pictures that it wrote."""

    experiment: str
    tables: list[Table]
    files: list[Path]


def run_file_of(name: str) -> Path:
    """Return the run file of an experiment on the embedded example, or of one's own: `PATH.toml`.

    Raises SemrsmError if there is no such experiment.

    >>> run_file_of("retrieval").name, run_file_of("my.toml").name
    ('retrieval.toml', 'my.toml')
    """
    if name.endswith(".toml"):
        return Path(name)
    row = look_up(EXPERIMENTS, name, "experiment")
    return Path(str(files("semrsm.experiments").joinpath("run_files", f"{row.name}.toml")))


def read_experiment(path: Path) -> tuple[Experiment, RunFile]:
    """Read the run file of an experiment: TOML whose key `experiment` names a row of EXPERIMENTS.

    Raises SemrsmError if it is missing, no TOML, or a key is unknown, missing or does not fit.

    Example:
        >>> _, run_file = read_experiment(run_file_of("retrieval"))  # doctest: +SKIP
        >>> run_file.ks  # doctest: +SKIP
        (1, 3, 5)
    """
    values = read_toml(path)
    try:
        name = str(values.pop("experiment", "(none)"))
        experiment = look_up(EXPERIMENTS, name, "experiment")
        return experiment, checked(experiment.run_file, values, "key")
    except SemrsmError as error:
        raise error.within(path) from None


def run_experiments(
    run_files: Sequence[Path],
    folder: Path,
    *,
    on_progress: Progress = lambda layer, pairs, of: None,
) -> Iterator[Outcome]:
    """Run experiments on RSMs that they share; files of an earlier run in the folder are replaced.

    First every run file is read and every RSM computed, one file `NETWORK.MATCHER.rsm.h5` for each
    network and matcher that any run file names. Then, for each experiment, its values are written in
    long form to `EXPERIMENT.csv`, each table to a CSV, each picture to a PNG and its run file to
    `EXPERIMENT.toml`. At last `reproduce.md` holds all tables on one page.

    Args:
        run_files: See `read_experiment`.
        folder: Where to write; made if it is missing.
        on_progress: Called with (layer, pairs done, pairs in all).

    Yields:
        An Outcome for each run file, in order.

    Raises:
        SemrsmError: A run file is not as it must be, an input is missing or does not fit, or two run
            files read a network of one name in two ways.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> files = [run_file_of("retrieval")]
        >>> for outcome in run_experiments(files, Path("out")):  # doctest: +SKIP
        ...     print(outcome.experiment, len(outcome.tables))
    """
    read = [read_experiment(path) for path in run_files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SemrsmError(
            f"the folder {folder} cannot be made ({error.strerror}); choose another `out`"
        ) from error
    for (network, matcher), job in _jobs([run_file for _, run_file in read]).items():
        compute(
            job.activations,
            rsm_path(folder, network, matcher),
            on_progress=on_progress,
            command="semrsm.experiments.run.run_experiments",
            layer=job.network.layers,
            skip_tokens=job.network.skip_tokens,
            matcher=matcher,
            kernel=job.kernels,
            overwrite=True,
        )
    done = []
    for (experiment, run_file), path in zip(read, run_files, strict=True):
        copy = folder / f"{experiment.name}.toml"
        write_aside(copy, path.read_bytes())
        outcome = _outcome(experiment, run_file, folder)
        done.append((experiment, run_file, outcome.tables))
        yield dataclasses.replace(outcome, files=[*outcome.files, copy])
    write_aside(folder / PAGE, make_page(done).encode())


def rsm_path(folder: Path, network: str, matcher: str) -> Path:
    """Return the RSM file of a network and matcher."""
    return folder / f"{network}.{matcher}.rsm.h5"


@dataclass(frozen=True)
class _Job:
    """One RSM file to compute."""

    activations: str
    network: Network
    kernels: tuple[str, ...]


def _jobs(run_files: Sequence[RunFile]) -> dict[tuple[str, str], _Job]:
    """Return what to compute by (network, matcher), with the kernels of all run files together."""
    jobs: dict[tuple[str, str], _Job] = {}
    for run_file in run_files:
        for name, network in run_file.networks.items():
            for matcher in run_file.matchers:
                known = jobs.get((name, matcher), _Job(run_file.activations, network, ()))
                if (known.activations, known.network) != (run_file.activations, network):
                    raise SemrsmError(
                        f"two run files read the network {name} in two ways; give one of the two"
                        " another name, or run them into two folders"
                    )
                kernels = tuple(dict.fromkeys((*known.kernels, *run_file.kernels)))
                jobs[name, matcher] = _Job(run_file.activations, network, kernels)
    return jobs


def _outcome(experiment: Experiment, run_file: RunFile, folder: Path) -> Outcome:
    cells = _evaluated(experiment, run_file, folder)
    records = [record for evaluation in cells.values() for record in evaluation.records()]
    columns = ("rsm", "layer", "matcher", "kernel", "metric", "value")
    rows = [tuple(record[column] for column in columns) for record in records]
    tables = experiment.tables(run_file, cells)
    written = [
        _write(folder, table) for table in (Table(experiment.name, "", columns, rows), *tables)
    ]
    for name, figure in experiment.pictures(run_file, cells):
        written.append(folder / f"{experiment.name}.{name}.png")
        save_figure(figure, written[-1])
    return Outcome(experiment.name, tables, written)


def _evaluated(experiment: Experiment, run_file: RunFile, folder: Path) -> Cells:
    cells = {}
    for network in run_file.networks:
        rsms = [rsm_path(folder, network, matcher) for matcher in run_file.matchers]
        for evaluation in experiment.evaluate(run_file, network, rsms):
            about: dict[str, Any] = {
                name: evaluation.about[name] for name in ("layer", "matcher", "kernel")
            }
            cells[Cell(network, **about)] = evaluation.without_details()
    return cells


def _write(folder: Path, table: Table) -> Path:
    out = folder / f"{table.name}.csv"
    write_table(out, table.columns, table.rows)
    return out
