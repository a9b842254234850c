"""`semrsm methods`: every matcher, kernel, measure and solver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from semrsm.cli.console import print_json, print_table
from semrsm.engine.kernels import KERNELS
from semrsm.engine.settings import Settings

if TYPE_CHECKING:
    from semrsm.engine.matchers import Matcher


def methods(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every matcher, kernel, measure and solver with what is true of it.

    Example: semrsm methods --json | jq '.[] | select(.kind == "matcher") | .name'
    """
    rows = _rows()
    if json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _rows() -> list[dict[str, Any]]:
    from semrsm.engine.assignment import SOLVERS
    from semrsm.engine.matchers import MATCHERS
    from semrsm.measures import MEASURES

    rows = [
        _row("matcher", m.name, m.summary, "; ".join(_facts(m)), m.reference)
        for m in MATCHERS.values()
    ]
    for k in KERNELS.values():
        rows.append(_row("kernel", k.name, k.summary, f"{k.formula}: {k.range}", k.reference))
    for measure in MEASURES.values():
        low, high = measure.range
        facts = f"{measure.direction}, {low:.4g} to {high:.4g}"
        source = f"{measure.reference}, doi:{measure.doi}"
        rows.append(_row("measure", measure.name, measure.summary, facts, source))
    for s in SOLVERS.values():
        installed = "installed" if s.available() else "not installed"
        rows.append(_row("solver", s.name, s.summary, f"{s.device}, {installed}", s.reference))
    return rows


def _facts(matcher: Matcher) -> list[str]:
    """Return what is true of a matcher, in a few words each."""
    facts = [f"value {matcher.value}"]
    facts += [f"--{name} (default {getattr(Settings, name)})" for name in matcher.parameters]
    facts += ["no permutation"] * (not matcher.permutation)
    facts += ["needs a grid"] * matcher.needs_grid
    return facts


def _row(kind: str, name: str, summary: str, facts: str, reference: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "summary": summary, "facts": facts, "reference": reference}
