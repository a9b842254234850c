"""`semrsm demo`: the main job on the embedded example."""

from __future__ import annotations

from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Annotated

import typer

from semrsm.cli.console import print_json, print_table, say
from semrsm.cli.progress import progress


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Write to this folder.", metavar="DIR")
    ] = Path("semrsm-demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in the folder.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute identity and optimal RSMs of the embedded digits and show what the matching changes.

    Each digit stands at two random places. The table compares the similarity of these pairs with
    that of all others; the pictures show one layer of each network.

    Example: semrsm demo -o /tmp/demo
    """
    from semrsm.experiments.demo import DemoRow, run_demo

    with progress() as on_progress:
        results = run_demo(out, overwrite=overwrite, on_progress=on_progress)
    if json:
        print_json(
            {
                "rows": [asdict(row) for row in results.rows],
                "files": [str(f) for f in results.files],
            }
        )
        return
    print_table([field.name for field in fields(DemoRow)], [astuple(row) for row in results.rows])
    say(f"wrote {', '.join(str(file) for file in results.files)}")
    pictures = [str(file) for file in results.files if file.suffix == ".png"]
    say(f"open {' and '.join(pictures)} to see what matching changes")
