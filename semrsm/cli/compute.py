"""`semrsm compute`: activation file -> RSM file."""

from __future__ import annotations

import shlex
import sys
from dataclasses import astuple, fields
from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import (
    bytes_for_people,
    print_json,
    print_table,
    progress,
    say,
    seconds_for_people,
)
from semrsm.compute.options import RunOptions, help_of, options_of, read_run_file
from semrsm.compute.plan import Estimate, estimate, open_plans
from semrsm.compute.run import Listener, compute_with
from semrsm.compute.run_report import LayerReport


def compute(
    activations: Annotated[
        str,
        typer.Argument(
            metavar="ACTIVATIONS",
            help="Activation file (HDF5, .npz, .npy), or path::layer.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="RSM file to write.", metavar="OUT.rsm.h5")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option("-l", "--layer", help=help_of("layer"))] = None,
    kernel: Annotated[
        list[str] | None, typer.Option("-k", "--kernel", help=help_of("kernel"))
    ] = None,
    matcher: Annotated[str | None, typer.Option("-m", "--matcher", help=help_of("matcher"))] = None,
    topk: Annotated[int | None, typer.Option(help=help_of("topk"))] = None,
    window: Annotated[int | None, typer.Option(help=help_of("window"))] = None,
    epsilon: Annotated[float | None, typer.Option(help=help_of("epsilon"))] = None,
    group: Annotated[int | None, typer.Option(help=help_of("group"))] = None,
    sigma: Annotated[str | None, typer.Option(help=help_of("sigma"))] = None,
    layout: Annotated[str | None, typer.Option(help=help_of("layout"))] = None,
    skip_tokens: Annotated[int | None, typer.Option(help=help_of("skip_tokens"))] = None,
    pool: Annotated[str | None, typer.Option(help=help_of("pool"), metavar="HxW")] = None,
    samples: Annotated[
        str | None, typer.Option(help=help_of("samples"), metavar="START:STOP[:STEP]")
    ] = None,
    against: Annotated[str | None, typer.Option(help=help_of("against"), metavar="FILE")] = None,
    device: Annotated[str | None, typer.Option(help=help_of("device"))] = None,
    threads: Annotated[int | None, typer.Option(help=help_of("threads"))] = None,
    memory: Annotated[str | None, typer.Option(help=help_of("memory"), metavar="SIZE")] = None,
    dtype: Annotated[str | None, typer.Option(help=help_of("dtype"))] = None,
    precision: Annotated[str | None, typer.Option(help=help_of("precision"))] = None,
    certify: Annotated[bool, typer.Option("--certify", help=help_of("certify"))] = False,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help=help_of("bfloat16"))] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="Run file with these options as keys; flags win.", metavar="RUN.toml"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=help_of("overwrite"))] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be done and, from a probe, how long it takes."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compute RSMs of saved activations and write them with a record of how they were made.

    Example: semrsm compute dump.h5 -o dump.rsm.h5 -l 'layer*' -m optimal -k cosine -k rbf
    """
    flags = {
        "layer": layer or None,
        "kernel": kernel or None,
        "matcher": matcher,
        "topk": topk,
        "window": window,
        "epsilon": epsilon,
        "group": group,
        "sigma": sigma,
        "layout": layout,
        "skip_tokens": skip_tokens,
        "pool": pool,
        "samples": samples,
        "against": against,
        "device": device,
        "threads": threads,
        "memory": memory,
        "dtype": dtype,
        "precision": precision,
        "certify": certify or None,
        "bfloat16": bfloat16 or None,
        "overwrite": overwrite or None,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    options = options_of((read_run_file(config) if config else {}) | given)
    if dry_run:
        _dry_run(activations, options, json)
        return
    if out is None:
        raise typer.BadParameter("name the file to write: -o OUT.rsm.h5", param_hint="-o")
    with progress() as on_progress:
        command = shlex.join(["semrsm", *sys.argv[1:]])
        report = compute_with(activations, out, options, Listener(on_progress, say), command)
    if json:
        print_json(report.as_json())
        return
    columns = [f.name for f in fields(LayerReport) if f.name != "certificate"]
    print_table(columns, [[getattr(layer, c) for c in columns] for layer in report.layers])
    for layer_report in report.layers:
        if gap := layer_report.certificate:
            parts = ", ".join(f"{name} {value:.2g}" for name, value in gap.items())
            say(f"{layer_report.layer}: no matching raises a cosine by more than: {parts}")
    say(f"wrote {out}")


def _dry_run(activations: str, options: RunOptions, json: bool) -> None:
    with open_plans(activations, options) as (_, _, plans):
        estimates = [estimate(plan, len(options.kernel)) for plan in plans]
    if json:
        print_json({"layers": [e.as_json() for e in estimates]})
        return
    print_table([f.name for f in fields(Estimate)], [astuple(e) for e in estimates])
    seconds = seconds_for_people(sum(e.seconds for e in estimates))
    needed = bytes_for_people(max(e.bytes_needed for e in estimates))
    written = bytes_for_people(sum(e.bytes_written for e in estimates))
    say(f"about {seconds}, {needed} of memory, {written} on disk; nothing was written")
