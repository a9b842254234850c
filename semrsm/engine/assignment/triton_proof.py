"""What an assignment found on the GPU is worth: values, bounds and exact sums, one Triton program a pair.

certificate.py is the same in readable form, but for the exact bounds: where that multiplies all positions
once more in float64, these multiply only those few that can be the best of a row.
"""
# mypy: allow-untyped-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from semrsm.engine.assignment.triton_pairs import NOT_SPECIALIZED, begin, load_rows, places_of


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def proof_program(
    affinity,
    pairs,
    v_in,
    permutation,
    row_norms,
    column_norms,
    value_out,
    bound_out,
    scale_out,
    S: tl.int32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Value and upper bound of a matching of affinities as they are, and what gaps are measured against."""
    pair, i, j, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t
    v = tl.load(v_in + pair * S + columns, mask=real, other=0.0).to(tl.float64)
    total = tl.zeros([ROWS], tl.float64)
    size = tl.zeros([ROWS], tl.float64)
    value = tl.zeros([ROWS], tl.float64)
    scale = tl.zeros([ROWS], tl.float64)
    for first in range(0, S, ROWS):
        numbers = first + rows
        there = numbers < S
        values = load_rows(base, numbers, there, stride_s, column_offsets, real).to(tl.float64)
        gain = tl.where(real[None, :], values - v[None, :], float("-inf"))
        u = tl.where(there, tl.max(gain, 1), 0.0)
        total += u
        size += tl.abs(u)
        partner = tl.load(permutation + pair * S + numbers, mask=there, other=0)
        matched = base + numbers.to(tl.int64) * stride_s + partner * stride_t
        own = tl.load(matched, mask=there, other=0.0)
        value += own.to(tl.float64)
        x = tl.load(row_norms + i * S + numbers, mask=there, other=0.0).to(tl.float64)
        y = tl.load(column_norms + j * S + partner, mask=there, other=0.0).to(tl.float64)
        scale += x * y
    rounding = (tl.sum(size, 0) + tl.sum(tl.abs(v), 0)) * (2 * S + 4) * 1.1102230246251565e-16
    tl.store(value_out + pair, tl.sum(value, 0))
    tl.store(bound_out + pair, tl.sum(total, 0) + tl.sum(v, 0) + rounding)
    tl.store(scale_out + pair, tl.sum(scale, 0))


@triton.jit(do_not_specialize=("S", "C"))
def matched_program(
    x, y, pairs, permutation, out, S: tl.int32, C: tl.int32, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Sum of the products of matched positions, from the vectors themselves, in float64."""
    pair = tl.program_id(0).to(tl.int64)
    i = tl.load(pairs + 2 * pair)
    j = tl.load(pairs + 2 * pair + 1)
    rows = tl.arange(0, ROWS)
    channels = tl.arange(0, BLOCK)
    total = tl.zeros([ROWS, BLOCK], tl.float64)
    for first in range(0, S, ROWS):
        numbers = first + rows
        there = numbers < S
        partner = tl.load(permutation + pair * S + numbers, mask=there, other=0)
        a = x + (i * S + numbers) * C
        b = y + (j * S + partner) * C
        for channel in range(0, C, BLOCK):
            some = channel + channels
            mask = there[:, None] & (some < C)[None, :]
            one = tl.load(a[:, None] + some[None, :], mask=mask, other=0.0).to(tl.float64)
            other = tl.load(b[:, None] + some[None, :], mask=mask, other=0.0).to(tl.float64)
            total += one * other
    tl.store(out + pair, tl.sum(tl.sum(total, 1), 0))


@triton.jit(do_not_specialize=(*NOT_SPECIALIZED, "C", "lost"))
def bound_program(
    affinity,
    x,
    y,
    pairs,
    v_in,
    row_norms,
    column_norms,
    bound_out,
    S: tl.int32,
    C: tl.int32,
    lost: tl.float32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Upper bound of every matching of the vectors: the affinities only say which products to look at.

    A column can be the best of a row only if its affinity, and what rounding may hide of it, exceeds
    the best exact product so far; so each row takes its columns in order until none can.
    """
    pair, i, j, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    channels = tl.arange(0, CHANNELS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t
    v = tl.load(v_in + pair * S + columns, mask=real, other=0.0).to(tl.float64)
    of_y = tl.load(column_norms + j * S + columns, mask=real, other=0.0).to(tl.float64)
    longest = tl.max(of_y, 0)
    total = tl.zeros([ROWS], tl.float64)
    size = tl.zeros([ROWS], tl.float64)
    for first in range(0, S, ROWS):
        numbers = first + rows
        there = numbers < S
        values = load_rows(base, numbers, there, stride_s, column_offsets, real).to(tl.float64)
        gain = tl.where(real[None, :], values - v[None, :], float("-inf"))
        of_x = tl.load(row_norms + i * S + numbers, mask=there, other=0.0).to(tl.float64)
        hidden = lost * of_x * longest + C * 1.2e-38
        u = tl.full([ROWS], float("-inf"), tl.float64)
        open_rows = there
        while tl.max(open_rows.to(tl.int32), 0) > 0:
            column = tl.argmax(gain, 1)
            exact = tl.zeros([ROWS], tl.float64)
            a = x + (i * S + numbers) * C
            b = y + (j * S + column) * C
            for channel in range(0, C, CHANNELS):
                some = channel + channels
                mask = open_rows[:, None] & (some < C)[None, :]
                one = tl.load(a[:, None] + some[None, :], mask=mask, other=0.0).to(tl.float64)
                other = tl.load(b[:, None] + some[None, :], mask=mask, other=0.0).to(tl.float64)
                exact += tl.sum(one * other, 1)
            price = tl.load(v_in + pair * S + column, mask=open_rows, other=0.0).to(tl.float64)
            u = tl.where(open_rows, tl.maximum(u, exact - price), u)
            gain = tl.where(columns[None, :] == column[:, None], float("-inf"), gain)
            open_rows = there & (tl.max(gain, 1) + hidden > u)
        u = tl.where(there, u, 0.0)
        total += u
        size += tl.abs(u) + of_x * longest
    sizes = tl.sum(size, 0) + tl.sum(tl.abs(v), 0)
    rounding = sizes * (4 * S + 2 * C + 16) * 2.220446049250313e-16
    tl.store(bound_out + pair, tl.sum(total, 0) + tl.sum(v, 0) + rounding)


def proof_layout(S: int) -> dict[str, int]:
    """Return how a program that passes over the rows in float64 is laid out: 16 values a lane."""
    block = max(16, triton.next_power_of_2(S))
    return {
        "ROWS": max(2, min(block, 512 // block)),
        "BLOCK": block,
        "num_warps": max(1, block // 256),
    }


def matched_layout(C: int) -> dict[str, int]:
    """Return how the program that sums matched products is laid out: 16 values a lane."""
    block = min(128, max(16, triton.next_power_of_2(C)))
    return {"ROWS": 1024 // block, "BLOCK": block, "num_warps": 2}


def prove(
    affinity: Tensor, pairs: Tensor, v: Tensor, permutation: Tensor, norms: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return value, upper bound and scale of each pair's matching: three (P,) float64.

    The same as `value`, `upper_bound` and `scale` of certificate.py, in one pass over the affinities.

    Args:
        affinity: (B_i, S, B_j, S) float32 or float64, any strides.
        pairs: (P, 2) int64.
        v: (P, S) column potentials.
        permutation: (P, S) int64, each between 0 and S - 1.
        norms: (B_i, S) and (B_j, S), of the row and the column positions.

    >>> A = torch.tensor([[3.0, 2.0], [3.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> proof = prove(A, torch.tensor([[0, 0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]]),
    ...               (torch.ones(1, 2), torch.ones(1, 2)))
    >>> [round(number.item(), 9) for number in proof]
    [5.0, 5.0, 2.0]
    """
    S = affinity.shape[1]
    out = torch.empty((3, len(pairs)), dtype=torch.float64, device=affinity.device)
    tensors = affinity, pairs, v, permutation, *(n.contiguous() for n in norms), *out
    with torch.cuda.device_of(affinity):
        places, aligned = places_of(affinity)
        proof_program[(len(pairs),)](*tensors, S, *places, ALIGNED=aligned, **proof_layout(S))
    value, bound, scale = out
    return value, bound, scale


def matched_sums(x: Tensor, y: Tensor, pairs: Tensor, permutation: Tensor) -> Tensor:
    """Return sum_s <x_s, y_p(s)> of each pair in float64, whatever the affinities were computed in.

    Args:
        x: (a, S, C) float32 or float64.
        y: (b, S, C).
        pairs: (P, 2) int64.
        permutation: (P, S) int64.

    >>> x = torch.tensor([[[1.0], [2.0]]])
    >>> matched_sums(x, x, torch.tensor([[0, 0]]), torch.tensor([[1, 0]])).tolist()
    [4.0]
    """
    _, S, C = x.shape
    out = torch.empty(len(pairs), dtype=torch.float64, device=x.device)
    tensors = x.contiguous(), y.contiguous(), pairs.contiguous(), permutation.contiguous(), out
    with torch.cuda.device_of(x):
        matched_program[(len(pairs),)](*tensors, S, C, **matched_layout(C))
    return out


def bounds(
    affinity: Tensor,
    x: Tensor,
    y: Tensor,
    pairs: Tensor,
    v: Tensor,
    norms: tuple[Tensor, Tensor],
    lost: float,
) -> Tensor:
    """Bound sum_s <x_s, y_p(s)> over all permutations p from above, in float64: (P,).

    True for any v; tight where v is optimal. The affinities may be rounded, in any order of their sums.

    Args:
        affinity: (a, S, b, S), the products of x and y, any strides.
        x: (a, S, C) float32 or float64.
        y: (b, S, C).
        pairs: (P, 2) int64.
        v: (P, S) column potentials, finite.
        norms: (a, S) and (b, S), of the positions.
        lost: What an affinity may be off besides the rounding of its sum, of the product of the norms.
    """
    _, S, C = x.shape
    unit = torch.finfo(affinity.dtype).eps / 2
    lost = 1.01 * ((C + 4) * unit + lost)
    out = torch.empty(len(pairs), dtype=torch.float64, device=x.device)
    tensors = affinity, x.contiguous(), y.contiguous(), pairs, v, *(n.contiguous() for n in norms)
    layout = proof_layout(S) | {"CHANNELS": min(64, max(16, triton.next_power_of_2(C)))}
    with torch.cuda.device_of(affinity):
        places, aligned = places_of(affinity)
        bound_program[(len(pairs),)](*tensors, out, S, C, lost, *places, ALIGNED=aligned, **layout)
    return out
