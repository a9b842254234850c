"""Maps: a block of samples made ready for matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from semrsm.errors import SemrsmError

FEW = 32  # numbers of a map whose rounding does not average out; in float64 they cost nothing
WIDENED = 1 << 18  # numbers that are widened to float64 at a time: 2 MiB stay in the caches


@dataclass(frozen=True)
class Maps:
    """A block of b samples as position vectors, scaled and, where that is exact, centred.

    A sample x (S, C) is stored as v = x / scale - mean. The scale is a power of two, so dividing by
    it loses nothing, and activations of any size (1e-30, 1e30) stay within float32. Subtracting the
    mean over the positions changes no optimal matching, as for every permutation p
    sum_s <x_s, y_p(s)> = scale_x scale_y (sum_s <v_s, w_p(s)> + S <mean_x, mean_y>).

    Attributes:
        values: (b, S, C) float32 or float64, on the device that computes; float64 if S C is FEW.
        mean: (b, C) float64, same device; None where the maps are not centred.
        scale: (b,) float64, powers of two.
        squared_norm: (b,) float64, sum of squares of the whole map x, unscaled.
        spread: (b,) float64, the same of what is stored: without the mean where that is subtracted.
        grid: (height, width) of the positions, None where they are tokens.
        exact: The values are those of the samples, scaled: nothing was rounded but what vanishes.
    """

    values: Tensor
    mean: Tensor | None
    scale: Tensor
    squared_norm: Tensor
    spread: Tensor
    grid: tuple[int, int] | None = None
    exact: bool = False

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def n_positions(self) -> int:
        """S, the number of positions."""
        return self.values.shape[1]

    @property
    def n_channels(self) -> int:
        """C, the number of channels."""
        return self.values.shape[2]


def prepare(
    vectors: Tensor,
    *,
    centred: bool,
    dtype: torch.dtype = torch.float32,
    grid: tuple[int, int] | None = None,
    widened: int = WIDENED,
) -> Maps:
    """Make position vectors ready for matching.

    Args:
        vectors: (b, S, C), finite, float32 or float64.
        centred: Subtract each sample's mean over positions (exact for optimal matching only).
        dtype: What the products are computed in; those of maps of FEW numbers are in float64.
        grid: (height, width) of the positions, if they have one.
        widened: Numbers that are widened to float64 at a time; more than WIDENED suit a GPU.
    """
    dtype = type_of_values(vectors.shape[1], vectors.shape[2], dtype)
    if vectors.dtype == torch.float16:
        vectors = vectors.float()
    # Of many samples at once, a norm of order infinity takes twenty times as long.
    largest = torch.maximum(vectors.amax((1, 2)), -vectors.amin((1, 2)))
    # Every value becomes at most about 1. Near the ends of the type its inverse would not be normal.
    most = 120 if vectors.dtype == torch.float32 else 1000
    exponent = torch.frexp(largest).exponent.clamp(-most, most)
    scale = torch.ldexp(torch.ones_like(largest, dtype=torch.float64), exponent)
    squared_norm = squared_norms(vectors)
    if not centred:
        values = (vectors / scale.to(vectors.dtype)[:, None, None]).to(dtype)
        exact = torch.promote_types(vectors.dtype, dtype) == dtype
        return Maps(values, None, scale, squared_norm, squared_norm, grid, exact)
    b, S, C = vectors.shape
    values = torch.empty_like(vectors, dtype=dtype)
    mean = torch.empty(b, C, dtype=torch.float64, device=vectors.device)
    few = max(1, widened // (S * C))
    room = torch.empty(min(few, b), S, C, dtype=torch.float64, device=vectors.device)
    for start in range(0, b, few):
        some = slice(start, start + few)
        wide = room[: len(vectors[some])].copy_(vectors[some])
        wide *= scale[some, None, None].reciprocal()  # a power of two: exact
        torch.mean(wide, 1, out=mean[some])
        wide -= mean[some, None]
        values[some] = wide
    of_mean = S * (scale[:, None] * mean).square().sum(1)
    return Maps(values, mean, scale, squared_norm, (squared_norm - of_mean).clamp(min=0), grid)


def take(value: Any, some: Callable[[Tensor], Tensor]) -> Any:
    """Return some samples of whatever was made of a block: each of its tensors begins with them.

    Args:
        value: Maps, or what a matcher prepared: a tensor, a tuple or a record of them.
        some: Takes the samples from one tensor, (b, ...) -> (k, ...).

    >>> take((torch.arange(4), 7), lambda values: values[1:3])
    (tensor([1, 2]), 7)
    """
    if isinstance(value, Tensor):
        return some(value)
    if isinstance(value, tuple):
        return tuple(take(one, some) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: take(getattr(value, f.name), some) for f in fields(value)}
        return replace(value, **parts)
    return value


def type_of_values(n_positions: int, n_channels: int, dtype: torch.dtype) -> torch.dtype:
    """Return what the values of maps are stored in: float64 if they are FEW, else `dtype`."""
    return torch.float64 if n_positions * n_channels <= FEW else dtype


def squared_norms(vectors: Tensor, samples: Sequence[int] | None = None) -> Tensor:
    """Return the sum of squares of each map: (b, S, C) -> (b,) float64.

    Args:
        vectors: (b, S, C).
        samples: Their numbers, to name one that is refused.

    Raises:
        SemrsmError: The squares of a map overflow float64, or vanish though it is not zero.

    >>> squared_norms(torch.tensor([[[3.0], [4.0]]])).tolist()
    [25.0]
    """
    # Sample by sample: widening a block at once would triple its memory.
    squares = torch.stack([_squared_norm(sample) for sample in vectors])
    smallest = torch.finfo(torch.float64).smallest_normal
    for k in ((squares < smallest) | (squares == torch.inf)).nonzero()[:, 0].tolist():
        largest = float(vectors[k].abs().max())
        if largest:
            how = "vanish in float64; multiply" if squares[k] < 1 else "overflow float64; divide"
            who = f"sample {samples[k]}" if samples else "a sample"
            raise SemrsmError(
                f"{who} has values of at most {largest:.3g}, whose"
                f" squares {how} the activations by a large number"
            )
    return squares


def value_sums(vectors: Tensor) -> Tensor:
    """Return the sum of all values of each map: (b, S, C) -> (b,) float64.

    No matching changes it, so with the squared norm it makes correlations of matched inner products.

    >>> value_sums(torch.tensor([[[3.0], [4.0]]])).tolist()
    [7.0]
    """
    return torch.stack([sample.sum(dtype=torch.float64) for sample in vectors])


def _squared_norm(sample: Tensor) -> Tensor:
    wide = sample.double().flatten()
    return wide @ wide


def unscaled(sums: Tensor, rows: Maps, columns: Maps, pairs: Tensor) -> Tensor:
    """Turn sums of products of stored values into inner products of the samples.

    Args:
        sums: (P,) float64, sum_s <v_s, w_p(s)> of each pair.
        rows: The block that `pairs[:, 0]` counts in.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.

    Returns:
        (P,) float64: scale_x scale_y (sums + S <mean_x, mean_y>).
    """
    i, j = pairs.unbind(1)
    if rows.mean is not None and columns.mean is not None:
        sums = sums + rows.n_positions * (rows.mean[i] * columns.mean[j]).sum(1)
    return rows.scale[i] * columns.scale[j] * sums
