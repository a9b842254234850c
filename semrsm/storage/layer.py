"""A layer: one array of an activation file, and reading its samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.storage.damage import DAMAGE

READABLE = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Layer:
    """One array of an activation file: what is known of it, and how its samples are read.

    Attributes:
        name: Its name in the file; nested HDF5 groups are joined by "/".
        shape: (n, ...): the first axis counts samples.
        dtype: As stored; bfloat16 arrives as uint16 or 2-byte void.
        layout: The dataset's attribute `layout`, None where there is none.
        bfloat16: The 2-byte numbers are bfloat16.
        loaded_whole: Reading any part loads all of it (a compressed .npz member).
        rows: Gives the samples of a slice as stored.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[slice], NDArray[Any]]
    layout: str | None = None
    bfloat16: bool = False
    loaded_whole: bool = False

    @property
    def n_samples(self) -> int:
        """How many samples (rows of the first axis) there are."""
        return self.shape[0]

    @property
    def n_bytes(self) -> int:
        """Size in bytes when loaded as stored."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def problem(self) -> str | None:
        """Say in a clause why this array is no layer to compute with; None if it is one."""
        if self.bfloat16:
            if self.dtype.itemsize != 2 or self.dtype.kind not in "uV":
                return f"holds {self.dtype}, which cannot be bfloat16"
        elif self.dtype.newbyteorder("=") not in READABLE:
            two_bytes = self.dtype.itemsize == 2 and self.dtype.kind in "uV"
            hint = " (--bfloat16 if that is what it holds)" if two_bytes else ""
            return f"holds {self.dtype}, not float16, float32 or float64{hint}"
        if not 2 <= len(self.shape) <= 4:
            return f"has {len(self.shape)} dimensions (shape {self.shape}), not 2, 3 or 4"
        return None

    def read(self, samples: range, checked: bool = True) -> NDArray[np.floating]:
        """Read some samples.

        Args:
            samples: Which, counted in the file, ascending.
            checked: Refuse values that are not finite.

        Returns:
            (len(samples), ...) float32, or float64 where the file holds that.

        Raises:
            SemrsmError: The file cannot be read there, or a value is NaN or infinite.
        """
        try:
            block = self.rows(slice(samples.start, samples.stop, samples.step))
        except DAMAGE as error:
            raise SemrsmError(
                f"samples {samples.start} to {samples[-1]} cannot be read ({error}):"
                " the file is damaged or cut short; save or copy it again"
            ) from error
        block = _as_float(block, self.bfloat16)
        if checked:
            _refuse_non_finite(block, samples)
        return block


def _as_float(block: NDArray[Any], bfloat16: bool) -> NDArray[np.floating]:
    """Return `block` as float32, or as float64 where it is that; bfloat16 is widened bit by bit."""
    if bfloat16:
        bits = block.view(np.uint16) if block.dtype.kind == "V" else block
        return (bits.astype(np.uint32) << 16).view(np.float32)
    # Writable, as torch warns of what is mapped read-only.
    return np.require(block, np.float64 if block.dtype.itemsize == 8 else np.float32, ("C", "W"))


def _refuse_non_finite(block: NDArray[np.floating], samples: range) -> None:
    """Raise SemrsmError naming the first sample that holds NaN or infinity."""
    # The sum is finite only if every value is, so the common case is one cheap pass.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)):
            return
    finite = np.isfinite(block.reshape(len(block), -1)).all(axis=1)
    if not finite.all():
        bad = samples[int(np.argmin(finite))]
        raise SemrsmError(
            f"sample {bad} holds NaN or infinity; leave it out with --samples or save it again"
        )
