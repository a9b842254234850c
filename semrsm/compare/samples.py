"""RSMs of the same samples in the same order: checked, or aligned by the ids of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import BLOCK_BYTES, Matrix
from semrsm.rsms import Rows, Rsm
from semrsm.same_samples import MATCH_IDS, check_same_samples
from semrsm.storage.rsm_writer import CHUNK

LARGEST_STRIP = 1 << 27  # bytes of the rows of an RSM that are kept, so that no chunk is read twice


@dataclass(frozen=True)
class ComparedRsm:
    """An RSM as measures read it: some of its samples, in an order, larger = more similar.

    It is a `semrsm.measures.matrices.Matrix`: rows are read when they are asked for.

    Attributes:
        rsm: The RSM.
        order: (n,) which of its samples, None for all as they are.
        distance: It holds distances d, which are read as -d / 2.
        dtype: Of its entries.
        read: Gives rows as they are stored.
    """

    rsm: Rsm
    order: NDArray[np.intp] | None
    distance: bool
    dtype: np.dtype[Any]
    read: Rows

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        n = self.rsm.shape[0] if self.order is None else len(self.order)
        return n, n

    @property
    def name(self) -> str:
        """What a sentence calls it, such as "layer3 of b.rsm.h5"."""
        return f"{self.rsm.layer} of {self.rsm.path}" if self.rsm.layer else str(self.rsm.path)

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        """Return the rows of a slice, (k, n)."""
        if self.order is None:
            block = self.read(rows)
        else:
            order = self.order[rows]
            ends = np.flatnonzero(np.diff(order) != 1) + 1  # each run of neighbours is read at once
            runs = [self.rsm.rows(slice(int(r[0]), int(r[-1]) + 1)) for r in np.split(order, ends)]
            block = np.concatenate(runs)[:, self.order]
        return -block / 2 if self.distance else block

    def loaded(self) -> NDArray[np.floating]:
        """Return all of it, (n, n), read by blocks of rows."""
        return loaded(self)


def loaded(matrix: Matrix) -> NDArray[np.floating]:
    """Return a matrix in memory, (n, n), read by blocks of rows."""
    n = matrix.shape[0]
    whole = np.empty((n, n), matrix.dtype)
    step = max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, step):
        whole[start : start + step] = matrix[start : min(start + step, n)]
    return whole


def strip_bytes(n: int) -> int:
    """Return what a strip of whole chunks takes; 0 where it is too large, or blocks hold whole ones."""
    size = 8 * CHUNK * n
    return size if BLOCK_BYTES < size <= LARGEST_STRIP else 0


def by_strips(rows: Rows, n: int) -> Rows:
    """Return what gives rows too, and reads each chunk of the file once when they are few at a time.

    An RSM file stores chunks of CHUNK rows, which are read whole whoever wants a part; so the last
    strip of them is kept.

    Args:
        rows: Gives rows, (k, n).
        n: Samples.
    """
    if not strip_bytes(n):
        return rows
    kept: dict[int, NDArray[np.floating]] = {}

    def read(span: slice) -> NDArray[np.floating]:
        first, stop, _ = span.indices(n)
        parts = []
        for strip in range(first // CHUNK * CHUNK, max(stop, first + 1), CHUNK):
            if strip not in kept:
                kept.clear()
                kept[strip] = rows(slice(strip, min(strip + CHUNK, n)))
            parts.append(kept[strip][max(first - strip, 0) : stop - strip])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return read


def as_compared(
    rsms: Sequence[Rsm],
    *,
    align: bool = False,
    by_position: bool = False,
    distance: bool = False,
) -> list[ComparedRsm]:
    """Return RSMs as measures read them, over the same samples in the same order.

    Args:
        rsms: Symmetric RSMs.
        align: Take the samples that all of them have, by id, in the order of the first RSM.
        by_position: Row i of all is of one sample, whatever ids and records say.
        distance: Plain matrices hold distances; those of RSM files are similarities as ever.

    Raises:
        SemrsmError: One is rectangular; or, without `align`, `check_same_samples` refuses them; or,
            with it, ids are missing, given twice or not shared.
    """
    if align and by_position:
        raise SemrsmError("`align` and `by_position` exclude each other; leave one out")
    for rsm in rsms:
        if not rsm.symmetric:
            raise SemrsmError(
                f"{rsm.address} is rectangular ({rsm.shape[0]} x {rsm.shape[1]}): its rows and columns"
                " are not the same samples; compare RSMs of one set of samples"
            )
    orders: list[NDArray[np.intp] | None] = [None] * len(rsms)
    if align:
        orders = list(_aligned(rsms))
    else:
        check_same_samples(rsms, MATCH_IDS, by_position=by_position)
    return [
        ComparedRsm(
            rsm,
            order,
            distance and rsm.matcher is None,
            rsm.rows(slice(0, 1)).dtype,
            by_strips(rsm.rows, rsm.shape[0]),
        )
        for rsm, order in zip(rsms, orders, strict=True)
    ]


def _aligned(rsms: Sequence[Rsm]) -> list[NDArray[np.intp]]:
    places: list[dict[str, int]] = []
    for rsm in rsms:
        if rsm.samples is None:
            raise SemrsmError(
                f"{rsm.address} holds no sample ids to align; leave `align` out if it holds the same"
                " samples in the same order"
            )
        places.append({sample: place for place, sample in enumerate(rsm.samples)})
        if len(places[-1]) < len(rsm.samples):
            twice = next(s for i, s in enumerate(rsm.samples) if places[-1][s] != i)
            raise SemrsmError(
                f"{rsm.address} holds the sample id '{twice}' twice, so it cannot be aligned;"
                " give every sample an id of its own"
            )
    common = [sample for sample in places[0] if all(sample in other for other in places)]
    if not common:
        raise SemrsmError(
            f"{rsms[0].address} and {rsms[-1].address} have no sample ids in common;"
            " compare RSMs of the same samples"
        )
    return [np.array([place[sample] for sample in common]) for place in places]
