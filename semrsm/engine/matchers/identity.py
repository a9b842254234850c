"""The matcher `identity`: every position stays where it is; the usual, spatio-semantic RSM."""

from __future__ import annotations

import torch
from torch import Tensor

from semrsm.engine.maps import Maps
from semrsm.engine.matchers.matcher import Matches, Settings

SLAB = 1 << 22  # numbers of a block that are widened to float64 at a time: 32 MiB


def match_same_positions(rows: Maps, columns: Maps, pairs: Tensor, settings: Settings) -> Matches:
    """Return sum_s <x_s, y_s> of each pair: the inner product of the flattened maps.

    Args:
        rows: (a, S, C).
        columns: (b, S, C).
        pairs: (P, 2) int64, indices into rows and columns.
        settings: Not used.

    Returns:
        Sums in float64 of float64 products; the permutation is the identity.

    The readable form is `torch.einsum("asc,bsc->ab", x, y)`; here it is one product per slab of
    channels and positions, so that float64 copies stay small.
    """
    x, y = rows.values.flatten(1), columns.values.flatten(1)
    products = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
    width = max(1, SLAB // max(len(x), len(y)))
    for start in range(0, x.shape[1], width):
        slab = slice(start, start + width)
        products += x[:, slab].double() @ y[:, slab].double().T
    i, j = pairs.unbind(1)
    identity = torch.arange(rows.n_positions, device=x.device).expand(len(pairs), -1)
    return Matches(products[i, j], identity)
