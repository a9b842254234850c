"""What `semrsm --version --verbose` prints: all that a report of a fault needs to say of the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import locale
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from semrsm.compute.run_report import versions
from semrsm.engine import native
from semrsm.engine.assignment import choose_solver
from semrsm.engine.devices import gpus
from semrsm.machine import cores, job_memory, processor
from semrsm.storage.formats.hdf5 import hdf5_version

VARIABLES = re.compile(r"(OMP|MKL|OPENBLAS|BLIS|TORCH|ATEN|CUDA|TRITON|HDF5|SEMRSM)_\w+")
"""Environment variables that change what torch, BLAS, HDF5 or semrsm do."""


def bug_report() -> Iterator[tuple[str, str]]:
    """Yield (what, value): versions of packages, the processor, GPUs, memory, and what is set."""
    yield "installed in", str(Path(__file__).parents[1])
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield from _packages()
    yield "hdf5", hdf5_version()
    yield "native core", ", ".join(native.targets()) or "not built"
    yield "solver on the CPU", choose_solver("cpu").name
    yield "system", platform.platform()
    yield "processor", f"{processor()}, {cores()} cores for this process"
    yield "memory", f"{job_memory() / 2**30:.1f} GiB for this process"
    yield "GPUs", "; ".join(gpus()) or "none that torch can use"
    yield "encoding", f"{sys.getfilesystemencoding()}, locale {locale.setlocale(locale.LC_CTYPE)}"
    for name in sorted(filter(VARIABLES.fullmatch, os.environ)):
        yield name, os.environ[name]


def _packages() -> Iterator[tuple[str, str]]:
    """Yield the packages that a result depends on, then the others that semrsm can use and are here."""
    known = {
        name: v for name, v in versions().items() if name not in ("semrsm", "python", "native")
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for requirement in importlib.metadata.requires("semrsm") or ():
            if re.search("extra == .(dev|bench)", requirement):
                continue
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                known.setdefault(name, importlib.metadata.version(name))
    yield from known.items()
