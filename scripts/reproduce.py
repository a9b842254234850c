"""Run experiments from run files and print their tables: `python scripts/reproduce.py [RUN.toml ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_table, progress, say
from semrsm.cli.process import ends_well, run_process
from semrsm.experiments.run import EXPERIMENTS, run_experiments

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "experiments"


def main(
    run_files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN.toml]...", help="Run files. (default: those of configs/experiments)"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder to write to.", metavar="DIR")
    ] = Path("semrsm-reproduce"),
) -> None:
    """Run the paper's experiments; tables go to stdout, CSV files and pictures to a folder."""
    chosen = run_files or [CONFIGS / f"{name}.toml" for name in EXPERIMENTS]
    files = []
    with progress() as on_progress:
        outcomes = list(run_experiments(chosen, out, on_progress=on_progress))
    for outcome in outcomes:
        files += outcome.files
        for table in outcome.tables:
            print(f"\n# {table.title}")
            print_table(table.columns, table.rows)
    say(f"wrote {len(files)} tables and pictures to {out}/")


if __name__ == "__main__":
    run_process(lambda: typer.run(ends_well(main)))
