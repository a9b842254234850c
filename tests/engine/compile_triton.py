"""Compiles the Triton programs down to the machine code of an H100/H200; needs no GPU, only ptxas.

python tests/engine/compile_triton.py S prints the name of every program that compiled.
"""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from semrsm.engine.assignment import triton_sap, triton_sinkhorn

HOPPER = GPUTarget("cuda", 90, 32)
FLOATS = {"first_eps": "fp32", "eps_factor": "fp32"}
COUNTS = {"S": "i32", "iterations": "i32", "stride_s": "i32", "stride_j": "i32", "stride_i": "i64"}
POINTERS = {
    "affinity": "*fp32",
    "pairs": "*i64",
    "v_out": "*fp32",
    "v_in": "*fp32",
    "best_out": "*i32",
    "v_memory": "*fp32",
    "row_memory": "*i32",
    "parent_memory": "*i32",
    "permutation_out": "*i64",
    "u_out": "*fp32",
    "scans_out": "*i32",
}


def compile_one(program, layout: dict[str, int]) -> None:
    """Compile as a launch with these constants would, for columns that lie side by side."""
    warps = layout.pop("num_warps")
    constants = layout | {"stride_t": 1}
    types = FLOATS | COUNTS | POINTERS | dict.fromkeys(constants, "constexpr")
    signature = {name: types[name] for name in program.arg_names}
    places = {(program.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(program, signature, places)
    compiled = triton.compile(source, target=HOPPER, options={"num_warps": warps})
    assert compiled.asm["cubin"]
    print(program.__name__)


if __name__ == "__main__":
    S = int(sys.argv[1])
    compile_one(triton_sinkhorn.sinkhorn_program, triton_sinkhorn.tile(S))
    compile_one(triton_sap.best_column_program, triton_sinkhorn.tile(S))
    compile_one(triton_sap.sap_program, triton_sap.layout(S))
