"""Compiles the Triton programs to the machine code of GPUs that are not there; needs ptxas only.

python tests/engine/compile_triton.py S ARCHITECTURE … prints, as TSV, what every program takes there:
architecture, program, warps, registers a thread, spilled bytes a thread, shared bytes, barriers.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from semrsm.engine.assignment import (
    triton_greedy,
    triton_pairs,
    triton_proof,
    triton_sap,
    triton_scaling,
    triton_sinkhorn,
)

C = 256  # channels
INTEGERS = {
    **dict.fromkeys(("S", "C", "iterations", "most_bids", "most_lists"), "i32"),
    **dict.fromkeys(("stride_i", "stride_s", "stride_j"), "i64"),
}
OTHERS = dict.fromkeys(("first_eps", "eps_factor", "eps_step", "last_eps", "lost"), "fp32")
POINTERS = {
    **dict.fromkeys(("affinity", "v_in", "v_out", "v_memory", "u_out", "x", "y"), "*fp32"),
    **dict.fromkeys(("mean_costs", "mean_out", "bar_memory", "width_memory"), "*fp32"),
    **dict.fromkeys(("best_out", "row_memory", "column_memory", "parent_memory"), "*i32"),
    **dict.fromkeys(("scans_out", "gave_up_out", "todo", "list_columns"), "*i32"),
    **dict.fromkeys(("order", "column_out"), "*i64"),
    "list_values": "*fp32",
    **dict.fromkeys(("pairs", "permutation", "permutation_out"), "*i64"),
    **dict.fromkeys(
        ("row_norms", "column_norms", "value_out", "bound_out", "scale_out", "out"), "*fp64"
    ),
}
TYPES = INTEGERS | OTHERS | POINTERS


def programs(S: int) -> dict:
    """Return every program with the constants that a launch gives it."""
    of_rows, in_float64 = triton_pairs.tile(S), triton_proof.proof_layout(S)
    return {
        triton_sinkhorn.sinkhorn_program: of_rows,
        triton_sap.best_column_program: of_rows,
        triton_sap.sap_program: triton_sap.layout(S),
        triton_scaling.mean_cost_program: of_rows,
        triton_scaling.scaling_program: triton_scaling.layout(S),
        triton_proof.proof_program: in_float64,
        triton_proof.bound_program: in_float64 | {"CHANNELS": 64},
        triton_proof.matched_program: triton_proof.matched_layout(C),
        triton_greedy.greedy_program: triton_greedy.layout(S),
    }


def compile_one(program, layout: dict[str, int], S: int, architecture: int):
    """Compile as a launch with these constants would, for columns that lie side by side."""
    constants = {name: value for name, value in layout.items() if name != "num_warps"}
    if "stride_t" in program.arg_names:
        constants |= {"stride_t": 1, "ALIGNED": S % 16 == 0}
    types = TYPES | dict.fromkeys(constants, "constexpr")
    signature = {name: types[name] for name in program.arg_names}
    places = {(program.arg_names.index(name),): value for name, value in constants.items()}
    # Memory that torch gives begins at a multiple of 16 bytes.
    hints = {
        (k,): [["tt.divisibility", 16]]
        for k, name in enumerate(program.arg_names)
        if name in POINTERS
    }
    source = ASTSource(program, signature, places, hints)
    target = GPUTarget("cuda", architecture, 32)
    return triton.compile(source, target=target, options={"num_warps": layout["num_warps"]})


def resources(cubin: bytes) -> tuple[int, ...]:
    """Return registers a thread, spilled bytes a thread and shared bytes, as cuobjdump says them."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run(
            [tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return tuple(int(re.search(rf"{name}:(\d+)", said)[1]) for name in ("REG", "STACK", "SHARED"))


if __name__ == "__main__":
    for architecture in map(int, sys.argv[2:]):
        for program, layout in programs(int(sys.argv[1])).items():
            compiled = compile_one(program, layout, int(sys.argv[1]), architecture)
            barriers = compiled.asm["ptx"].count("bar.sync")
            used = (layout["num_warps"], *resources(compiled.asm["cubin"]), barriers)
            print(architecture, program.__name__, *used, sep="\t")
