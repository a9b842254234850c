"""`semrsm demo`: the main job on the embedded example."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder to write to.", metavar="DIR")
    ] = Path("semrsm-demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files there.")] = False,
) -> None:
    """Compute identity and optimal RSMs of the embedded digits and show what the matching changes.

    Example: semrsm demo -o /tmp/demo
    """
