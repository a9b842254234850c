"""Where to compute, and how precisely: what `device` and `precision` mean on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from semrsm.errors import SemrsmError

if TYPE_CHECKING:
    from semrsm.engine.backends import Backend


@dataclass(frozen=True)
class Device:
    """A device that pairs are matched on.

    Attributes:
        kind: A key of BACKENDS.
        index: Which device of this kind.
    """

    kind: str = "cpu"
    index: int = 0

    @property
    def backend(self) -> Backend:
        """All that is particular about this kind of device."""
        from semrsm.engine.backends import BACKENDS

        return BACKENDS[self.kind]

    @property
    def place(self) -> torch.device:
        """Where torch keeps its tensors."""
        return self.backend.place(self.index)

    def __str__(self) -> str:
        """Return its name as `device` takes it."""
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"

    def describe(self) -> str:
        """Return its name for people: "cpu", or the GPU's model."""
        return self.backend.describe(self.index)


def find_device(name: str) -> Device:
    """Return the device called auto, cpu, cuda or cuda:N.

    `auto` takes the first CUDA device there is, else the CPU; any other name is taken at its word.

    Raises SemrsmError if that device is not there, or cannot be used.
    """
    if name == "auto":
        name = "cuda" if _n_gpus() else "cpu"
    kind, _, index = name.partition(":")
    device = Device(kind, int(index or 0))
    there = device.backend.count()
    if device.index >= there:
        have = f"{there} CUDA device{'s' * (there != 1)}" if there else "no CUDA device"
        raise SemrsmError(
            f"wanted `device='{name}'`, but torch sees {have} here that Triton can use;"
            " use `device='auto'` or `device='cpu'`"
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
    there = _n_gpus()
    if not there:
        raise SemrsmError("wanted all CUDA devices, but torch sees none here; use `device='cpu'`")
    return [f"cuda:{index}" for index in range(there)]


def gpus() -> list[str]:
    """Return the model of every GPU that pairs can be matched on, and the CUDA that torch is built for."""
    return [
        f"{Device('cuda', index).describe()} (CUDA {torch.version.cuda})"
        for index in range(_n_gpus())
    ]


def _n_gpus() -> int:
    return Device("cuda").backend.count()


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


@contextlib.contextmanager
def product_precision(precision: str, device: Device) -> Iterator[None]:
    """Have torch compute float32 products as `precision` says, and as before afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(device.backend.precisions[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
