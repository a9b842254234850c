"""Flags of intervals and paired differences, the same in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from semrsm.measures.intervals import INTERVALS

Clusters = Annotated[
    str | None,
    typer.Option(
        metavar="FILE::name",
        help="Samples with one label here, such as views of one thing, are resampled together.",
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(min=0, help="How many resamples of the samples for 95 % intervals, such as 1000."),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RSM",
        help="Also print the differences to this RSM, or to its layers of the same names.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the resamples.")]
Interval = Annotated[
    str | None,
    typer.Option(
        help=f"Kind of 95 % interval: {', '.join(INTERVALS)} (docs/intervals.md). There are 1000 resamples"
        " unless --bootstrap says how many. (default: corrected)",
        show_default=False,
    ),
]
