"""From activations to position vectors: (n,c,h,w), (n,c,d,h,w) or (n,t,d) -> (n, S, C)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semrsm.errors import SemrsmError
from semrsm.names import look_up

if TYPE_CHECKING:  # planning needs shapes only: `semrsm info` answers without loading torch
    from torch import Tensor

LAYOUTS: dict[str, str] = {
    "nchw": "samples, channels, height, width",
    "nhwc": "samples, height, width, channels",
    "ncdhw": "samples, channels, depth (or time), height, width",
    "ndhwc": "samples, depth (or time), height, width, channels",
    "ntd": "samples, tokens, channels",
    "ndt": "samples, channels, tokens",
    "nd": "samples, channels: one position",
}
DEFAULT_LAYOUTS: dict[int, str] = {5: "ncdhw", 4: "nchw", 3: "ntd", 2: "nd"}
SPACE = "dhw"  # the axes of maps that make positions


@dataclass(frozen=True)
class Positions:
    """How the array of a layer is read as positions: its layout and what is left out or pooled.

    Attributes:
        layout: A key of LAYOUTS.
        skip_tokens: How many tokens at the front are no positions (a ViT's class token: 1).
        pool: (height, width), or (depth, height, width), that the grid is average-pooled to, or None.
    """

    layout: str
    skip_tokens: int = 0
    pool: tuple[int, ...] | None = None

    @property
    def is_map(self) -> bool:
        """Positions lie on a grid, of a plane or a volume."""
        return "c" in self.layout

    def extent(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return ([depth,] height, width) that an array of `shape` ends up with; None for tokens."""
        if not self.is_map:
            return None
        axes = zip(self.layout, shape, strict=True)
        return self.pool or tuple(length for axis, length in axes if axis in SPACE)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return (height, width) of the plane that positions lie on; None for tokens and volumes."""
        extent = self.extent(shape)
        return (extent[0], extent[1]) if extent and len(extent) == 2 else None

    def count(self, shape: tuple[int, ...]) -> int:
        """Return S, the number of positions of one sample of an array of `shape`.

        >>> Positions("ncdhw").count((24, 64, 4, 7, 7))
        196
        """
        extent = self.extent(shape)
        if extent is not None:
            return math.prod(extent)
        return shape[self.layout.index("t")] - self.skip_tokens if "t" in self.layout else 1

    def channels(self, shape: tuple[int, ...]) -> int:
        """Return C, the number of channels of a position of an array of `shape`."""
        return shape[self.layout.index("c" if self.is_map else "d")]


def positions_of(
    shape: tuple[int, ...],
    layout: str | None = None,
    skip_tokens: int = 0,
    pool: tuple[int, ...] | None = None,
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
            f"wanted 2, 3, 4 or 5 dimensions, got {len(shape)} (shape {shape}); choose another `layer`"
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
    extent = Positions(layout).extent(shape)
    if skip_tokens and (extent or layout == "nd"):
        raise SemrsmError(
            f"`skip_tokens` is for token sequences, layout '{layout}' has none; leave it out"
        )
    if pool and not extent:
        raise SemrsmError(
            f"`pool` is for maps with a grid, layout '{layout}' has none; leave it out"
        )
    if pool and extent:
        _refuse_pool(pool, extent)
    if positions.count(shape) < 1:
        raise SemrsmError(
            f"`skip_tokens={skip_tokens}` leaves none of {Positions(layout).count(shape)} tokens; skip fewer"
        )
    return positions


def _refuse_pool(pool: tuple[int, ...], extent: tuple[int, ...]) -> None:
    size, there = ("x".join(map(str, lengths)) for lengths in (pool, extent))
    if len(pool) != len(extent):
        form = "x".join(SPACE[-len(extent) :].upper())
        raise SemrsmError(f"`pool='{size}'` does not fit a grid of {there}; give `pool='{form}'`")
    if any(p > e for p, e in zip(pool, extent, strict=True)):
        raise SemrsmError(
            f"`pool='{size}'` needs a larger grid, got one of {there}; choose a smaller `pool`"
        )


def to_positions(block: Tensor, positions: Positions) -> Tensor:
    """Rearrange a block of samples into position vectors.

    Args:
        block: (b, ...) in the layout of `positions`, float32 or float64.
        positions: How the block is read.

    Returns:
        (b, S, C), contiguous, same dtype. Positions of a plane run row by row, s = y * width + x, those
        of a volume plane by plane.

    >>> to_positions(torch.arange(8.0).reshape(1, 2, 2, 2), Positions("nchw"))[0].tolist()
    [[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]
    """
    if positions.layout == "nd":
        return block[:, None, :].contiguous()
    if positions.layout == "ndt":
        block = block.transpose(1, 2)
    if not positions.is_map:
        return block[:, positions.skip_tokens :].contiguous()
    if positions.layout.endswith("c"):
        block = block.movedim(-1, 1)
    if positions.pool:
        from torch.nn import functional

        match positions.pool:
            case (height, width):
                block = functional.adaptive_avg_pool2d(block, (height, width))
            case (depth, height, width):
                block = functional.adaptive_avg_pool3d(block, (depth, height, width))
    return block.flatten(2).transpose(1, 2).contiguous()
