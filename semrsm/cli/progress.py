"""How far a run is: a bar in a terminal, a line now and then in a log, both on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from semrsm.cli.console import printable, say, seconds_for_people

LOG_SECONDS = 30.0  # between two lines where there is no terminal


class LineProgress:
    """Progress for logs: a plain line on stderr every 30 s."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = say,
        unit: str = "pairs",
    ):
        self._clock, self._write, self._unit = clock, write, unit
        self._layer: str | None = None
        self._began = self._last_line = 0.0
        self._first = 0

    def __call__(self, layer: str, pairs: int, of: int) -> None:
        """Take note that so many pairs of a layer are done."""
        now = self._clock()
        if layer != self._layer or pairs == self._first:
            self._layer, self._began, self._first = layer, now, pairs
            self._last_line = now
        elif now - self._last_line >= LOG_SECONDS:
            self._last_line = now
            rate = (pairs - self._first) / (now - self._began)
            left = seconds_for_people((of - pairs) / rate)
            unit = self._unit
            self._write(f"{layer}: {pairs} of {of} {unit}, {rate:.4g} {unit}/s, {left} left")


class BarProgress:
    """Progress for a terminal: a bar for each layer with pairs per second and the time left."""

    def __init__(self, progress: Progress, unit: str = "pairs") -> None:
        self._progress = progress
        self._unit = unit
        self._tasks: dict[str, Any] = {}
        self._began: dict[str, tuple[float, int]] = {}

    def __call__(self, layer: str, pairs: int, of: int) -> None:
        """Take note that so many pairs of a layer are done; some may have been before this run."""
        if layer not in self._tasks:
            self._tasks[layer] = self._progress.add_task(printable(layer), total=of, rate="")
        began, first = self._began.setdefault(layer, (time.monotonic(), pairs))
        if pairs == first:
            self._began[layer] = time.monotonic(), first
        rate = (pairs - first) / max(time.monotonic() - began, 1e-9)
        self._progress.update(
            self._tasks[layer], completed=pairs, rate=f"{rate:.4g} {self._unit}/s"
        )


@contextlib.contextmanager
def progress(unit: str = "pairs") -> Iterator[Callable[[str, int, int], None]]:
    """Show how far a run is: call what this gives with (layer, pairs done, pairs in all)."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield LineProgress(unit=unit)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield BarProgress(bars, unit)
