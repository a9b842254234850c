"""How much memory pictures take, so that one can be refused before anything is read for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from semrsm.plot.figures.canvas import cell_side
from semrsm.plot.reduced import SPREAD_BYTES, WORKING
from semrsm.rsms import Rsm

# Bytes that pictures take; the tests hold them against what NumPy takes.
FIXED_BYTES = 40 << 20
READ_BYTES = 16  # for each entry of each RSM that is held, with its copy in the figure
HEATMAP_BYTES = 56  # for each cell, of one RSM at a time
CLUSTER_BYTES = EMBED_BYTES = 36  # for each entry, of one RSM at a time
SIDE_BY_SIDE_BYTES = 76  # for each entry, of both


def heatmap_bytes(rsms: Sequence[Rsm]) -> int:
    """Return what heat maps of some RSMs take: of large ones the cells, beside the rows read at once."""
    side = cell_side(rsms[0].shape, len(rsms))
    cells = math.prod(-(-size // side) for size in rsms[0].shape)
    reading = 0 if side == 1 else SPREAD_BYTES + max(rsm.row_need(WORKING) for rsm in rsms)
    return FIXED_BYTES + (HEATMAP_BYTES + READ_BYTES * len(rsms)) * cells + reading


def whole_bytes(each: int) -> Callable[[Sequence[Rsm]], int]:
    """Return what gives the bytes of a picture that reads all RSMs whole, `each` an entry of one."""

    def needed(rsms: Sequence[Rsm]) -> int:
        return FIXED_BYTES + (each + READ_BYTES * len(rsms)) * math.prod(rsms[0].shape)

    return needed


def count_of(rsms: Sequence[Rsm]) -> str:
    """Return how many RSMs there are and how large they are, as a sentence says it."""
    rows, columns = rsms[0].shape
    return f"{f'{len(rsms)} RSMs' if len(rsms) > 1 else 'an RSM'} of {rows} x {columns}"
