"""Flags of intervals and paired differences, the same in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from semrsm.cli.completion import names_of
from semrsm.measures.intervals import INTERVALS

Clusters = Annotated[
    str | None,
    typer.Option(
        metavar="FILE::name",
        help="Resample samples with one label here, such as views of one thing, together.",
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Print 95 % intervals from N resamples of the samples, such as 1000; where samples drawn"
        " twice would change a value, --interval jackknife has one.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RSM",
        help="Also print the differences to this RSM, or to its layers of the same names.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Draw the resamples with this seed.")]
Interval = Annotated[
    str | None,
    typer.Option(
        autocompletion=names_of(INTERVALS),
        metavar="KIND",
        help=f"Print 95 % intervals of this kind: {', '.join(INTERVALS)} (docs/intervals.md), from 1000"
        " resamples unless --bootstrap says how many. (default: corrected)",
        show_default=False,
    ),
]
