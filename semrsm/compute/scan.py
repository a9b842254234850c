"""One pass over the samples before anything is matched: norms, bad data, and a digest of each sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput
from semrsm.compute.plan import LayerPlan
from semrsm.engine.kernels import KERNELS, refuse_zero_norms
from semrsm.errors import SemrsmError
from semrsm.storage.run_folder import Arrays, RunFolder

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Scanned:
    """What one pass over the samples of a layer found.

    Attributes:
        squared_norm: (n,) float64.
        digests: (n, 16) uint8, SHA-256, cut to 128 bits, of each sample's values as read.
        value_sum: (n,) float64, the sum of each sample's values; None in scans of before.
    """

    squared_norm: NDArray[np.float64]
    digests: NDArray[np.uint8]
    value_sum: NDArray[np.float64] | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of all digests, hexadecimal: what the samples hold, wherever they lie."""
        return hashlib.blake2b(self.digests.tobytes(), digest_size=DIGEST_BYTES).hexdigest()


@dataclass(frozen=True)
class LayerScan:
    """The scans of the row and the column samples of a layer."""

    rows: Scanned
    columns: Scanned


def scan_layer(plan: LayerPlan, folder: RunFolder, again: bool) -> LayerScan:
    """Return the scan of a layer: the one in the run folder, or a new one, which is put there.

    So bad data is found before hours of matching, not after.

    Args:
        plan: The layer.
        folder: The run folder.
        again: Read every sample once more and compare it with the scan that is there, as the file
            was written to since the run began.

    Raises SemrsmError if a sample cannot be read, or is another one than when it was scanned.
    """
    stored = _of_arrays(folder.read_scan(plan.name), plan)
    if stored is not None and not again:
        return stored
    rows = scan(plan.rows, plan.budget.piece)
    columns = rows if plan.symmetric else scan(plan.columns, plan.budget.piece)
    if stored is not None:
        refuse_changed(plan.rows, range(plan.rows.n_samples), rows.digests, stored.rows.digests)
        refuse_changed(
            plan.columns, range(plan.columns.n_samples), columns.digests, stored.columns.digests
        )
    folder.write_scan(plan.name, _as_arrays(LayerScan(rows, columns), plan.symmetric))
    return LayerScan(rows, columns)


def scan(layer: LayerInput, block: int) -> Scanned:
    """Read every sample of a layer once, `block` at a time; refuse values that are not finite."""
    from semrsm.engine.devices import one_thread
    from semrsm.engine.maps import value_sums

    norms, digests, sums = [], [], []
    with one_thread():
        for start in range(0, layer.n_samples, block):
            array = layer.read(range(start, min(start + block, layer.n_samples)))
            digests.append(digests_of(array))
            vectors = layer.as_vectors(array)
            norms.append(_squared_norms(layer, vectors, start))
            sums.append(value_sums(vectors).numpy())
    return Scanned(*(np.concatenate(parts) for parts in (norms, digests, sums)))


def _squared_norms(layer: LayerInput, vectors: Tensor, start: int) -> NDArray[np.float64]:
    from semrsm.engine.maps import squared_norms

    try:
        return squared_norms(vectors, layer.samples[start : start + len(vectors)]).numpy()
    except SemrsmError as error:
        raise error.within(layer.address) from error


def digests_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a digest of each sample, (n, ...) -> (n, 16) uint8: SHA-256, cut.

    Samples are digested whenever they are read, and processors have instructions for SHA-256.
    """
    samples = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    whole = b"".join(hashlib.sha256(sample.data).digest()[:DIGEST_BYTES] for sample in samples)
    return np.frombuffer(whole, np.uint8).reshape(len(array), DIGEST_BYTES)


def refuse_changed(
    layer: LayerInput,
    samples: range,
    digests: NDArray[np.uint8],
    expected: NDArray[np.uint8],
) -> None:
    """Raise SemrsmError naming the first of some samples that is another one than when it was scanned."""
    changed = np.flatnonzero((digests != expected).any(1))
    if len(changed):
        sample = layer.samples[samples[int(changed[0])]]
        raise SemrsmError(
            f"{layer.address}: sample {sample} has changed since the run began; put the old file back,"
            " or begin anew with `restart=True`"
        )


class CheckedSamples:
    """The samples of a layer as position vectors, each read compared with the digest of its scan."""

    def __init__(self, layer: LayerInput) -> None:
        self._layer = layer
        self._expected = np.zeros((layer.n_samples, DIGEST_BYTES), np.uint8)

    def expect(self, samples: range, digests: NDArray[np.uint8]) -> None:
        """Take note of the digests of some samples, before they are read."""
        self._expected[samples.start : samples.stop] = digests

    def __call__(self, samples: range) -> Tensor:
        """Return some samples, (len(samples), S, C).

        Raises SemrsmError if they cannot be read, or one is not what it was.
        """
        array = self._layer.read(samples, checked=False)
        expected = self._expected[samples.start : samples.stop]
        with ThreadPoolExecutor(1) as pool:  # while they are digested they are turned round
            digests = pool.submit(digests_of, array)
            vectors = self._layer.as_vectors(array)
        refuse_changed(self._layer, samples, digests.result(), expected)
        return vectors


def refuse_zeros(plan: LayerPlan, scan: LayerScan, kernels: Sequence[str]) -> None:
    """Raise SemrsmError if a map is zero everywhere and a kernel divides by its norm."""
    if not any(KERNELS[name].needs_norm for name in kernels):
        return
    for layer, scanned in ((plan.rows, scan.rows), (plan.columns, scan.columns)):
        try:
            refuse_zero_norms(scanned.squared_norm, layer.samples)
        except SemrsmError as error:
            raise error.within(layer.address) from error


def _as_arrays(scan: LayerScan, symmetric: bool) -> Arrays:
    sides = {"": scan.rows} if symmetric else {"row_": scan.rows, "column_": scan.columns}
    return {
        f"{prefix}{name}": getattr(side, name)
        for prefix, side in sides.items()
        for name in ("squared_norm", "digests", "value_sum")
        if getattr(side, name) is not None
    }


def _of_arrays(arrays: Arrays | None, plan: LayerPlan) -> LayerScan | None:
    """Return a stored scan; None where there is none, or one of other samples."""
    return None if arrays is None else scan_of(arrays, *plan.shape)


def scan_of(arrays: Arrays, n_rows: int, n_columns: int) -> LayerScan | None:
    """Return the scan that the arrays of a run folder hold; None if they are not of so many samples."""
    prefixes = ("", "") if "squared_norm" in arrays else ("row_", "column_")
    sides = []
    for prefix, n in zip(prefixes, (n_rows, n_columns), strict=True):
        norms, digests = (arrays.get(prefix + name) for name in ("squared_norm", "digests"))
        if norms is None or digests is None or norms.shape != (n,):
            return None
        if digests.shape != (n, DIGEST_BYTES) or digests.dtype != np.uint8:
            return None
        sums = arrays.get(f"{prefix}value_sum")
        if sums is not None and (sums.shape != (n,) or sums.dtype != np.float64):
            return None
        sides.append(Scanned(norms.astype(np.float64, copy=False), digests, sums))
    return LayerScan(*sides)
