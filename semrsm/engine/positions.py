"""From activations to position vectors: (n,c,h,w) or (n,t,d) -> (n, S, C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semrsm.errors import SemrsmError
from semrsm.names import look_up

if TYPE_CHECKING:  # planning needs shapes only: `semrsm info` answers without loading torch
    from torch import Tensor

LAYOUTS: dict[str, str] = {
    "nchw": "samples, channels, height, width",
    "nhwc": "samples, height, width, channels",
    "ntd": "samples, tokens, channels",
    "ndt": "samples, channels, tokens",
    "nd": "samples, channels: one position",
}
DEFAULT_LAYOUTS: dict[int, str] = {4: "nchw", 3: "ntd", 2: "nd"}


@dataclass(frozen=True)
class Positions:
    """How the array of a layer is read as positions: its layout and what is left out or pooled.

    Attributes:
        layout: A key of LAYOUTS.
        skip_tokens: How many tokens at the front are no positions (a ViT's class token: 1).
        pool: (height, width) the grid is average-pooled to, or None.
    """

    layout: str
    skip_tokens: int = 0
    pool: tuple[int, int] | None = None

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return (height, width) of the grid that an array of `shape` ends up with; None for tokens."""
        if self.layout not in ("nchw", "nhwc"):
            return None
        height, width = shape[2:4] if self.layout == "nchw" else shape[1:3]
        return self.pool or (height, width)

    def count(self, shape: tuple[int, ...]) -> int:
        """Return S, the number of positions of one sample of an array of `shape`."""
        grid = self.grid(shape)
        if grid is not None:
            return grid[0] * grid[1]
        return {"ntd": shape[1] - self.skip_tokens, "ndt": shape[-1] - self.skip_tokens, "nd": 1}[
            self.layout
        ]

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return C, the number of channels of a position of an array of `shape`."""
        return shape[1] if self.layout in ("nchw", "ndt", "nd") else shape[-1]


def positions_of(
    shape: tuple[int, ...],
    layout: str | None = None,
    skip_tokens: int = 0,
    pool: tuple[int, int] | None = None,
) -> Positions:
    """Decide how an array of `shape` is read as positions.

    Raises SemrsmError when there is no such layout, when it does not fit the number of dimensions,
    when tokens are skipped in a grid (or all of them), and when a token sequence is pooled or a
    grid enlarged.

    >>> positions_of((24, 512, 7, 7)).count((24, 512, 7, 7))
    49
    >>> positions_of((14, 17, 24), skip_tokens=1).count((14, 17, 24))
    16
    """
    if len(shape) not in DEFAULT_LAYOUTS:
        raise SemrsmError(
            f"wanted 2, 3 or 4 dimensions, got {len(shape)} (shape {shape}); choose another `layer`"
        )
    layout = layout or DEFAULT_LAYOUTS[len(shape)]
    look_up(LAYOUTS, layout, "layout")
    if len(layout) != len(shape):
        raise SemrsmError(
            f"layout '{layout}' has {len(layout)} dimensions, the array {len(shape)} (shape {shape});"
            " choose another `layout`"
        )
    if 0 in shape:
        raise SemrsmError(
            f"the array is empty (shape {shape}); save it again or choose another `layer`"
        )
    positions = Positions(layout, skip_tokens, pool)
    grid = Positions(layout).grid(shape)
    if skip_tokens and (grid or layout == "nd"):
        raise SemrsmError(
            f"`skip_tokens` is for token sequences, layout '{layout}' has none; leave it out"
        )
    if pool and not grid:
        raise SemrsmError(
            f"`pool` is for maps with a grid, layout '{layout}' has none; leave it out"
        )
    if pool and grid and (pool[0] > grid[0] or pool[1] > grid[1]):
        raise SemrsmError(
            f"`pool='{pool[0]}x{pool[1]}'` needs a larger grid, got one of {grid[0]}x{grid[1]};"
            " choose a smaller `pool`"
        )
    if positions.count(shape) < 1:
        raise SemrsmError(
            f"`skip_tokens={skip_tokens}` leaves none of {Positions(layout).count(shape)} tokens; skip fewer"
        )
    return positions


def to_positions(block: Tensor, positions: Positions) -> Tensor:
    """Rearrange a block of samples into position vectors.

    Args:
        block: (b, ...) in the layout of `positions`, float32 or float64.
        positions: How the block is read.

    Returns:
        (b, S, C), contiguous, same dtype. Grid positions run row by row: s = y * width + x.

    >>> to_positions(torch.arange(8.0).reshape(1, 2, 2, 2), Positions("nchw"))[0].tolist()
    [[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]
    """
    if positions.layout == "nd":
        return block[:, None, :].contiguous()
    if positions.layout == "ndt":
        block = block.transpose(1, 2)
    if positions.layout == "nhwc":
        block = block.permute(0, 3, 1, 2)
    if positions.layout in ("ntd", "ndt"):
        return block[:, positions.skip_tokens :].contiguous()
    if positions.pool:
        import torch

        block = torch.nn.functional.adaptive_avg_pool2d(block, positions.pool)
    return block.flatten(2).transpose(1, 2).contiguous()
