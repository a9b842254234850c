"""Triton's interpreter where there is no GPU, and the affinities of real maps."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

# Triton reads it when it is imported, and the tests in this folder are what imports it.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# Triton 3.9 warns where this, its default, is left unsaid, and here warnings are errors.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


@pytest.fixture
def real_affinity(shared_data: Path) -> Callable[..., Tensor]:
    """Return a function (layer, samples, crop) -> (B, S, B, S) float32 of centred ResNet18 maps."""

    def make(layer: str, samples: int = 4, crop: int | None = None) -> Tensor:
        with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
            maps = np.asarray(file[layer][:samples, :, :crop, :crop], dtype=np.float64)
        vectors = torch.from_numpy(maps).flatten(2).transpose(1, 2)
        vectors = vectors - vectors.mean(1, keepdim=True)
        return torch.einsum("isc,jtc->isjt", vectors, vectors).float()

    return make


@pytest.fixture
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory holds NaN and absurd integers, so whatever is read before it is written shows."""
    empty, empty_like = torch.empty, torch.empty_like

    def poison(tensor: Tensor) -> Tensor:
        return tensor.fill_(torch.nan if tensor.dtype.is_floating_point else 123)

    monkeypatch.setattr(torch, "empty", lambda *a, **k: poison(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: poison(empty_like(*a, **k)))
