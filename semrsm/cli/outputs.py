"""Outputs of a command: none is one of its inputs, or written twice."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from semrsm.errors import SemrsmError
from semrsm.storage.address import address_of
from semrsm.storage.whole_files import check_output, refuse_inputs


def refuse_read(out: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse an output that is one of the inputs, by whatever name; raises SemrsmError."""
    refuse_inputs(out, [address_of(address)[0] for address in inputs if address is not None])


def check_outputs(
    outputs: Iterable[Path | None], inputs: Iterable[str | Path | None], overwrite: bool
) -> None:
    """Refuse outputs that must not or cannot be written, before anything is done.

    Args:
        outputs: What the command writes; None is none.
        inputs: Files, or addresses in them, that it reads; None is none.
        overwrite: Files that are there may be replaced.

    Raises:
        SemrsmError: One is an input, by whatever name, or named twice; or as `check_output`.
    """
    read = [address_of(address)[0] for address in inputs if address is not None]
    firsts: dict[str, Path] = {}
    for out in filter(None, outputs):
        refuse_inputs(out, read)
        check_output(out, overwrite)
        if (first := firsts.setdefault(os.path.realpath(out), out)) is not out:
            raise SemrsmError(f"{first} and {out} are one file; choose two names")
