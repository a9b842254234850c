"""How much memory measures take, so that a comparison can say so before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from semrsm.measures import bures, cka, neighbours, rsa
from semrsm.measures.matrices import BLOCK_BYTES


@dataclass(frozen=True)
class Need:
    """Bytes for each entry of an (n, n) RSM; blocks of rows (FOR_BLOCKS) come on top.

    Attributes:
        held: What a prepared RSM keeps.
        prepare: What preparing takes at its peak, with what it then keeps.
        compare: What comparing two prepared RSMs takes at its peak.
        resample: What one bootstrap sample takes at its peak.
    """

    held: float
    prepare: float
    compare: float
    resample: float


FOR_BLOCKS = 8 * BLOCK_BYTES

CENTRED = Need(held=0, prepare=0, compare=0, resample=22)

# By the function `prepare` of a measure. The tests hold them against what NumPy takes; for `nbs`,
# the two n² of LAPACK's eigh come on top, which they cannot see.
NEEDS: Mapping[Callable[..., Any], Need] = {
    cka.prepare_cka: CENTRED,
    cka.prepare_debiased: CENTRED,
    cka.prepare_corr_whitened: CENTRED,
    rsa.prepare_pearson: Need(held=4, prepare=13, compare=0, resample=35),
    rsa.prepare_cosine: Need(held=4, prepare=9, compare=0, resample=31),
    rsa.prepare_ranks: Need(held=4, prepare=26, compare=23, resample=42),
    neighbours.prepare_neighbours: Need(held=0, prepare=0, compare=0, resample=29),
    bures.prepare_root: Need(held=8, prepare=48, compare=24, resample=64),
}
