"""Where to compute, and how precisely: what `--device` and `--precision` mean on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from semrsm.errors import SemrsmError


def find_device(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda or cuda:N.

    `auto` takes the first CUDA device there is, else the CPU; any other name is taken at its word.

    Raises SemrsmError if that device is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= there:
        have = f"{there} CUDA device{'s' * (there != 1)}" if there else "no CUDA device"
        raise SemrsmError(
            f"wanted --device {name}, but torch sees {have} here; use --device auto or cpu"
        )
    return device


def describe(device: torch.device) -> str:
    """Return a device's name for people: "cpu", or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def free_memory(device: torch.device) -> int:
    """Return how many bytes a device has free; for the CPU more than any machine has."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1 << 62


# Precision -> device type -> what torch calls it: plain float32, TF32 on a GPU, bfloat16 on a CPU.
PRECISIONS = {
    "exact": {"cpu": "highest", "cuda": "highest"},
    "fast": {"cpu": "medium", "cuda": "high"},
}


@contextlib.contextmanager
def product_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Have torch compute float32 products as a key of PRECISIONS says, and as before afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision][device.type])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
