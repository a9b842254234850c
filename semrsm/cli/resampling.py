"""Flags of intervals and paired differences, the same in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from semrsm.cli.completion import names_of
from semrsm.measures.inference import USUAL_RESAMPLES, Inference
from semrsm.measures.intervals import INTERVALS
from semrsm.names import look_up

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
        help="Print 95 % intervals from N resamples of the samples, such as 1000.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RSM",
        help="Also print the differences to this RSM, or its layers of the same names.",
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


def inference_of(bootstrap: int, permutations: int, seed: int, interval: str | None) -> Inference:
    """Return what flags ask for; raises SemrsmError for an interval that there is not."""
    if interval is not None:
        look_up(INTERVALS, interval, "interval")
        bootstrap = bootstrap or USUAL_RESAMPLES
    return Inference(bootstrap, permutations, seed, interval or "corrected")
