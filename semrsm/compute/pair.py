"""Two samples of an activation file: their similarity under every kernel, and which positions match."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput, layer_input, open_maps
from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.plan import refuse_without_grid, work_of
from semrsm.compute.sample_choice import Ids
from semrsm.engine.kernels import KERNELS, Kernel, refuse_zero_norms
from semrsm.errors import SemrsmError
from semrsm.storage.activations import ActivationFile
from semrsm.storage.address import address_of
from semrsm.storage.sample_ids import number_of_sample, read_sample_ids

if TYPE_CHECKING:
    from semrsm.engine.pairs import Work

NO_SIGMA = "rbf needs a width; give `sigma` a number"


@dataclass(frozen=True)
class PairValue:
    """The similarity of two samples under one kernel.

    Attributes:
        layer: Name of the layer.
        i: The first sample, counted in the file.
        j: The second one.
        kernel: Name of the kernel.
        identity: The similarity of the same positions; None where it is not defined.
        matcher: Name of the matcher.
        matched: The similarity of the positions that it matched; None where it is not defined.
        reason: Why a value is None.
    """

    layer: str
    i: int
    j: int
    kernel: str
    identity: float | None
    matcher: str
    matched: float | None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Pair:
    """What was found for two samples.

    Attributes:
        values: One for each kernel.
        permutation: (S,) int64, the position p(s) of the second sample for position s of the first;
            None for a matcher that matches no positions.
        strength: (S,) float64, the inner product of each position with its match; they sum to m.
            None where there is no permutation.
        grid: ([depth,] height, width) of the positions; None for tokens.
        n_samples: How many samples the layer has.
    """

    values: list[PairValue]
    permutation: NDArray[np.int64] | None
    strength: NDArray[np.float64] | None
    grid: tuple[int, ...] | None
    n_samples: int

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield a record for each kernel, as `pandas.DataFrame` takes them."""
        return (value.as_json() for value in self.values)

    def matching(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return permutation and strength; raise SemrsmError if the matcher has none."""
        if self.permutation is None or self.strength is None:
            raise SemrsmError(
                f"the matcher {self.values[0].matcher} matches no positions, so there is no matching"
                " to save or draw; use another `matcher`"
            )
        return self.permutation, self.strength

    def drawn_grid(self) -> tuple[int, int]:
        """Return the grid to draw on: that of a map, or the square that a number of tokens makes.

        Raises SemrsmError for tokens that make no square, and for volumes.
        """
        S = len(self.matching()[0])
        if self.grid is not None:
            if len(self.grid) != 2:
                size = "x".join(map(str, self.grid))
                raise SemrsmError(
                    f"the {S} positions lie in a volume of {size}, and planes are drawn; leave out `plot`"
                )
            return self.grid[0], self.grid[1]
        side = math.isqrt(S)
        if side * side != S:
            raise SemrsmError(
                f"{S} tokens are no square grid to draw on; leave out the class token with"
                " `skip_tokens=1` or leave out `plot`"
            )
        return side, side


def compare_pair(
    activations: str | Path,
    i: int | str,
    j: int | str,
    *,
    layer: str | None = None,
    matcher: str = "optimal",
    sigma: float | None = None,
    skip_tokens: int = 0,
    device: str = "cpu",
) -> Pair:
    """Return the similarity of two samples under every kernel, with and without matching.

    The values are those of the RSM at (i, j): the pair is matched as (smaller, larger) and turned
    round where i > j, and a sample with itself has m = |x|^2 and stays where it is.

    Args:
        activations: Activation file, or `path::layer`.
        i: A sample: its number in the file, counted from 0, or its id.
        j: Another one, or the same.
        layer: Name of the layer; needed where the file holds several.
        matcher: A key of MATCHERS.
        sigma: Width of rbf; without one its values are None.
        skip_tokens: Leave out so many tokens at the front.
        device: Where to match: auto, cpu, cuda or cuda:N.

    Raises:
        SemrsmError: There is no such file, layer, sample, matcher or device, several layers are meant, or
            the matcher needs a grid and there is none.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example: two views of the same digit.
        >>> from semrsm.data import digits_path
        >>> pair = compare_pair(digits_path(), 0, 10, layer="resnet/layer3")
        >>> [value.kernel for value in pair.values], pair.permutation.shape, pair.grid
        (['linear', 'cosine', 'rbf'], (16,), (4, 4))
    """
    run = options_of({"kernel": "linear", "skip_tokens": skip_tokens, "device": device})
    if sigma is not None:
        options_of({"sigma": sigma})
    with _opened(activations, layer, run) as (rows, ids):
        n = rows.n_samples
        i, j = (
            number_of_sample(sample, n, functools.partial(ids, n), rows.address)
            for sample in (i, j)
        )
        work = work_of(replace(run, matcher=matcher), rows)
        if work.matcher.needs_plane:
            refuse_without_grid(work.matcher, rows, rows)
        vectors = [rows.vectors(range(k, k + 1)) for k in (i, j)]
        same, _ = _match(rows, i, j, work_of(replace(run, matcher="identity"), rows))
        matched, permutation = _match(rows, i, j, work)
    x, y = (v[0].numpy().astype(np.float64) for v in vectors)
    squared = np.array([np.vdot(x, x), np.vdot(y, y)])
    values = []
    for kernel in KERNELS.values():
        numbers, reasons = [], []
        for m, has_permutation in ((same, True), (matched, work.matcher.permutation)):
            reason = _undefined(kernel, squared, (i, j), sigma, has_permutation, matcher)
            reasons += [reason] if reason else []
            numbers.append(None if reason else _finish(kernel, m, squared, sigma))
        reason = reasons[0] if reasons else None
        values.append(
            PairValue(rows.layer.name, i, j, kernel.name, numbers[0], matcher, numbers[1], reason)
        )
    strength = None if permutation is None else (x * y[permutation]).sum(1)
    return Pair(values, permutation, strength, rows.extent, rows.n_samples)


@contextmanager
def _opened(
    activations: str | Path, layer: str | None, run: RunOptions
) -> Iterator[tuple[LayerInput, Ids]]:
    """Open the one layer that is meant, and give what reads the ids of its samples."""
    path, named = address_of(activations)
    with open_maps(path) as file:
        yield _only_layer(file, layer or named, run), functools.partial(read_sample_ids, file)


def _only_layer(file: ActivationFile, name: str | None, run: RunOptions) -> LayerInput:
    layers = file.select((name,) if name else ())
    if len(layers) > 1:
        raise SemrsmError(
            f"{file.path} holds the layers {', '.join(layers)}; choose one with `layer`"
        )
    return layer_input(file.path, next(iter(layers.values())), run)


def _match(rows: LayerInput, i: int, j: int, work: Work) -> tuple[float, NDArray[np.int64] | None]:
    """Return m and the permutation from i to j, as the RSM has them."""
    import torch

    from semrsm.engine.blocks import ready
    from semrsm.engine.devices import product_precision
    from semrsm.engine.pairs import match_pairs

    first, second = (ready(rows.vectors, range(k, k + 1), work) for k in (min(i, j), max(i, j)))
    if i == j and work.matcher.permutation:
        return float(first.maps.squared_norm[0]), np.arange(rows.n_positions)
    with product_precision(work.precision, work.device):
        matched_pairs = match_pairs(first, second, torch.zeros(1, 2, dtype=torch.int64), work)
    if matched_pairs.permutation is None:
        return float(matched_pairs.matched[0]), None
    permutation = matched_pairs.permutation[0].cpu().numpy()
    return float(matched_pairs.matched[0]), permutation if i < j else np.argsort(permutation)


def _undefined(
    kernel: Kernel,
    squared: NDArray[np.float64],
    samples: tuple[int, int],
    sigma: float | None,
    has_permutation: bool,
    matcher: str,
) -> str | None:
    """Say why a kernel has no value for a pair; None if it has one."""
    if kernel.needs_sigma and sigma is None:
        return NO_SIGMA
    if kernel.needs_norm:
        for sample, norm in zip(samples, squared, strict=True):
            try:
                refuse_zero_norms(np.array([norm]), range(sample, sample + 1))
            except SemrsmError:
                return f"sample {sample} is zero everywhere"
    if kernel.needs_permutation and not has_permutation:
        return f"{matcher} matches no positions"
    return None


def _finish(kernel: Kernel, m: float, squared: NDArray[np.float64], sigma: float | None) -> float:
    return float(kernel.finish(np.array([[m]]), squared[:1], squared[1:], sigma)[0, 0])
