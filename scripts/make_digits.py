#!/usr/bin/env python3
"""Make semrsm/data/digits.h5: activations of a small ResNet and a small ViT for digits at random places.

Run it as `.venv/bin/python scripts/make_digits.py`; it needs scikit-learn (extra `dev`) for the digits.
What the file holds, and how well the two nets do, stands in semrsm/data/README.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, relu

SEED = 20241
DIGIT = 12  # side in pixels; scikit-learn's have one of 8
CANVAS = 32
DIGITS_PER_CLASS = 4
TEST_PLACES = 5
OUTPUT = Path(__file__).resolve().parents[1] / "semrsm" / "data" / "digits.h5"
ATTRIBUTES = {
    "description": "Activations of a small ResNet and a small ViT for held-out handwritten digits, "
    "each at two random places of a larger canvas; README.md beside this file says more.",
    "source": "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
    "Repository (1998), doi:10.24432/C50P49; its test part, as sklearn.datasets.load_digits returns it",
    "license": "digits: CC BY 4.0 (UCI Machine Learning Repository), upscaled and pasted on a canvas",
    "made_by": "scripts/make_digits.py",
    "seed": SEED,
}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a short cut, ReLU after the sum; zero padding keeps the grid."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels, h/stride, w/stride)."""
        return relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem and three residual blocks on grids of 16x16, 8x8 and 4x4, then the mean over the grid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.layers = nn.ModuleList(
            [ResidualBlock(16, 16, 1), ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2)]
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the output (n, c, h, w) of each residual block."""
        x = self.stem(x)
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return self.head(x.mean((2, 3))), outputs


class ViT(nn.Module):
    """Patches of 4x4 pixels, a class token, learned position embeddings, four pre-norm blocks."""

    def __init__(self) -> None:
        super().__init__()
        width, patch, depth = 48, 4, 4
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = 1 + (CANVAS // patch) ** 2
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the tokens (n, t, d) after each block, the class token first."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], 1) + self.places
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return self.head(self.norm(x[:, 0])), outputs


@dataclass(frozen=True)
class Net:
    """A net of the example: how it is built and trained, and how its maps are named and laid out."""

    build: Callable[[], nn.Module]
    layer: str
    layout: str
    epochs: int
    learning_rate: float


NETS = {
    "resnet": Net(ResNet, "layer", "nchw", epochs=40, learning_rate=5e-3),
    "vit": Net(ViT, "block", "ntd", epochs=120, learning_rate=2e-3),
}


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits (1797, DIGIT, DIGIT) uint8, upscaled bilinearly, and their labels."""
    digits = load_digits()
    images = torch.from_numpy(digits.images)[:, None] * (255 / 16)
    large = interpolate(images, size=DIGIT, mode="bilinear", align_corners=False)
    return large[:, 0].round().to(torch.uint8).numpy(), digits.target.astype(np.int64)


def random_places(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return the top left corners (n, 2) of n digits, uniform over the canvas."""
    return rng.integers(0, CANVAS - DIGIT + 1, (n, 2))


def paste(digits: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return canvases (n, CANVAS, CANVAS) uint8, 0 but for digit i at corners[i]."""
    canvases = np.zeros((len(digits), CANVAS, CANVAS), np.uint8)
    rows, columns = (corners[:, :, None] + np.arange(DIGIT)).transpose(1, 0, 2)
    canvases[np.arange(len(digits))[:, None, None], rows[:, :, None], columns[:, None, :]] = digits
    return canvases


def as_input(canvases: np.ndarray) -> Tensor:
    """Return canvases (n, h, w) uint8 as the nets take them: (n, 1, h, w) float32 in [0, 1]."""
    return torch.from_numpy(canvases)[:, None].float() / 255


def train(net: Net, digits: np.ndarray, labels: np.ndarray) -> nn.Module:
    """Train a net of the table, each digit at a new random place in each epoch; return it for use."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = net.build()
    batches = len(digits) // 64
    optimizer = torch.optim.AdamW(model.parameters(), net.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, net.learning_rate, net.epochs * batches, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(net.epochs):
        inputs = as_input(paste(digits, random_places(rng, len(digits))))
        for rows in np.array_split(rng.permutation(len(digits)), batches):
            optimizer.zero_grad()
            cross_entropy(model(inputs[rows])[0], torch.from_numpy(labels[rows])).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def test_accuracy(model: nn.Module, digits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right answers for every held-out digit at TEST_PLACES random places."""
    rng = np.random.default_rng(SEED + 1)
    right = [
        model(as_input(paste(digits, random_places(rng, len(digits)))))[0].argmax(1).numpy()
        == labels
        for _ in range(TEST_PLACES)
    ]
    return float(np.mean(right))


def pick_samples(digits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return images, labels and view ids: DIGITS_PER_CLASS digits a class, twice each, shuffled."""
    rng = np.random.default_rng(SEED + 2)
    chosen = np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == k), DIGITS_PER_CLASS, replace=False)
            for k in range(10)
        ]
    )
    rng.shuffle(chosen)
    twice = np.tile(np.arange(len(chosen)), 2)
    images = paste(digits[chosen[twice]], random_places(rng, len(twice)))
    order = rng.permutation(len(twice))
    return {
        "images": images[order],
        "labels": labels[chosen[twice[order]]],
        "views": twice[order].astype(np.int64),
    }


def write_layers(
    group: h5py.Group, net: Net, model: nn.Module, samples: dict[str, np.ndarray]
) -> None:
    """Write the maps of every layer (float16) and the logits (float32) of a net into its group."""
    with torch.no_grad():
        logits, outputs = model(as_input(samples["images"]))
    for number, output in enumerate(outputs, 1):
        maps = output.numpy().astype(np.float16)
        dataset = group.create_dataset(
            f"{net.layer}{number}",
            data=maps,
            chunks=(16, *maps.shape[1:]),
            compression="gzip",
            compression_opts=9,
            shuffle=True,
        )
        dataset.attrs["layout"] = net.layout
    group["logits"] = logits.numpy()
    right = logits.argmax(1).numpy() == samples["labels"]
    group["logits"].attrs["accuracy"] = float(right.mean())


def make(path: Path) -> None:
    """Train both nets and write the file under another name, then rename it to `path`."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_digits, digits, train_labels, labels = train_test_split(
        *read_digits(), test_size=0.25, stratify=load_digits().target, random_state=SEED
    )
    samples = pick_samples(digits, labels)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with h5py.File(aside, "w") as file:
            file.attrs.update(ATTRIBUTES)
            for name, values in samples.items():
                file.create_dataset(name, data=values, compression="gzip")
            for name, net in NETS.items():
                start = time.monotonic()
                model = train(net, train_digits, train_labels)
                accuracy = test_accuracy(model, digits, labels)
                file.attrs[f"{name}_test_accuracy"] = accuracy
                write_layers(file.create_group(name), net, model, samples)
                print(f"{name}: {accuracy:.2%} right, {time.monotonic() - start:.0f} s")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    make(parser.parse_args().output)
