"""Starting potentials for triton_sap: Sinkhorn scaling on the GPU, one Triton program per pair."""
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from semrsm.engine.assignment.sap_reference import FIRST_EPS, annealing
from semrsm.engine.assignment.triton_pairs import (
    NOT_SPECIALIZED,
    begin,
    load_rows,
    places_of,
    tile,
)


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
    pair, _, _, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t

    largest = tl.full([ROWS, BLOCK], float("-inf"), tl.float32)
    smallest = tl.full([ROWS, BLOCK], float("inf"), tl.float32)
    for first in range(0, S, ROWS):
        numbers = first + rows
        in_rows = numbers < S
        values = load_rows(base, numbers, in_rows, stride_s, column_offsets, real)
        there = in_rows[:, None] & real[None, :]
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
            numbers = first + rows
            in_rows = numbers < S
            values = load_rows(base, numbers, in_rows, stride_s, column_offsets, real)
            scores = (values - v[None, :]) * sharpness
            scores = tl.where(real[None, :], scores, float("-inf"))
            weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
            inverse = 1.0 / tl.sum(weights, 1)
            there = in_rows[:, None] & real[None, :]
            shares += tl.where(there, weights * inverse[:, None], 0.0)
        column_sums = tl.maximum(tl.sum(shares, 0), 1e-30)
        v += tl.where(real, tl.log2(column_sums) / sharpness, 0.0)
        eps *= eps_factor
    tl.store(v_out + pair * S + columns, tl.where(flat, 0.0, v), mask=real)


def sinkhorn_start(
    affinity: Tensor, pairs: Tensor, sweeps: tuple[int, float] | None = None
) -> Tensor:
    """Return column potentials near the optimal ones, for many pairs at once.

    With P[s,t] = softmax_t((A[s,t] - v_t) / eps), a column that is asked for more than once in
    total becomes dearer: v_t += eps log sum_s P[s,t], while eps falls. The same as
    sap_reference.sinkhorn, in float32.

    Args:
        affinity: (B_i, S, B_j, S) float32, any strides, on a CUDA device (or in the interpreter).
        pairs: (P, 2) int64 on the same device, contiguous: rows (i, j) of affinity[i, :, j, :].
        sweeps: How many sweeps, and the factor of eps between two; by default those of `annealing`.

    Returns:
        (P, S) float32.

    Source: M. Cuturi, NeurIPS 2013, arXiv:1306.0895.

    >>> sinkhorn_start(torch.zeros(1, 2, 1, 2), torch.tensor([[0, 0]])).tolist()
    [[0.0, 0.0]]
    """
    S = affinity.shape[1]
    iterations, eps_factor = sweeps or annealing(S)
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
