"""Greedy matching on the GPU: one Triton program a problem, which takes its rows in turn."""
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit(do_not_specialize=("S",))
def greedy_program(affinity, order, column_out, S: tl.int32, BLOCK: tl.constexpr):
    """Give every row, in order, the best column that is still free; of equal ones the lower."""
    problem = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    real = columns < S
    is_free = real
    for turn in range(0, S):
        row = tl.load(order + problem * S + turn)
        line = affinity + (problem * S + row) * S
        values = tl.load(line + columns, mask=real, other=float("-inf"))
        best = tl.argmax(tl.where(is_free, values, float("-inf")), 0)
        is_free = is_free & (columns != best)
        tl.store(column_out + problem * S + row, best.to(tl.int64))


def layout(S: int) -> dict[str, int]:
    """Return how the program is laid out: one warp up to 512 positions, 8 at 4096."""
    block = max(32, triton.next_power_of_2(S))
    return {"BLOCK": block, "num_warps": min(32, max(1, block // 512))}


def greedy(affinity: Tensor) -> Tensor:
    """Return what `greedy_in_turn` of the matcher `greedy` returns, with no loop over rows on the host.

    Args:
        affinity: (P, S, S) float32 or float64, finite, on a CUDA device (or in the interpreter).

    Returns:
        (P, S) int64: row s takes column p(s).

    >>> greedy(torch.tensor([[[5.0, 4.0], [6.0, 1.0]]])).tolist()
    [[1, 0]]
    """
    P, S, _ = affinity.shape
    order = affinity.amax(2).argsort(dim=1, descending=True, stable=True)
    columns = torch.empty_like(order)
    with torch.cuda.device_of(affinity):
        greedy_program[(P,)](affinity.contiguous(), order, columns, S, **layout(S))
    return columns
