"""The native core: exact matching in C++, loaded where it was built and the processor can run it.

Each call takes a chunk of pairs, runs in the calling thread and releases the GIL. The algorithms are
in src/, each with a readable twin: engine/bisection.py and engine/potentials.py for the start,
assignment/sap_reference.py for augmenting paths, assignment/scaling_reference.py for cost scaling.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from semrsm.errors import SemrsmError

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("avx512", "avx2", "baseline")
"""Kinds of processors, the fastest first; `baseline` runs on all."""
CHOICE = "SEMRSM_NATIVE_TARGET"
"""Environment variable that names a target, or `none` for doing without the core."""

_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")


@dataclass(frozen=True)
class Core:
    """The native core for one kind of processor.

    Attributes:
        target: One of TARGETS.
        library: Its functions.
    """

    target: str
    library: ctypes.CDLL

    def call(self, name: str, vectors: Tensor, *arguments: object) -> int:
        """Call a function for the type of `vectors`, float32 or float64, with these arguments.

        Tensors are passed as pointers, so they must be contiguous; whole numbers as int64.
        """
        function = getattr(self.library, f"semrsm_{name}_f{8 * vectors.element_size()}")
        function.restype = ctypes.c_int64
        return function(*(_as_c(argument) for argument in arguments))


def _as_c(argument: object) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    if isinstance(argument, ctypes.Array):
        return argument
    tensor = cast("Tensor", argument)
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


@functools.cache
def core() -> Core | None:
    """Return the core that is used here; None where it was not built, or is not wanted.

    Raises SemrsmError if the environment variable SEMRSM_NATIVE_TARGET names a target that is not here.
    """
    target = os.environ.get(CHOICE, "")
    if target == "none":
        return None
    if target:
        if target not in targets():
            here = ", ".join(targets()) or "none"
            raise SemrsmError(f"{CHOICE}={target}: no such native core here; there is: {here}")
        return load(target)
    return load(targets()[0]) if targets() else None


@functools.cache
def targets() -> tuple[str, ...]:
    """Return the targets that were built and that this processor runs, the fastest first."""
    if not _path("baseline").exists():
        return ()
    fastest = TARGETS[int(load("baseline").library.semrsm_fastest_target())]
    return tuple(t for t in TARGETS[TARGETS.index(fastest) :] if _path(t).exists())


@functools.cache
def load(target: str) -> Core:
    """Return the core for one of `targets`."""
    return Core(target, ctypes.CDLL(str(_path(target))))


def _path(target: str) -> Path:
    return Path(__file__).with_name("lib") / f"libsemrsm-{target}{_SUFFIX}"
