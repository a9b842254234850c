"""Exact assignment: the solvers behind the matcher `optimal`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from semrsm.engine.assignment import laprust_jv, scipy_lsa
from semrsm.engine.maps import Maps


@dataclass(frozen=True)
class Solver:
    """An implementation of exact assignment.

    Attributes:
        name: What it is called.
        summary: One line for help texts.
        device: "cpu" or "cuda": where it computes.
        available: Says whether what it needs is installed.
        solve: (P, S, S) affinities -> (P, S) int64 permutations that maximise their sum.
        minimise: (P, S, S) costs on the CPU -> (P, S) int64 permutations that minimise their sum.
        solve_products: (rows, columns, pairs (P, 2)) -> sums (P,) float64, permutations (P, S) and how
            many pairs were solved again in float64, for a solver that makes the products of the
            maps and its start itself; else None.
        reference: Where it comes from.
        most_positions: The largest problem it solves; None where memory is the only limit.
    """

    name: str
    summary: str
    device: str
    available: Callable[[], bool]
    solve: Callable[[Tensor], Tensor]
    minimise: Callable[[Tensor], Tensor]
    solve_products: Callable[[Maps, Maps, Tensor], tuple[Tensor, Tensor, int]] | None
    reference: str
    most_positions: int | None = None


def _installed(package: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(package) is not None


def _solve_with_triton(affinity: Tensor) -> Tensor:
    from semrsm.engine.assignment.triton_products import solve

    return solve(affinity)


def _solve_products_with_triton(
    rows: Maps, columns: Maps, pairs: Tensor
) -> tuple[Tensor, Tensor, int]:
    from semrsm.engine.assignment.triton_products import solve_products

    return solve_products(rows, columns, pairs)


# The first that is available on the device is taken. Triton is imported when it is used.
SOLVERS: dict[str, Solver] = {
    s.name: s
    for s in (
        Solver(
            name="laprust",
            summary="Jonker-Volgenant in Rust; extra `fast`",
            device="cpu",
            available=_installed("laprust"),
            solve=laprust_jv.solve,
            minimise=laprust_jv.minimise,
            solve_products=None,
            reference="Jonker & Volgenant 1987, doi:10.1007/BF02278710",
        ),
        Solver(
            name="scipy",
            summary="shortest augmenting paths of SciPy: the readable reference",
            device="cpu",
            available=lambda: True,
            solve=scipy_lsa.solve,
            minimise=scipy_lsa.minimise,
            solve_products=None,
            reference="Crouse 2016, doi:10.1109/TAES.2016.140952",
        ),
        Solver(
            name="triton",
            summary="Sinkhorn potentials, then shortest augmenting paths, one GPU program a pair",
            device="cuda",
            available=_installed("triton"),
            solve=_solve_with_triton,
            minimise=lambda costs: _solve_with_triton(-costs),
            solve_products=_solve_products_with_triton,
            reference="Jonker & Volgenant 1987, doi:10.1007/BF02278710",
            most_positions=4096,
        ),
    )
}


def choose_solver(device: str) -> Solver:
    """Return the fastest solver that is installed for a device type, "cpu" or "cuda"."""
    fitting = [s for s in SOLVERS.values() if s.device == device and s.available()]
    return fitting[0] if fitting else SOLVERS["scipy"]
