"""`semrsm reproduce`: the paper's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.progress import progress


def reproduce(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|RUN.toml]...",
            help="Run translation_sensitivity, retrieval, predictions, or these run files. (default: all"
            " three)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Write to this folder.", metavar="DIR")
    ] = Path("semrsm-reproduce"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the paper's experiments on the embedded example, or on your data by run files.

    Tables go to stdout. The folder gets them as CSV and on one page, reproduce.md, with the pictures,
    the RSM files and the run files; copy a run file for your own data. Files of an earlier run in the
    folder are replaced.

    Example: semrsm reproduce retrieval -o /tmp/reproduce
    """
    from semrsm.experiments.run import EXPERIMENTS, PAGE, run_experiments, run_file_of

    run_files = [run_file_of(one) for one in name or EXPERIMENTS]
    with progress() as on_progress:
        outcomes = list(run_experiments(run_files, out, on_progress=on_progress))
    if json:
        print_json(
            [
                {"name": t.name, "title": t.title, "columns": t.columns, "rows": t.rows}
                for outcome in outcomes
                for t in outcome.tables
            ]
        )
    else:
        for table in (table for outcome in outcomes for table in outcome.tables):
            print(f"\n# {table.title}")
            print_table(table.columns, table.rows)
    n_files = sum(len(outcome.files) for outcome in outcomes)
    say(f"wrote {out / PAGE} and {n_files} tables, pictures and run files to {out}/")
