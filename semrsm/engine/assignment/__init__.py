"""Exact assignment: the solvers behind the matcher `optimal`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from semrsm.engine.assignment.laprust_jv import solve_with_laprust
from semrsm.engine.assignment.scipy_lsa import solve_with_scipy


@dataclass(frozen=True)
class Solver:
    """An implementation of exact assignment.

    Attributes:
        name: What it is called.
        summary: One line for help texts.
        device: "cpu" or "cuda": where the affinities must be.
        available: Says whether what it needs is installed.
        solve: (P, S, S) affinities -> (P, S) int64 permutations that maximise their sum.
        reference: Where it comes from.
    """

    name: str
    summary: str
    device: str
    available: Callable[[], bool]
    solve: Callable[[Tensor], Tensor]
    reference: str


# The first that is available on the device is taken.
SOLVERS: dict[str, Solver] = {
    s.name: s
    for s in (
        Solver(
            name="laprust",
            summary="Jonker-Volgenant in Rust; extra `fast`",
            device="cpu",
            available=lambda: importlib.util.find_spec("laprust") is not None,
            solve=solve_with_laprust,
            reference="Jonker & Volgenant 1987, doi:10.1007/BF02278710",
        ),
        Solver(
            name="scipy",
            summary="shortest augmenting paths of SciPy: the readable reference",
            device="cpu",
            available=lambda: True,
            solve=solve_with_scipy,
            reference="Crouse 2016, doi:10.1109/TAES.2016.140952",
        ),
    )
}


def choose_solver(device: str) -> Solver:
    """Return the fastest solver that is installed for a device type, "cpu" or "cuda"."""
    fitting = [s for s in SOLVERS.values() if s.device == device and s.available()]
    return fitting[0] if fitting else SOLVERS["scipy"]
