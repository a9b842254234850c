"""A layer: one array of an activation file, and reading its samples."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.sample_numbers import spans
from semrsm.storage.damage import DAMAGE, remedy_of

T = TypeVar("T")

MOST_GAPS = 3  # of the gaps of a layer, in one sentence

READABLE = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Gap:
    """Samples of which a file has no values, so that a reader would be given zeros.

    Attributes:
        samples: Which, counted in the file, one behind the other.
        why: What is missing, in a clause.
    """

    samples: range
    why: str

    def __str__(self) -> str:
        return f"{_named(self.samples)} hold no values: {self.why}"


def gaps_between(counts: Mapping[int, int], per_row: int, edge: int, n: int, why: str) -> list[Gap]:
    """Return the samples whose chunks are not all there.

    Args:
        counts: How many chunks there are in each row of chunks; rows without any are left out.
        per_row: How many there should be.
        edge: Samples in a row of chunks.
        n: Samples in all.
        why: What is missing, in a clause.

    >>> [str(gap) for gap in gaps_between({0: 2, 2: 2}, 2, 4, 10, "lost")]
    ['samples 4 to 7 hold no values: lost']
    """
    whole = sorted(row for row, count in counts.items() if count == per_row)
    ends = zip([-1, *whole], [*whole, -(-n // edge)], strict=True)
    gaps = (range((a + 1) * edge, min(b * edge, n)) for a, b in ends)
    return [Gap(gap, why) for gap in gaps if gap]


def sentence_of(gaps: Sequence[Gap]) -> str:
    """Name the first gaps, and say how many more there are."""
    more = f" (and {len(gaps) - MOST_GAPS} more gaps)" if len(gaps) > MOST_GAPS else ""
    return "; ".join(map(str, gaps[:MOST_GAPS])) + more


def _named(samples: range) -> str:
    return f"samples {samples.start} to {samples[-1]}" if samples else "no samples"


def _meet(samples: range, gap: range) -> bool:
    """Say whether any of some samples, ascending, is in a gap."""
    first = max(0, -((samples.start - gap.start) // samples.step))
    return first < len(samples) and samples[first] < gap.stop


@dataclass(frozen=True)
class Layer:
    """One array of an activation file: what is known of it, and how its samples are read.

    Attributes:
        name: Its name in the file; nested HDF5 groups are joined by "/".
        shape: (n, ...): the first axis counts samples.
        dtype: As stored; bfloat16 arrives as uint16 or 2-byte void.
        layout: The dataset's attribute `layout`, None where there is none.
        bfloat16: The 2-byte numbers are bfloat16.
        loaded_bytes: What reading any part of it loads at once (all of a compressed .npz member).
        pickled: Its values are Python objects, which are never unpickled.
        rows: Gives the samples of a slice as stored; `take` checks them.
        note: What should be known before it is used, such as that its file is incomplete.
        find_gaps: Gives the samples of which the file has no values, by their first one.
        find_sources: Gives the other files that its values lie in.
        refuse_written: Raises OSError if the file of some samples was written to since it was opened.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[slice], NDArray[Any]]
    layout: str | None = None
    bfloat16: bool = False
    loaded_bytes: int = 0
    pickled: bool = False
    note: str | None = None
    find_gaps: Callable[[], Sequence[Gap]] = tuple
    find_sources: Callable[[], Sequence[Path]] = tuple
    refuse_written: Callable[[slice], None] = lambda samples: None

    @property
    def n_samples(self) -> int:
        """How many samples (rows of the first axis) there are."""
        return self.shape[0]

    @property
    def n_bytes(self) -> int:
        """Size in bytes when loaded as stored."""
        return math.prod(self.shape) * self.dtype.itemsize

    @functools.cached_property
    def gaps(self) -> Sequence[Gap]:
        """The samples of which the file has no values; looked for when it is asked for first.

        Raises SemrsmError if that cannot be told.
        """
        return self._looked_at(self.find_gaps)

    @functools.cached_property
    def sources(self) -> Sequence[Path]:
        """The other files that its values lie in: parts of a virtual dataset, external files.

        Raises SemrsmError if that cannot be told.
        """
        return self._looked_at(self.find_sources)

    def _looked_at(self, find: Callable[[], Sequence[T]]) -> Sequence[T]:
        try:
            return find()
        except DAMAGE as error:
            raise SemrsmError(
                f"its parts cannot be looked at ({error}): {remedy_of(error)}"
            ) from error

    def problem(self) -> str | None:
        """Say in a clause why this array is no layer to compute with; None if it is one."""
        if self.bfloat16:
            if self.dtype.itemsize != 2 or self.dtype.kind not in "uV":
                return f"holds {self.dtype}, which cannot be bfloat16"
        elif self.dtype.newbyteorder("=") not in READABLE:
            two_bytes = self.dtype.itemsize == 2 and self.dtype.kind in "uV"
            hint = " (`bfloat16=True` if that is what it holds)" if two_bytes else ""
            return f"holds {self.dtype}, not float16, float32 or float64{hint}"
        if not 2 <= len(self.shape) <= 5:
            return f"has {len(self.shape)} dimensions (shape {self.shape}), not 2, 3, 4 or 5"
        return None

    def take(self, span: slice, checked: bool = True) -> NDArray[Any]:
        """Return some samples as stored, never what stands for values that the file does not have.

        Raises SemrsmError as `read` does, but for values that are not finite.
        """
        samples = range(*span.indices(self.n_samples))
        try:
            gaps = [gap for gap in self.gaps if _meet(samples, gap.samples)]
            if gaps:
                out = ",".join(spans(gap.samples) for gap in gaps if gap.samples)
                raise SemrsmError(
                    f"{sentence_of(gaps)}; save it again, or leave these samples out with `exclude='{out}'`"
                )
            block = self.rows(span)
            if checked:
                self.refuse_written(span)
        except MemoryError as error:
            raise SemrsmError(
                f"{_named(samples)} take more memory than there is; read fewer at a time"
            ) from error
        except DAMAGE as error:
            raise SemrsmError(
                f"{_named(samples)} cannot be read ({error}): {remedy_of(error)}"
            ) from error
        return block

    def read(self, samples: range, checked: bool = True) -> NDArray[np.floating]:
        """Read some samples.

        Args:
            samples: Which, counted in the file, ascending.
            checked: Refuse values that are not finite, and a file that was written to since it was
                opened. What is known by its digest needs no check.

        Returns:
            (len(samples), ...) float32, or float64 where the file holds that.

        Raises:
            SemrsmError: The file cannot be read there, holds no values there, or was written to; or
                a value is NaN or infinite.
        """
        block = self.take(slice(samples.start, samples.stop, samples.step), checked)
        block = _as_float(block, self.bfloat16)
        if checked:
            _refuse_non_finite(block, samples)
        return block


def _as_float(block: NDArray[Any], bfloat16: bool) -> NDArray[np.floating]:
    """Return `block` as float32, or as float64 where it is that; bfloat16 is widened bit by bit."""
    if bfloat16:
        bits = block.view(np.uint16) if block.dtype.kind == "V" else block
        return (bits.astype(np.uint32) << 16).view(np.float32)
    # Writable, as torch warns of what is read-only.
    return np.require(block, np.float64 if block.dtype.itemsize == 8 else np.float32, ("C", "W"))


def _refuse_non_finite(block: NDArray[np.floating], samples: range) -> None:
    """Raise SemrsmError naming the samples that hold NaN or infinity."""
    # The sum is finite only if every value is, so the common case is one cheap pass.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)):
            return
    finite = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
    if not finite.all():
        bad = [samples[row] for row in np.flatnonzero(~finite).tolist()]
        named = spans(bad)
        raise SemrsmError(
            f"sample {named} holds NaN or infinity; leave it out with `exclude='{named}'` or save it again"
            if len(bad) == 1
            else f"samples {named} hold NaN or infinity; leave them out with `exclude='{named}'` or save"
            " them again"
        )
