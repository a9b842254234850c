"""Exact assignment: the solvers behind the matcher `optimal`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from torch import Tensor

from semrsm.engine.assignment import laprust_jv, native_core, scipy_lsa
from semrsm.engine.assignment.solver import PairSolver, Solved, Solver
from semrsm.engine.maps import Maps

__all__ = ["SOLVERS", "Solver", "choose_float64_solver", "choose_solver"]


def _installed(package: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(package) is not None


def _solve_with_triton(affinity: Tensor) -> Tensor:
    from semrsm.engine.assignment.triton_products import solve

    return solve(affinity)


def _match_with_triton(rows: Maps, columns: Maps, pairs: Tensor, bounded: bool) -> Solved:
    from semrsm.engine.assignment.triton_products import solve_products

    return solve_products(rows, columns, pairs, bounded)


JONKER_VOLGENANT = "Jonker & Volgenant 1987, doi:10.1007/BF02278710"

# The first that is available on the device is taken. Triton is imported when it is used.
SOLVERS: dict[str, Solver] = {
    s.name: s
    for s in (
        Solver(
            name="native",
            summary="Sinkhorn potentials, then augmenting paths or cost scaling, in C++",
            device="cpu",
            available=native_core.available,
            solve=native_core.solve,
            minimise=native_core.minimise,
            reference=f"{JONKER_VOLGENANT}; Bertsekas 1988, doi:10.1007/BF02186476",
            pairs=PairSolver(
                prepare=native_core.prepare,
                match=native_core.solve_products,
                prepared_bytes=native_core.prepared_bytes,
                workspace_bytes=native_core.workspace_bytes,
            ),
        ),
        Solver(
            name="laprust",
            summary="Jonker-Volgenant in Rust; extra `fast`",
            device="cpu",
            available=_installed("laprust"),
            solve=laprust_jv.solve,
            minimise=laprust_jv.minimise,
            reference=JONKER_VOLGENANT,
        ),
        Solver(
            name="scipy",
            summary="shortest augmenting paths of SciPy: the readable reference",
            device="cpu",
            available=lambda: True,
            solve=scipy_lsa.solve,
            minimise=scipy_lsa.minimise,
            reference="Crouse 2016, doi:10.1109/TAES.2016.140952",
        ),
        Solver(
            name="triton",
            summary="Sinkhorn potentials, then shortest augmenting paths, one GPU program a pair",
            device="cuda",
            available=_installed("triton"),
            solve=_solve_with_triton,
            minimise=lambda costs: _solve_with_triton(-costs),
            reference=JONKER_VOLGENANT,
            pairs=PairSolver(
                prepare=lambda maps: maps,
                match=_match_with_triton,
                prepared_bytes=lambda s, c, size: 0,
                # The affinities, once more in float32 if they are not, and a few numbers a position.
                workspace_bytes=lambda s, c, size: s * (s * (size if size == 4 else size + 4) + 64),
                warps=lambda s: max(1, (1 << (s - 1).bit_length()) // 256),
            ),
            most_positions=4096,
        ),
    )
}


def choose_solver(device: str) -> Solver:
    """Return the fastest solver that is installed for a device type, "cpu" or "cuda"."""
    fitting = [s for s in SOLVERS.values() if s.device == device and s.available()]
    return fitting[0] if fitting else SOLVERS["scipy"]


def choose_float64_solver() -> Solver:
    """Return the fastest solver here whose every step is float64: native or SciPy."""
    return SOLVERS["native" if SOLVERS["native"].available() else "scipy"]
