"""`semrsm methods`: every matcher, kernel and solver; or the matchers tried on one's own data."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semrsm.cli.completion import complete_matchers
from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.flags import chosen_options, takes_options
from semrsm.cli.outputs import check_outputs
from semrsm.cli.progress import progress
from semrsm.cli.untrusted import Untrusted, read_first
from semrsm.compute.trial import Trial, as_csv, try_matchers
from semrsm.engine.kernels import KERNELS
from semrsm.engine.settings import Settings
from semrsm.plot.figures.canvas import check_suffix, save_figure
from semrsm.plot.figures.quality import draw_quality
from semrsm.storage.whole_files import write_aside

if TYPE_CHECKING:
    from semrsm.engine.matchers import Matcher


@takes_options("layer", "layout", "skip_tokens", "pool", "samples", "exclude")
def methods(
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            help="Try the matchers on this activation file, or path::layer.",
            metavar="ACTIVATIONS",
        ),
    ] = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--matcher",
            metavar="NAME",
            help="Try this matcher; may be repeated. (default: all)",
            autocompletion=complete_matchers,
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Try N random pairs of each layer. (default: 200)"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Draw pairs and samples with this seed. (default: 0)"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Stop a matcher after this time on a layer. (default: 60)"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Match on auto, cpu, cuda or cuda:N. (default: cpu)"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write the table here, too.", metavar="TABLE.csv"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw time against quality here.", metavar="FILE.png|.pdf|.svg"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace table and picture if they exist.")
    ] = False,
    untrusted: Untrusted = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **options: Any,
) -> None:
    """List every matcher, kernel, measure, evaluation and solver, or try the matchers on your data.

    With --on, every matcher matches the same random pairs, in chunks as large as those of semrsm
    compute, on one CPU thread or on --device. The optimum of the pairs is always found first.

    ms_median and ms_p90 are milliseconds for a pair, over the chunks; ms_prepare is for a sample, which
    is made ready once, and is not in them; reading is not timed. whole_seconds estimates the RSM of the
    layer on one thread from both; k cores take about a k-th. relative_mean and relative_worst are m
    divided by the optimal m. gap_mean is how much a cosine could still rise, as certified.

    Example: semrsm methods --json | jq '.[] | select(.kind == "matcher") | .name'

    Example: semrsm methods --on dump.h5 -l layer3 --pairs 200 --plot quality_vs_time.png
    """
    own = {"matcher": matcher, "pairs": pairs, "seed": seed, "seconds": seconds, "device": device}
    chosen_flags = chosen_options(own | options)
    if on is not None:
        if plot:
            check_suffix(plot)
        check_outputs((out, plot), (on,), overwrite)
        read_first(untrusted, on)
        _try(on, chosen_flags, out, plot, overwrite, json)
        return
    if chosen_flags or out or plot or untrusted:
        raise typer.BadParameter("name the activations to try the matchers on", param_hint="--on")
    rows = _rows()
    if json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _try(
    on: str,
    chosen_flags: dict[str, Any],
    out: Path | None,
    plot: Path | None,
    overwrite: bool,
    json: bool,
) -> None:
    with progress() as on_progress:
        trials = try_matchers(on, on_progress=on_progress, **chosen_flags)
    if json:
        print_json([trial.as_json() for trial in trials])
    else:
        print_table([f.name for f in fields(Trial)], [astuple(trial) for trial in trials])
    if out:
        write_aside(out, as_csv(trials), overwrite)
        say(f"wrote {out}")
    if plot:
        save_figure(draw_quality(trials), plot, overwrite)
        say(f"wrote {plot}")


def _rows() -> list[dict[str, Any]]:
    from semrsm.engine.assignment import SOLVERS
    from semrsm.engine.matchers import MATCHERS
    from semrsm.evaluate import EVALUATIONS
    from semrsm.measures import MEASURES

    rows = [
        _row("matcher", m.name, m.summary, "; ".join(facts_of(m)), m.reference)
        for m in MATCHERS.values()
    ]
    for k in KERNELS.values():
        rows.append(_row("kernel", k.name, k.summary, f"{k.formula}: {k.range}", k.reference))
    for measure in MEASURES.values():
        low, high = measure.range
        facts = f"{measure.direction}, {low:.4g} to {high:.4g}"
        source = f"{measure.reference}, doi:{measure.doi}"
        rows.append(_row("measure", measure.name, measure.summary, facts, source))
    for e in EVALUATIONS.values():
        facts = f"semrsm evaluate {e.name}: {', '.join(metric.name for metric in e.metrics)}"
        rows.append(_row("evaluation", e.name, e.summary, facts, f"{e.reference}, doi:{e.doi}"))
    for s in SOLVERS.values():
        installed = "installed" if s.available() else "not installed"
        rows.append(_row("solver", s.name, s.summary, f"{s.device}, {installed}", s.reference))
    return rows


def facts_of(matcher: Matcher) -> list[str]:
    """Return what is true of a matcher, in a few words each."""
    facts = [f"value {matcher.value}"]
    facts += [f"--{name} (default {getattr(Settings, name)})" for name in matcher.parameters]
    facts += ["the better of both directions"] * matcher.both_ways
    facts += ["no permutation: --kernel linear only"] * (not matcher.permutation)
    facts += ["needs a grid"] * matcher.needs_plane
    return facts


def _row(kind: str, name: str, summary: str, facts: str, reference: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "summary": summary, "facts": facts, "reference": reference}
