"""Starting potentials for triton_sap: Sinkhorn scaling on the GPU, one Triton program per pair."""
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from semrsm.engine.assignment.sap_reference import FIRST_EPS, annealing

NOT_SPECIALIZED = ("S", "stride_i", "stride_s", "stride_j")
"""Arguments that differ from chunk to chunk: no program is compiled anew for another number."""


@triton.jit(do_not_specialize=(*NOT_SPECIALIZED, "iterations", "first_eps", "eps_factor"))
def sinkhorn_program(
    affinity,
    pairs,
    v_out,
    S: tl.int32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    iterations: tl.int32,
    first_eps: tl.float32,
    eps_factor: tl.float32,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sinkhorn scaling of one pair: one pass over A per iteration, ROWS rows at a time."""
    if ALIGNED:
        stride_i, stride_s, stride_j = stride_i * 16, stride_s * 16, stride_j * 16
    pair = tl.program_id(0).to(tl.int64)
    i = tl.load(pairs + 2 * pair)
    j = tl.load(pairs + 2 * pair + 1)
    base = affinity + i * stride_i + j * stride_j
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t

    largest = tl.full([ROWS, BLOCK], float("-inf"), tl.float32)
    smallest = tl.full([ROWS, BLOCK], float("inf"), tl.float32)
    for first in range(0, S, ROWS):
        there = ((first + rows) < S)[:, None] & real[None, :]
        row_offsets = (first + rows).to(tl.int64) * stride_s
        values = tl.load(base + row_offsets[:, None] + column_offsets[None, :], mask=there, other=0)
        largest = tl.where(there, tl.maximum(largest, values), largest)
        smallest = tl.where(there, tl.minimum(smallest, values), smallest)
    spread = tl.max(tl.max(largest, 1), 0) - tl.min(tl.min(smallest, 1), 0)
    flat = spread < 1e-30
    spread = tl.where(flat, 1.0, spread)

    v = tl.zeros([BLOCK], dtype=tl.float32)
    eps = first_eps * spread
    for _ in range(0, iterations):
        sharpness = 1.4426950408889634 / eps
        shares = tl.zeros([ROWS, BLOCK], dtype=tl.float32)
        for first in range(0, S, ROWS):
            there = ((first + rows) < S)[:, None] & real[None, :]
            row_offsets = (first + rows).to(tl.int64) * stride_s
            values = tl.load(
                base + row_offsets[:, None] + column_offsets[None, :], mask=there, other=0
            )
            scores = (values - v[None, :]) * sharpness
            scores = tl.where(real[None, :], scores, float("-inf"))
            weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
            inverse = 1.0 / tl.sum(weights, 1)
            shares += tl.where(there, weights * inverse[:, None], 0.0)
        asked = tl.maximum(tl.sum(shares, 0), 1e-30)
        v += tl.where(real, tl.log2(asked) / sharpness, 0.0)
        eps *= eps_factor
    tl.store(v_out + pair * S + columns, tl.where(flat, 0.0, v), mask=real)


def places_of(affinity: Tensor) -> tuple[tuple[int, int, int, int], bool]:
    """Return the strides of (B_i, S, B_j, S) affinities, and whether they are in units of 16.

    Programs read rows that begin at multiples of 16 numbers in wider steps. In a product that is so for
    every chunk, or for none: it depends on S alone.
    """
    i, s, j, t = affinity.stride()
    if i % 16 or s % 16 or j % 16:
        return (i, s, j, t), False
    return (i // 16, s // 16, j // 16, t), True


def tile(S: int) -> dict[str, int]:
    """Return how a program that passes over all rows is laid out: 32 values a lane, few warps."""
    block = max(16, triton.next_power_of_2(S))
    rows = max(2, min(block, 1024 // block))
    return {"ROWS": rows, "BLOCK": block, "num_warps": max(1, block // 512)}


def sinkhorn_start(affinity: Tensor, pairs: Tensor) -> Tensor:
    """Return column potentials near the optimal ones, for many pairs at once.

    With P[s,t] = softmax_t((A[s,t] - v_t) / eps), a column that is asked for more than once in
    total becomes dearer: v_t += eps log sum_s P[s,t], while eps falls. The same as
    sap_reference.sinkhorn, in float32.

    Args:
        affinity: (B_i, S, B_j, S) float32, any strides, on a CUDA device (or in the interpreter).
        pairs: (P, 2) int64 on the same device, contiguous: rows (i, j) of affinity[i, :, j, :].

    Returns:
        (P, S) float32.

    Source: M. Cuturi, NeurIPS 2013, arXiv:1306.0895.

    >>> sinkhorn_start(torch.zeros(1, 2, 1, 2), torch.tensor([[0, 0]])).tolist()
    [[0.0, 0.0]]
    """
    S = affinity.shape[1]
    iterations, eps_factor = annealing(S)
    v = torch.empty((len(pairs), S), dtype=torch.float32, device=affinity.device)
    with torch.cuda.device_of(affinity):
        places, aligned = places_of(affinity)
        sinkhorn_program[(len(pairs),)](
            affinity,
            pairs,
            v,
            S,
            *places,
            iterations,
            FIRST_EPS,
            eps_factor,
            ALIGNED=aligned,
            **tile(S),
        )
    return v
