"""What several tests use: activation files, the command line in this process, slow and sure solutions."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import linear_sum_assignment
from typer.testing import CliRunner, Result

from semrsm.cli import app
from semrsm.engine.kernels import KERNELS
from semrsm.storage.rsm_layer import LayerInfo, StorageMode
from semrsm.storage.rsm_writer import writing


def write_h5(path: Path, **arrays: np.ndarray) -> Path:
    """Write arrays as datasets; "__" in a name makes a group. `layout=` and the like go in by hand."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


def to_stream(save: Callable) -> Callable[[Path, np.ndarray], None]:
    """Return what saves an array under a name of any kind: NumPy adds suffixes to names, not to streams."""

    def saver(path: Path, array: np.ndarray) -> None:
        with path.open("wb") as stream:
            save(stream, array)

    return saver


def run(*args: object) -> Result:
    """Run a command in this process; the result has exit_code, stdout, stderr and exception."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(app, [str(arg) for arg in args])
    finally:
        signal.signal(signal.SIGTERM, handler)


def succeed(*args: object) -> Result:
    """Run a command that must end with exit code 0."""
    result = run(*args)
    assert result.exit_code == 0, result.stderr + result.stdout + repr(result.exception)
    return result


def start(*args: object, before: str = "pass", **options: object) -> subprocess.Popen:
    """Start a command in a process of its own; `before` is Python that it runs first."""
    main = f"{before}; from semrsm.cli import main; main()"
    command = [sys.executable, "-c", main, *(str(arg) for arg in args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def fail(*args: object, out: Path | None = None) -> str:
    """Run a command that must fail as documented; return its one sentence.

    Exit code 1, nothing on stdout, one line on stderr; with `out`, its folder is as it was before.
    """
    before = snapshot(out.parent) if out else None
    result = run(*args)
    assert result.exit_code == 1, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    assert result.stderr.startswith("semrsm: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith("\n")
    if out:
        assert snapshot(out.parent) == before
    return result.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the name and content of every file of a folder, hidden ones too."""
    return (
        {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} if folder.is_dir() else {}
    )


def vectors(array: np.ndarray) -> np.ndarray:
    """Return (n,c,h,w), (n,t,d) or (n,d) as (n, S, C) float64, with plain NumPy."""
    array = array.astype(np.float64)
    if array.ndim == 4:
        return array.reshape(*array.shape[:2], -1).transpose(0, 2, 1)
    return array if array.ndim == 3 else array[:, None, :]


def scipy_matched(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest sum over permutations of two (S, C) maps: SciPy on raw float64 products."""
    affinity = x @ y.T
    return float(affinity[linear_sum_assignment(affinity, maximize=True)].sum())


def scipy_rsm(x: np.ndarray) -> np.ndarray:
    """Return the optimal matched inner products of (n, S, C) maps by a plain float64 loop."""
    n = len(x)
    return np.array([[scipy_matched(x[i], x[j]) for j in range(n)] for i in range(n)])


def brute_force(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest sum over all permutations of two (S, C) maps."""
    affinity = x @ y.T
    rows = np.arange(len(x))
    return max(affinity[rows, list(p)].sum() for p in itertools.permutations(range(len(x))))


def write_rsm(
    path: Path,
    layers: Mapping[str, np.ndarray],
    samples: Sequence[str] | None = None,
    kernels: Sequence[str] = ("linear",),
    matcher: str = "optimal",
) -> Path:
    """Write an RSM file whose matched inner products are these matrices, (n, n) or rectangular."""
    with writing(path, overwrite=True) as writer:
        if samples is not None:
            writer.write_samples(list(samples))
        writer.metadata["layers"] = list(layers)
        for name, matched in layers.items():
            square = matched.shape[0] == matched.shape[1]
            mode: StorageMode = "symmetric" if square else "rectangular"
            info = LayerInfo(name, matcher, "nd", 1, 1, *matched.shape, mode)
            layer = writer.layer(info)
            norms = np.ones(len(matched)), np.ones(matched.shape[1])
            row_sq, column_sq = (matched.diagonal(),) * 2 if square else norms
            layer.write_squared_norms(row_sq, column_sq)
            layer.write_matched(0, matched)
            for kernel in kernels:
                sigma = 2.0 if kernel == "rbf" else None
                layer.create_kernel(kernel, sigma)
                layer.write_kernel(
                    kernel, 0, KERNELS[kernel].finish(matched, row_sq, column_sq, sigma)
                )
    return path
