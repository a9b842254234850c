"""Exact assignment: the solvers behind the matcher `optimal`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from semrsm.engine.assignment import laprust_jv, native_core, scipy_lsa
from semrsm.engine.assignment.solver import PairSolver, Solved, Solver
from semrsm.engine.maps import Maps

if TYPE_CHECKING:
    from semrsm.engine.assignment.triton_products import Assign

__all__ = ["SOLVERS", "Solver", "choose_float64_solver", "choose_solver"]


def _installed(package: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(package) is not None


def _paths() -> Assign:
    from semrsm.engine.assignment import triton_sap

    return triton_sap.solve


def _scaling() -> Assign:
    from semrsm.engine.assignment import triton_scaling

    return triton_scaling.solve


def _solve_on_gpu(affinity: Tensor, assign: Assign) -> Tensor:
    from semrsm.engine.assignment.triton_products import solve

    return solve(affinity, assign)


def _match_on_gpu(
    rows: Maps, columns: Maps, pairs: Tensor, bounded: bool, assign: Assign
) -> Solved:
    from semrsm.engine.assignment.triton_products import solve_products

    return solve_products(rows, columns, pairs, bounded, assign)


def _greedy_on_gpu(affinity: Tensor) -> Tensor:
    from semrsm.engine.assignment.triton_greedy import greedy

    return greedy(affinity)


def _affinity_bytes(n_positions: int, size: int) -> int:
    """Return what the affinities of a pair take, once more in float32 if they are not."""
    return n_positions * n_positions * (size if size == 4 else size + 4)


JONKER_VOLGENANT = "Jonker & Volgenant 1987, doi:10.1007/BF02278710"
BERTSEKAS = "Bertsekas 1988, doi:10.1007/BF02186476"

# Triton is imported when it is used.
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
            reference=f"{JONKER_VOLGENANT}; {BERTSEKAS}",
            pairs=PairSolver(
                prepare=native_core.prepare,
                match=native_core.solve_products,
                prepared_bytes=native_core.prepared_bytes,
                workspace_bytes=native_core.workspace_bytes,
            ),
            greedy=native_core.greedy,
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
            solve=lambda affinity: _solve_on_gpu(affinity, _paths()),
            minimise=lambda costs: _solve_on_gpu(-costs, _paths()),
            reference=JONKER_VOLGENANT,
            pairs=PairSolver(
                prepare=lambda maps: maps,
                match=lambda x, y, pairs, bounded: _match_on_gpu(x, y, pairs, bounded, _paths()),
                prepared_bytes=lambda s, c, size: 0,
                workspace_bytes=lambda s, c, size: _affinity_bytes(s, size) + 64 * s,
                warps=lambda s: max(1, (1 << (s - 1).bit_length()) // 256),
            ),
            most_positions=4096,
            greedy=_greedy_on_gpu,
        ),
        Solver(
            name="triton-scaling",
            summary="Sinkhorn potentials, then cost scaling on short lists, one GPU warp a pair",
            device="cuda",
            available=_installed("triton"),
            solve=lambda affinity: _solve_on_gpu(affinity, _scaling()),
            minimise=lambda costs: _solve_on_gpu(-costs, _scaling()),
            reference=BERTSEKAS,
            pairs=PairSolver(
                prepare=lambda maps: maps,
                match=lambda x, y, pairs, bounded: _match_on_gpu(x, y, pairs, bounded, _scaling()),
                prepared_bytes=lambda s, c, size: 0,
                # The lists: 32 affinities and their columns for each position.
                workspace_bytes=lambda s, c, size: _affinity_bytes(s, size) + (256 + 80) * s,
            ),
            most_positions=4096,
            greedy=_greedy_on_gpu,
            chosen_from=None,  # until scripts/gpu_check has proved and timed it on a GPU; then about 400
        ),
    )
}


def choose_solver(device: str, n_positions: int = 1) -> Solver:
    """Return the fastest solver that is installed for a device type, "cpu" or "cuda", and a problem.

    Of those that serve so many positions the one for the largest problems; of several the first.
    """
    fitting = [
        (s.chosen_from, s)
        for s in SOLVERS.values()
        if s.device == device
        and s.chosen_from is not None
        and s.chosen_from <= n_positions
        and s.available()
    ]
    if not fitting:
        return SOLVERS["scipy"]
    return max(fitting, key=lambda row: row[0])[1]


def choose_float64_solver() -> Solver:
    """Return the fastest solver here whose every step is float64: native or SciPy."""
    return SOLVERS["native" if SOLVERS["native"].available() else "scipy"]
