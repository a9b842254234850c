"""The matcher `shift`: the best circular shift of the whole grid; translation and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import few_samples
from semrsm.engine.settings import Settings
from semrsm.errors import SemrsmError


@dataclass(frozen=True)
class Spectra:
    """A block of maps with the Fourier transforms of their grids.

    Attributes:
        maps: The block.
        grid: (h, w).
        values: (b, h, w // 2 + 1, C) complex, over both axes of the grid.
    """

    maps: Maps
    grid: tuple[int, int]
    values: Tensor


def transform_grids(maps: Maps, settings: Settings) -> Spectra:
    """Transform the grids of a block, once for all pairs; raises SemrsmError for tokens."""
    if maps.grid is None:
        raise SemrsmError(
            "the matcher shift needs a grid of positions in a plane, which tokens and volumes have not;"
            " use another `matcher`"
        )
    grids = (some.unflatten(1, maps.grid) for some in few_samples(maps))
    values = torch.cat([torch.fft.rfft2(some, dim=(1, 2)) for some in grids])
    return Spectra(maps, maps.grid, values)


def match_by_shift(rows: Spectra, columns: Spectra, pairs: Tensor, settings: Settings) -> Matches:
    """Return the circular shift (a, b) of the grid with the largest sum_yx <x[y, x], y[y+a, x+b]>.

    All h w shifts are compared at once by the correlation theorem; the value of the best is
    summed again from the vectors. Of equally good shifts any may be taken.

    Args:
        rows: (a, S, C), transformed.
        columns: (b, S, C), transformed.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: Not used.

    Source: circular shifts as a group of nuisance transforms: Williams et al., NeurIPS 2021,
    arXiv:2110.14739; here each pair has its own.
    """
    height, width = rows.grid
    i, j = pairs.unbind(1)
    spectrum = (rows.values[i].conj() * columns.values[j]).sum(3)
    correlation = torch.fft.irfft2(spectrum, s=(height, width))
    best = correlation.flatten(1).argmax(1)[:, None]
    position = torch.arange(height * width, device=pairs.device)
    down = (position // width + best // width) % height
    along = (position % width + best % width) % width
    permutation = down * width + along
    x, y = rows.maps.values[i], columns.maps.values[j[:, None], permutation]
    return Matches((x * y).sum(2).double().sum(1), permutation)


def prepared_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what a sample takes: its transform, about as large as the map, and putting it in place.

    A grid of width w has w // 2 + 1 complex columns, so more than the map where w is small.
    """
    return 3 * n_positions * n_channels * size


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: two gathered transforms and their product; vectors come after."""
    return 6 * n_positions * n_channels * size + 8 * n_positions * (size + 4)
