"""Exact assignment on the GPU: shortest augmenting paths, one Triton program per pair.

sap_reference.py is the same algorithm in readable form. How a program is laid out: what changes at
every step (distances, parents, the price and the row of every column) lives in registers, one
column per lane, so no warp ever waits for another's store. What is looked up by number (a parent,
a price, a row) is copied to memory once per augmentation, with a barrier before it is read and one
before it is written again.
"""
# mypy: allow-untyped-defs

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from semrsm.engine.assignment.triton_pairs import (
    NOT_SPECIALIZED,
    begin,
    load_rows,
    places_of,
    tile,
)
from semrsm.engine.assignment.triton_sinkhorn import sinkhorn_start
from semrsm.errors import SemrsmError

LARGEST = 4096
NEVER = tl.constexpr(0x7FFFFFFF)


@dataclass(frozen=True)
class Assigned:
    """Assignments of P pairs, optimal up to the rounding of float32 (see certificate.py).

    Attributes:
        permutation: (P, S) int64, row s belongs with column permutation[s].
        u: (P, S) float32, row potentials: A[s, p(s)] - v[p(s)].
        v: (P, S) float32, column potentials.
        scans: (P,) int32, rows of A that the search read; divided by S it is the K of the notes. Less
            than 0 where the state of a program broke, so that the result is no permutation.
        gave_up: (P,) bool, which pairs cost scaling handed over; None where it was not tried.
    """

    permutation: Tensor
    u: Tensor
    v: Tensor
    scans: Tensor
    gave_up: Tensor | None = None


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def best_column_program(
    affinity,
    pairs,
    v_in,
    best_out,
    todo,
    S: tl.int32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Each row's best column, argmax_t A[s,t] - v_t, ROWS rows at a time, of the pairs that are to do."""
    pair, _, _, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    if todo is not None and tl.load(todo + pair) == 0:
        return
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t
    v = tl.load(v_in + pair * S + columns, mask=real, other=0.0)
    for first in range(0, S, ROWS):
        numbers = first + rows
        in_rows = numbers < S
        values = load_rows(base, numbers, in_rows, stride_s, column_offsets, real)
        gain = tl.where(real[None, :], values - v[None, :], float("-inf"))
        best = tl.argmax(gain, 1)
        tl.store(best_out + pair * S + numbers, best, mask=in_rows)


@triton.jit
def nearest(distance, is_open, code, ONE_WARP: tl.constexpr):
    """Least distance among the open columns, and the least code among those at that distance.

    Distances are >= 0, so their bits order as integers. One warp finds the minimum of an int32 in
    one instruction, so it takes two of them; several warps meet only once, over an int64.
    """
    key = tl.where(is_open, distance.to(tl.int32, bitcast=True), NEVER)
    if ONE_WARP:
        least = tl.min(key, 0)
        which = tl.min(tl.where(key == least, code, NEVER), 0)
    else:
        both = tl.min((key.to(tl.int64) << 32) | code.to(tl.int64), 0)
        least = (both >> 32).to(tl.int32)
        which = (both & 0x7FFFFFFF).to(tl.int32)
    # With no column open the state is broken: end the path, and let the certificate tell.
    which = tl.where(least == NEVER, 0, which)
    return least.to(tl.float32, bitcast=True), which


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def sap_program(
    affinity,
    pairs,
    v_memory,
    row_memory,
    parent_memory,
    permutation_out,
    u_out,
    scans_out,
    todo,
    S: tl.int32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    ONE_WARP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Match every row of one pair; parent_memory comes in holding each row's best column."""
    pair, _, _, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    if todo is not None and tl.load(todo + pair) == 0:
        return
    v_memory += pair * S
    row_memory += pair * S
    parent_memory += pair * S
    columns = tl.arange(0, BLOCK)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t

    # Rows and columns share the numbers 0 … S-1: here `columns` counts the rows that ask.
    best = tl.load(parent_memory + columns, mask=real, other=0)
    tl.store(row_memory + columns, tl.full([BLOCK], NEVER, tl.int32), mask=real)
    tl.debug_barrier()
    tl.atomic_min(row_memory + best, columns, mask=real)
    tl.debug_barrier()
    is_free = real & (tl.load(row_memory + best, mask=real, other=0) != columns)
    row_of = tl.load(row_memory + columns, mask=real, other=0)
    row_of = tl.where(row_of == NEVER, -1, row_of)
    v = tl.load(v_memory + columns, mask=real, other=0.0)
    tl.debug_barrier()

    scans = 0
    row = tl.min(tl.where(is_free, columns, BLOCK), 0)
    while row < S:
        # One number says all of a column: matched (bit 24), which (bits 12-23), its row (0-11).
        code = tl.where(row_of >= 0, row_of | 0x1000000, 0) | (columns << 12)
        values = tl.load(base + row.to(tl.int64) * stride_s + column_offsets, mask=real, other=0.0)
        gain = tl.where(real, values - v, float("-inf"))
        distance = tl.maximum(tl.max(gain, 0) - gain, 0.0)
        parent = tl.full([BLOCK], BLOCK, tl.int32)
        is_open = real
        reach, which = nearest(distance, is_open, code, ONE_WARP)
        scans += 1
        while which >= 0x1000000:
            column = (which >> 12) & 4095
            line = base + (which & 4095).to(tl.int64) * stride_s
            values = tl.load(line + column_offsets, mask=real, other=0.0)
            u = tl.load(line + column.to(tl.int64) * stride_t) - tl.load(v_memory + column)
            is_open = is_open & (columns != column)
            candidate = reach + tl.maximum(u - (values - v), 0.0)
            closer = is_open & (candidate < distance)
            distance = tl.where(closer, candidate, distance)
            parent = tl.where(closer, column, parent)
            reach, which = nearest(distance, is_open, code, ONE_WARP)
            scans += 1

        v = tl.where(real & (is_open == 0), v + (reach - distance), v)
        tl.store(parent_memory + columns, parent, mask=real)
        tl.debug_barrier()
        column = which >> 12
        before = tl.load(parent_memory + column)
        while before < BLOCK:
            row_of = tl.where(columns == column, tl.load(row_memory + before), row_of)
            column = before
            before = tl.load(parent_memory + column)
        row_of = tl.where(columns == column, row, row_of)
        tl.debug_barrier()
        tl.store(row_memory + columns, row_of, mask=real)
        tl.store(v_memory + columns, v, mask=real)
        tl.debug_barrier()
        row = tl.min(tl.where(is_free & (columns > row), columns, BLOCK), 0)

    # Every column has a row by now. Where not, nothing is written elsewhere, and the pair is marked.
    has_row = real & (row_of >= 0)
    line_offsets = row_of.to(tl.int64) * stride_s
    matched = tl.load(base + line_offsets + column_offsets, mask=has_row, other=0.0)
    tl.store(permutation_out + pair * S + row_of, columns, mask=has_row)
    tl.store(u_out + pair * S + row_of, matched - v, mask=has_row)
    tl.debug_barrier()
    back = tl.load(permutation_out + pair * S + row_of, mask=has_row, other=-1)
    wrong = tl.max(tl.where(real & (back != columns), 1, 0), 0)
    tl.store(scans_out + pair, tl.where(wrong > 0, -1, scans))


def layout(S: int) -> dict[str, int]:
    """Return how the search is laid out: one warp up to 256 positions, 4 at 1024, 16 at 4096."""
    block = max(16, triton.next_power_of_2(S))
    warps = max(1, block // 256)
    return {"ONE_WARP": warps == 1, "BLOCK": block, "num_warps": warps}


def solve(affinity: Tensor, pairs: Tensor, *, start: Tensor | None = None) -> Assigned:
    """Find, for each pair, the permutation p that maximises sum_s A[s, p(s)].

    Every step adds one column to a path and every path matches one row, so the number of steps is
    bounded and the result is a permutation, whatever the rounding does.

    Args:
        affinity: (B_i, S, B_j, S) float32, finite, any strides, on a CUDA device (on the CPU with
            TRITON_INTERPRET=1 set before Triton is imported). The A of pair (i, j) is
            affinity[i, :, j, :]: one large product of all rows with all columns needs no copy.
        pairs: (P, 2) int64 on the same device.
        start: (P, S) float32 column potentials to start from; by default Sinkhorn scaling gives
            them. Good ones make the search short, none make the result wrong.

    Raises SemrsmError if S is larger than 4096 or the affinities are not square or not float32.

    Sources: R. Jonker and A. Volgenant, Computing 38 (1987), doi:10.1007/BF02278710; the reduction
    in one program per problem follows no published code.

    >>> A = torch.tensor([[3.0, 2.0], [3.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> solve(A, torch.tensor([[0, 0]])).permutation.tolist()
    [[1, 0]]
    """
    check_affinities(affinity)
    pairs = pairs.contiguous()
    v = sinkhorn_start(affinity, pairs) if start is None else start.float().contiguous().clone()
    solution = room_for(v)
    rows, parents = (torch.empty_like(v, dtype=torch.int32) for _ in range(2))
    with torch.cuda.device_of(affinity):
        search(affinity, pairs, solution, rows, parents)
    return solution


def check_affinities(affinity: Tensor) -> int:
    """Return S; raise SemrsmError if it is too large or the affinities are not square or not float32."""
    if (
        affinity.ndim != 4
        or affinity.shape[3] != affinity.shape[1]
        or affinity.dtype != torch.float32
    ):
        raise SemrsmError(
            "the triton solver wants float32 affinities (rows, S, columns, S), got "
            f"{affinity.dtype} {tuple(affinity.shape)}; choose the solver scipy"
        )
    S = affinity.shape[1]
    if S > LARGEST:
        raise SemrsmError(
            f"the triton solver takes up to {LARGEST} positions, got {S}; pool the maps with `pool`"
            " or use `device='cpu'`"
        )
    return S


def room_for(v: Tensor) -> Assigned:
    """Return memory for the assignments of column potentials (P, S)."""
    permutation = torch.zeros_like(v, dtype=torch.int64)
    scans = torch.empty(len(v), dtype=torch.int32, device=v.device)
    return Assigned(permutation, torch.empty_like(v), v, scans)


def search(
    affinity: Tensor,
    pairs: Tensor,
    solution: Assigned,
    rows: Tensor,
    parents: Tensor,
    todo: Tensor | None = None,
) -> None:
    """Put what is found into `solution`, whose potentials are those to start from.

    Args:
        affinity: (B_i, S, B_j, S) float32.
        pairs: (P, 2) int64.
        solution: Where the results go.
        rows: (P, S) int32, to work in.
        parents: (P, S) int32, to work in.
        todo: (P,) int32, 0 for pairs that are left as they are; None to solve all.
    """
    S = affinity.shape[1]
    places, aligned = places_of(affinity)
    place = (todo, S, *places, aligned)
    outputs = (solution.permutation, solution.u, solution.scans)
    best_column_program[(len(pairs),)](affinity, pairs, solution.v, parents, *place, **tile(S))
    sap_program[(len(pairs),)](
        affinity, pairs, solution.v, rows, parents, *outputs, *place, **layout(S)
    )
