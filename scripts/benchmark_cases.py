"""What the benchmarks of matching are timed on: real maps, and made ones of kinds that the real ones lack."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SEMRSM_SHARED_DATA", ROOT.parent / "shared" / "data"))
RESNET = DATA / "resnet18_imagenet_24.h5"
NOISE = 0.05  # by which the copies of a sample differ, of every value


@dataclass(frozen=True)
class Case:
    """A layer, how many of its samples are taken how many times over, and how often each way is timed."""

    layer: str
    samples: int
    copies: int
    repeats: int

    @property
    def n(self) -> int:
        """Samples in the file that is timed."""
        return self.samples * self.copies

    @property
    def pairs(self) -> int:
        """Pairs that are solved."""
        return self.n * (self.n - 1) // 2

    @property
    def maps(self) -> NDArray[np.float32]:
        """The samples, (samples, c, h, w) or (samples, t, d)."""
        if self.layer in MADE:
            return MADE[self.layer](np.random.default_rng(0), self.samples)
        with h5py.File(RESNET) as source:
            return source[self.layer][: self.samples].astype(np.float32)


def write_case(case: Case, path: Path) -> tuple[int, int]:
    """Write the samples that are timed, stored plainly; returns (S, C)."""
    maps = case.maps
    copies = np.concatenate([maps] * case.copies)
    # A copy that is hardly changed would be matched again in float64.
    noise = np.random.default_rng(0).normal(1, NOISE, copies.shape).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset(case.layer, data=copies * noise if case.copies > 1 else maps)
    if maps.ndim == 3:
        return maps.shape[1], maps.shape[2]
    return maps.shape[2] * maps.shape[3], maps.shape[1]


def tokens(rng: np.random.Generator, n: int, S: int, C: int = 768) -> NDArray[np.float32]:
    """Make tokens (n, S, C) like those of a ViT.

    An embedding of the place that all samples share, content of low rank, two channels that are
    large everywhere, and four tokens of ten times the usual size at places of their own.
    """
    place = rng.normal(size=(S, 24)) @ rng.normal(size=(24, C)) / 5
    content = rng.normal(size=(n, S, 48)) @ rng.normal(size=(48, C)) / 7
    found = place + content + 0.3 * rng.normal(size=(n, S, C))
    found[:, :, rng.choice(C, 2, replace=False)] += 20
    for sample in found:
        sample[rng.choice(S, 4, replace=False)] *= 10
    return found.astype(np.float32)


def sparse_relu(
    rng: np.random.Generator, n: int, C: int = 256, side: int = 14
) -> NDArray[np.float32]:
    """Make maps (n, C, 14, 14) after a ReLU of which two positions in three are zero in all channels."""
    mixing = rng.normal(size=(32, C)).astype(np.float32)
    maps = np.maximum(rng.normal(size=(n, side * side, 32)).astype(np.float32) @ mixing, 0)
    maps *= rng.random((n, side * side, 1)) < 1 / 3
    return np.ascontiguousarray(maps.transpose(0, 2, 1)).reshape(n, C, side, side)


MADE: dict[str, Callable[[np.random.Generator, int], NDArray[np.float32]]] = {
    "tokens-196": lambda rng, n: tokens(rng, n, 196),
    "tokens-576": lambda rng, n: tokens(rng, n, 576),
    "zeros-196": sparse_relu,
}

# A pair of layer1 takes SciPy 23 s, so few are taken there.
CASES = {
    case.layer: case
    for case in (
        Case("layer4", samples=24, copies=20, repeats=3),
        Case("layer3", samples=24, copies=5, repeats=3),
        Case("layer2", samples=24, copies=1, repeats=3),
        Case("layer1", samples=4, copies=1, repeats=1),
        Case("tokens-196", samples=48, copies=1, repeats=3),
        Case("tokens-576", samples=24, copies=1, repeats=3),
        Case("zeros-196", samples=48, copies=1, repeats=3),
    )
}
