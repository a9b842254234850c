"""`semrsm compute`: activation file -> RSM file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from semrsm.cli.console import (
    bytes_for_people,
    print_json,
    print_table,
    say,
    seconds_for_people,
)
from semrsm.cli.flags import chosen_options, takes_options
from semrsm.cli.progress import progress
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compute.estimate import Estimate, estimate
from semrsm.compute.executors import n_processes
from semrsm.compute.options import FIELDS, RunOptions, options_of, read_run_file
from semrsm.compute.plan import notes_of, open_plan
from semrsm.compute.run import Listener, compute_with
from semrsm.compute.run_report import LayerReport
from semrsm.storage.whole_files import refuse_inputs


@takes_options(*FIELDS)
def compute(
    activations: Annotated[
        str,
        typer.Argument(
            metavar="ACTIVATIONS",
            help="Read this activation file or folder; path::layer names a layer or a glob.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write this RSM file.", metavar="OUT.rsm.h5")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN.toml", help="Read options from this run file; flags win over its keys."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what would be done and, from a probe, how long it takes."
        ),
    ] = False,
    untrusted: Untrusted = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    **options: Any,
) -> None:
    """Compute RSMs of saved activations and write them with a record of how they were made.

    A run that was stopped goes on when the same command is given again; `semrsm status OUT` says
    how far it is.

    Example: semrsm compute dump.h5 -o dump.rsm.h5 -l 'layer*' -m optimal -k cosine -k rbf
    """
    if out is not None:
        refuse_inputs(out, [config] if config else [])
    run = options_of((read_run_file(config) if config else {}) | chosen_options(options))
    read_first(untrusted, activations, run.against)
    if dry_run:
        _dry_run(activations, run, json)
        return
    if out is None:
        raise typer.BadParameter("name the file to write: -o OUT.rsm.h5", param_hint="-o")
    with progress() as on_progress:
        command = shlex.join(["semrsm", *sys.argv[1:]])
        report = compute_with(activations, out, run, Listener(on_progress, say), command)
    if json:
        print_json(report.as_json())
    elif report.layers:
        print_reports(report.layers)
    if run.shard is not None:
        part, parts = run.shard
        finish = ["semrsm", "finish", str(out), *([run.run_folder] if run.run_folder else [])]
        say(f"part {part} of {parts} is done; when all are: {shlex.join(finish)}")
    elif report.layers and not json:
        say(f"wrote {out}")


def print_reports(reports: list[LayerReport]) -> None:
    """Print a table of layers, and what their certificates say."""
    print_table(list(reports[0].as_row()), [list(r.as_row().values()) for r in reports])
    for report in reports:
        if gap := report.certificate:
            parts = ", ".join(f"{name} {value:.2g}" for name, value in gap.items())
            say(f"{report.layer}: no matching raises a cosine by more than: {parts}")


def _dry_run(activations: str, options: RunOptions, json: bool) -> None:
    with open_plan(activations, options, n_processes(options)) as plan:
        for note in notes_of(plan):
            say(note)
        estimates = [estimate(layer, options) for layer in plan.layers.values()]
    rows = [e.as_json() for e in estimates]
    if json:
        print_json({"layers": rows})
        return
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    say(_in_words(estimates, options))


def _in_words(estimates: list[Estimate], options: RunOptions) -> str:
    needed = bytes_for_people(max(e.bytes_needed for e in estimates))
    read, written, tiles = (
        bytes_for_people(sum(getattr(e, name) for e in estimates))
        for name in ("bytes_read", "bytes_written", "run_folder_bytes")
    )
    seconds = seconds_for_people(sum(e.seconds for e in estimates))
    processes = n_processes(options)
    how = f" in {processes} processes" if processes > 1 else ""
    each = " each" if processes > 1 else ""
    if options.shard:
        part = seconds_for_people(sum(e.seconds_per_part or e.seconds for e in estimates))
        how += f" on one machine, {part} for each of {options.shard[1]} shards"
    return (
        f"about {seconds}{how}, {needed} of memory{each}, {read} to read, {written} on disk and"
        f" {tiles} of tiles until then; nothing was written"
    )
