"""Builds the native core with the package, once for each kind of processor; without a compiler, says so.

The libraries are plain C interfaces that Python loads at run time, so one wheel serves every Python.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("semrsm", "engine", "native")
FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"),
    *("-fno-math-errno", "-ffp-contract=fast"),
)
X86 = ("x86_64", "amd64")
TARGETS: dict[str, tuple[str, ...]] = {
    "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    "avx2": ("-march=x86-64-v3",),
    "baseline": (),
}
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")


class NativeCore(BuildHookInterface):
    """Compiles the core; an installation without it is complete and slower."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the libraries beside their sources and add them to the wheel."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        built = compile_all(root / NATIVE / "src" / "core.cpp", root / NATIVE / "lib")
        if not built:
            self.app.display_warning(
                "semrsm: no C++17 compiler was found, so the native core is not built; exact matching"
                " takes laprust (extra `fast`) or SciPy instead, several times as long"
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = (
            f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        )
        build_data["artifacts"] += [f"/{path.relative_to(root).as_posix()}" for path in built]


def compile_all(source: Path, folder: Path, more: tuple[str, ...] = ()) -> list[Path]:
    """Compile the core for every target of this machine's architecture; returns the libraries."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"libsemrsm-*{SUFFIX}"):
        old.unlink()
    names = TARGETS if platform.machine().lower() in X86 else ("baseline",)
    built = [_compile(source, folder / f"libsemrsm-{name}{SUFFIX}", name, more) for name in names]
    return [path for path in built if path is not None]


def _compile(source: Path, library: Path, target: str, more: tuple[str, ...]) -> Path | None:
    """Compile one library; None where no compiler of this machine can."""
    for compiler in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if not compiler or shutil.which(compiler.split()[0]) is None:
            continue
        command = [
            *compiler.split(),
            *FLAGS,
            *TARGETS[target],
            *more,
            str(source),
            "-o",
            str(library),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return library
        print(f"{' '.join(command)}\n{done.stderr}", file=sys.stderr)
    return None
