"""A command of semrsm in a process of its own: what it printed, what it took, and a row that says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from benchmark_cases import ROOT, Case
from benchmark_rows import append_row

CHANNELS = 64


@dataclass(frozen=True)
class Run:
    """One run of a command: what it took, and its table; None where it was refused."""

    seconds: float
    processor_seconds: float
    peak_gib: float
    table: str | None


def run_command(arguments: Sequence[object]) -> Run:
    """Run `semrsm ARGUMENTS`, start of Python included."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", "from semrsm.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    table = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    processor_seconds = usage.ru_utime + usage.ru_stime
    return Run(seconds, processor_seconds, usage.ru_maxrss / 2**20, None if status else table)


def measure(arguments: Sequence[object], repeats: int, n: int, what: str) -> None:
    """Run a command so often, print its table and what it took, and append a row; none if it is refused."""
    runs = [run_command(arguments) for _ in range(repeats)]
    if runs[0].table is None:
        return
    print(runs[0].table, end="")
    seconds = [run.seconds for run in runs]
    busy, peak = min(run.processor_seconds for run in runs), max(run.peak_gib for run in runs)
    case = Case(f"n={n}", n, 1, repeats)
    append_row(
        case,
        f"{what}, median {np.median(seconds):.1f} s",
        f"peak {peak:.2f} GiB, processor {busy:.0f} s",
        [case.pairs / s for s in seconds],
        positions=1,
        channels=CHANNELS,
    )
    load = os.getloadavg()[0]
    print(
        f"{what}: median {np.median(seconds):.1f} s, of the processor {busy:.1f} s, peak {peak:.2f} GiB,"
        f" load {load:.1f}",
        flush=True,
    )


def in_a_process(write: Callable[..., None], *arguments: object) -> None:
    """Make files in a process of its own: a child's peak is never less than what its parent holds."""
    writer = get_context("spawn").Process(target=write, args=arguments)
    writer.start()
    writer.join()
    if writer.exitcode:
        sys.exit("the files could not be made")
