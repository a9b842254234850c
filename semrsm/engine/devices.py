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


def devices_of(name: str) -> list[str]:
    """Return the names of the devices that a name means: one, several joined by commas, or all GPUs.

    Raises SemrsmError if all GPUs are meant and there is none.

    >>> devices_of("cuda:0,cuda:2"), devices_of("cpu")
    (['cuda:0', 'cuda:2'], ['cpu'])
    """
    if name != "all":
        return name.split(",")
    there = torch.cuda.device_count()
    if not there:
        raise SemrsmError("wanted all CUDA devices, but torch sees none here; use --device cpu")
    return [f"cuda:{index}" for index in range(there)]


def describe(device: torch.device) -> str:
    """Return a device's name for people: "cpu", or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def free_memory(device: torch.device) -> int:
    """Return how many bytes a device has free; for the CPU more than any machine has."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1 << 62


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute with one thread, and with as many as before afterwards.

    Several threads of torch would share a sum between them, and round it otherwise than one does.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
