"""What every Triton program over the affinities of a pair begins with: where they are, and their rows."""
# mypy: allow-untyped-defs

import triton
import triton.language as tl
from torch import Tensor

NOT_SPECIALIZED = ("S", "stride_i", "stride_s", "stride_j")
"""Arguments that differ from chunk to chunk: no program is compiled anew for another number."""


def places_of(affinity: Tensor) -> tuple[tuple[int, int, int, int], bool]:
    """Return the strides of (B_i, S, B_j, S) affinities, and whether they are in units of 16.

    Programs read rows that begin at multiples of 16 numbers in wider steps. In a product that is so for
    every chunk, or for none: it depends on S alone.

    >>> places_of(torch.empty(2, 16, 3, 16))
    ((48, 3, 1, 1), True)
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


@triton.jit
def begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED: tl.constexpr):
    """Number and samples of this program's pair, its first affinity, and the stride of its rows."""
    if ALIGNED:
        stride_i, stride_s, stride_j = stride_i * 16, stride_s * 16, stride_j * 16
    pair = tl.program_id(0).to(tl.int64)
    i = tl.load(pairs + 2 * pair)
    j = tl.load(pairs + 2 * pair + 1)
    return pair, i, j, affinity + i * stride_i + j * stride_j, stride_s


@triton.jit
def load_rows(base, rows, there, stride_s, column_offsets, real):
    """Some rows of a pair's affinities; 0 where there is none."""
    row_offsets = rows.to(tl.int64) * stride_s
    return tl.load(
        base + row_offsets[:, None] + column_offsets[None, :],
        mask=there[:, None] & real[None, :],
        other=0.0,
    )
