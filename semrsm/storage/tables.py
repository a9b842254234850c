"""Tables that commands write beside what they print: CSV with a header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from semrsm.storage.whole_files import write_aside


def write_table(
    out: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], overwrite: bool = True
) -> None:
    """Write a table as CSV, whole or not at all; None is an empty cell, numbers have all their digits.

    Raises SemrsmError if the file exists and `overwrite` is not set, or cannot be written.

    Example:
        >>> write_table(Path("out.csv"), ("layer", "map"), [("layer4", 0.5)])  # doctest: +SKIP
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((columns, *rows))
    write_aside(out, text.getvalue().encode("utf-8", "backslashreplace"), overwrite)
