"""A CUDA device that is not there: torch.cuda is played by the CPU, which looks out for what would go wrong.

Tensors of the device lie in this machine's memory, so values are real. What a GPU would do later is done
at once, but it is written down which stream did it: a tensor that one stream has written and another one
reads without having waited is a race, and an operation that needs a number of the GPU makes it wait.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

WAITING = (
    *("nonzero", "_local_scalar_dense", "_unique2", "unique_dim", "masked_select", "equal"),
    "lift_fresh",  # torch.tensor: its numbers are copied from memory that is not pinned
)
"""Operations whose result, or its shape, the host has to wait for, or that wait themselves."""


@dataclass
class Card:
    """What a faked device says of itself."""

    name: str = "Faked GPU"
    multi_processor_count: int = 4
    total_memory: int = 8 << 30


class Stream:
    """A stream: how much it has done, and how much of other streams it has waited for."""

    def __init__(self, faked: FakedCuda) -> None:
        self.faked, self.done, self.seen = faked, 0, Counter()
        faked.streams.append(self)

    def synchronize(self) -> None:
        with self.faked.lock:
            self.faked.waits += 1
            self.faked.seen[self] = max(self.faked.seen[self], self.done)
        self.faked.on_wait()

    def __hash__(self) -> int:
        return id(self)


@dataclass
class FakedCuda:
    """The devices, and what was seen.

    Attributes:
        cards: The devices.
        waits: How often somebody waited for a stream.
        hidden_waits: Operations for which the host would have waited, and the threads.
        races: What was read or written too early.
        pinned: How often pinned memory was asked for.
        streams: All streams.
        on_wait: Called while somebody waits.
    """

    cards: list[Card] = field(default_factory=lambda: [Card()])
    waits: int = 0
    hidden_waits: list[tuple[str, str]] = field(default_factory=list)
    races: list[str] = field(default_factory=list)
    pinned: int = 0
    streams: list[Stream] = field(default_factory=list)
    seen: Counter = field(default_factory=Counter)
    lock: Any = field(default_factory=threading.RLock)
    written: dict[int, tuple[Stream, int]] = field(default_factory=dict)
    on_wait: Any = lambda: None
    interpreter: Any = field(default_factory=threading.RLock)
    watching: Any = field(default_factory=threading.local)

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """Be torch.cuda.stream."""
        with _Watch(self, stream) as self.watching.watch:
            yield
        self.watching.watch = None

    def of(self, device: object) -> Card:
        """Return the card with a number."""
        return self.cards[int(getattr(device, "index", device) or 0)]

    def install(self, patch: Any) -> FakedCuda:
        """Take the place of torch.cuda; `patch` is pytest's monkeypatch, or of its kind."""
        from semrsm.engine.backends import BACKENDS, cuda

        on_cpu = replace(BACKENDS["cuda"], place=lambda index: torch.device("cpu"))
        patch.setitem(BACKENDS, "cuda", on_cpu)
        patch.setattr(torch.cuda, "device_count", lambda: len(self.cards))
        patch.setattr(torch.cuda, "get_device_name", lambda k: self.of(k).name)
        patch.setattr(torch.cuda, "get_device_properties", self.of)
        memory = lambda k: (self.of(k).total_memory, self.of(k).total_memory)  # noqa: E731
        patch.setattr(torch.cuda, "mem_get_info", memory)
        patch.setattr(torch.cuda, "Stream", lambda place: Stream(self))
        patch.setattr(torch.cuda, "stream", self.stream)
        patch.setattr(torch, "empty", self._without_pinning(torch.empty))
        self._take_turns(patch)
        cuda._lanes.cache_clear()
        cuda._warmed.clear()
        return self

    def _take_turns(self, patch: Any) -> None:
        """Have threads use Triton's interpreter in turn: it runs one program at a time."""
        from triton.runtime.interpreter import GridExecutor

        launch = GridExecutor.__call__

        def in_turn(*args: Any, **options: Any) -> None:
            # It copies what it is given, and back, which says nothing of what a program reads and writes.
            watch = getattr(self.watching, "watch", None)
            for tensor in _tensors(args if watch else ()):
                watch.check(tensor, args[0].fn.__name__)
            with self.interpreter:
                self.watching.watch = None
                try:
                    launch(*args, **options)
                finally:
                    self.watching.watch = watch

        patch.setattr(GridExecutor, "__call__", in_turn)

    def _without_pinning(self, empty: Any) -> Any:
        def make(*args: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
            self.pinned += pin_memory
            return empty(*args, **options)

        return make


class _Watch(TorchDispatchMode):
    """Writes down what is done on a stream while it is the current one of a thread."""

    def __init__(self, faked: FakedCuda, stream: Stream) -> None:
        super().__init__()
        self.faked, self.stream = faked, stream

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        masks = name == "index" and any(
            isinstance(k, torch.Tensor) and k.dtype == torch.bool for k in args[1]
        )
        result = func(*args, **(kwargs or {}))
        if getattr(self.faked.watching, "watch", None) is not self:
            return result
        with self.faked.lock:
            if name in WAITING or masks:
                self.faked.hidden_waits.append((name, threading.current_thread().name))
            self.stream.done += 1
            self.stream.seen |= self.faked.seen
            for tensor in _tensors(args):
                self.check(tensor, name)
            given = {t.untyped_storage().data_ptr() for t in _tensors(args)}
            # What shares the memory of an input is a view: nothing is written.
            outputs = [
                t for t in _tensors((result,)) if t.untyped_storage().data_ptr() not in given
            ]
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    outputs += _tensors((value,))
            for tensor in outputs:
                key = tensor.untyped_storage().data_ptr()
                if key not in self.faked.written:
                    weakref.finalize(tensor, self.faked.written.pop, key, None)
                self.faked.written[key] = self.stream, self.stream.done
        return result

    def check(self, tensor: torch.Tensor, name: str) -> None:
        writer, when = self.faked.written.get(tensor.untyped_storage().data_ptr(), (self.stream, 0))
        if writer is not self.stream and self.stream.seen[writer] < when:
            self.faked.races.append(f"{name} of {tuple(tensor.shape)}")


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


class Lasting:
    """What pytest's monkeypatch does, for good: in a process of its own."""

    setattr = staticmethod(setattr)

    @staticmethod
    def setitem(table: dict, key: str, value: Any) -> None:
        """Put a value into a table."""
        table[key] = value
