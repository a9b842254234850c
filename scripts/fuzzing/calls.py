"""Calling a command in this process, and reading what it wrote."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import typer.main

import semrsm
from semrsm.cli import app
from semrsm.cli.console import say
from semrsm.engine.kernels import KERNELS
from semrsm.errors import SemrsmError

COMMAND = typer.main.get_command(app)  # made once: that takes longer than most cases
OUTPUTS = ("out.png", "out.html", "out.csv", "out.svg", "out.npy")


def call(arguments: Sequence[str]) -> int:
    """Run a command of semrsm, or `@read FILE LAYER`, and return the exit code that a shell would see."""
    try:
        if arguments[0] == "@read":
            _read(*arguments[1:])
            return 0
        sys.argv = ["semrsm", *arguments]
        COMMAND(prog_name="semrsm")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _read(address: str, layer: str) -> None:
    """Print digests of what `semrsm.read_rsm` gives, of every kernel."""
    try:
        for kernel in KERNELS:
            values, about = semrsm.read_rsm(address, layer, kernel)
            print(kernel, values.shape, _digest(values), about["sigma"], about["samples"])
    except SemrsmError as error:
        say(f"semrsm: {error}")
        raise SystemExit(1) from None


def values_of(folder: Path, stdout: bytes) -> str:
    """Return what a command that ended well gave, as one text: what it printed, or digests of its files.

    Raises ValueError if an RSM file holds a number that is not finite.
    """
    if (folder / "out.rsm.h5").is_file():
        return _of_rsm_file(folder / "out.rsm.h5")
    files = [folder / name for name in OUTPUTS if (folder / name).is_file()]
    digests = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return "\n".join([stdout.decode("utf-8", "replace"), *digests])


def _of_rsm_file(path: Path) -> str:
    lines: list[str] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            values = item[()]
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"{name} of {path.name} is not finite")
            content = _digest(values) if values.dtype.kind != "O" else str(values.tolist())
            lines.append(f"{name} {item.shape} {content} {item.attrs.get('sigma')}")

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return "\n".join(lines)


def _digest(values: np.ndarray) -> str:
    return f"{values.dtype} {hashlib.sha256(np.ascontiguousarray(values)).hexdigest()}"
