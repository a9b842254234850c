"""The product on the device: runs of scripts/gpu_check that are compared with the CPU, and timed."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from gpu_cases import Case

import semrsm
from semrsm.compute.run_report import LayerReport
from semrsm.engine.assignment import SOLVERS
from semrsm.engine.matchers import MATCHERS

TOLERANCE = 1e-6  # of |x| |y|: what a run accepts
# Positions and samples; few of the large ones, as the CPU matches them too.
SIZES = {1: 40, 2: 40, 49: 24, 63: 16, 196: 16, 257: 8, 784: 5, 3136: 3}
TINY = {1: 4, 2: 4, 5: 4}
LAYERS = {"layer4": 2000, "layer3": 2000, "layer2": 400, "layer1": 100}  # samples of a timed run
REAL = {
    "layer4": 24,
    "layer3": 24,
    "layer2": 8,
    "layer1": 3,
}  # samples that the CPU matches as well
SCALING = "triton-scaling"
SANITIZED = """
import numpy, semrsm
x = numpy.random.default_rng(1).normal(size=(40, 49, 8)).astype("float32")
semrsm.rsm(x, device="cuda", threads=2)
"""


def gaussian(rng: np.random.Generator, n: int, S: int) -> np.ndarray:
    """Numbers that share a mean."""
    return rng.normal(size=(n, S, 8)) + 0.3


def outlier_tokens(rng: np.random.Generator, n: int, S: int) -> np.ndarray:
    """A few tokens and two channels far larger than all others, as in large vision transformers."""
    maps = gaussian(rng, n, S)
    maps[:, rng.integers(0, S, 2)] *= 60
    maps[:, :, :2] *= 20
    return maps


def zero_positions(rng: np.random.Generator, n: int, S: int) -> np.ndarray:
    """Every other position is zero."""
    return gaussian(rng, n, S) * (rng.random((n, S, 1)) < 0.5) + 1e-3 * (np.arange(S) == 0)[:, None]


def ties(rng: np.random.Generator, n: int, S: int) -> np.ndarray:
    """Few whole numbers, each position several times."""
    few = rng.integers(-1, 3, (n, max(1, S // 3), 8))
    return few[:, rng.integers(0, few.shape[1], S)] + 1.0


KINDS = (gaussian, outlier_tokens, zero_positions, ties)


@contextlib.contextmanager
def saved(maps: np.ndarray) -> Iterator[Path]:
    """Give an activation file of some maps (n, S, C) or (n, C, h, w), and a folder for its RSMs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "maps.h5")
        with h5py.File(path, "w") as file:
            file["maps"] = maps.astype(np.float32)
        yield path


def run(
    path: Path, device: str, matcher: str = "optimal", **options: object
) -> dict[str, np.ndarray]:
    """Return what a run finds."""
    out = path.with_name(f"{device}-{matcher}.rsm.h5".replace(":", "-"))
    semrsm.compute(
        path, out, matcher=matcher, kernel="linear", device=device, overwrite=True, **options
    )
    with h5py.File(out) as file:
        layer = file["layers/maps"]
        return {
            name: layer[name][:]
            for name in ("matched", "upper_bound", "squared_norm")
            if name in layer
        }


def off(found: np.ndarray, expected: np.ndarray, squared_norm: np.ndarray) -> float:
    """Return how far values are apart at most, of |x| |y|."""
    size = np.sqrt(np.outer(squared_norm, squared_norm))
    return float((np.abs(found - expected) / np.maximum(size, 1e-30)).max())


def equals_the_cpu(maps: np.ndarray, device: str) -> None:
    """Certified values of both, and each other's bounds."""
    with saved(maps) as path:
        gpu, cpu = (run(path, where, certify=True) for where in (device, "cpu"))
    norms = cpu["squared_norm"]
    distance = off(gpu["matched"], cpu["matched"], norms)
    assert distance <= TOLERANCE, f"misses the CPU's values by {distance:.1e}"
    gap = off(gpu["upper_bound"], gpu["matched"], norms)
    assert gap <= TOLERANCE, f"certified gap {gap:.1e}"
    below = off(np.minimum(gpu["upper_bound"], cpu["matched"]), cpu["matched"], norms)
    assert below <= 1.2e-7, f"a bound lies below the CPU's value by {below:.1e}"


def laws(maps: np.ndarray, device: str) -> None:
    """Every matcher: the values of the CPU, and on the right side of the optimum."""
    with saved(maps) as path:
        best = run(path, device)
        for name, matcher in MATCHERS.items():
            gpu, cpu = (run(path, where, name)["matched"] for where in (device, "cpu"))
            distance = off(gpu, cpu, best["squared_norm"])
            assert distance <= TOLERANCE, f"{name} misses the CPU's values by {distance:.1e}"
            size = TOLERANCE * np.sqrt(np.outer(best["squared_norm"], best["squared_norm"]))
            above = gpu - best["matched"]
            if matcher.value == "at most the optimum":
                assert (above <= size).all(), f"{name} exceeds the optimum"
            else:
                assert (above >= -size).all(), f"{name} is below the optimum"


def out_of_memory(maps: np.ndarray) -> None:
    """With hardly any memory a run says so, goes on in parts, and finds the same."""
    expected = semrsm.rsm(maps, "optimal", "linear", device="cuda")
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    notes: list[str] = []
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (96 << 20)) / total)
    try:
        with saved(maps) as path:
            out = path.with_name("out.h5")
            semrsm.compute(path, out, kernel="linear", device="cuda", on_note=notes.append)
            found = semrsm.read_rsm(out)[0]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("do not fit into the memory" in note for note in notes), "no memory was short"
    size = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert (np.abs(found - expected) <= TOLERANCE * size).all(), (
        "other values than with more memory"
    )


def sanitized() -> None:
    """Chunks in flight under compute-sanitizer."""
    for tool in ("memcheck", "racecheck"):
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
        done = subprocess.run(
            [*command, sys.executable, "-c", SANITIZED],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{tool}: {done.stdout[-500:]} {done.stderr[-500:]}"


@contextlib.contextmanager
def chosen(solver: str) -> Iterator[None]:
    """Have runs on a GPU choose a solver for problems of any size."""
    row = SOLVERS[solver]
    others = [s for s in SOLVERS.values() if s.device == row.device]
    try:
        SOLVERS.update({s.name: replace(s, chosen_from=None) for s in others})
        SOLVERS[solver] = replace(row, chosen_from=1)
        yield
    finally:
        SOLVERS.update({s.name: s for s in others})


def with_solver(solver: str, maps: np.ndarray, device: str) -> None:
    """Runs that choose this solver."""
    with chosen(solver):
        equals_the_cpu(maps, device)


def real(file: Path, layer: str, n: int) -> np.ndarray:
    """Return the first maps of a file."""
    with h5py.File(file) as opened:
        return np.asarray(opened[layer][:n], dtype=np.float32)


def cases(file: Path, tiny: bool) -> Iterator[Case]:
    """Yield every check with its name; `tiny` is for the interpreter, on a faked device."""
    rng = np.random.default_rng(20241)
    # Without the native core the CPU would take minutes for the ties of the largest maps.
    some = KINDS if SOLVERS["native"].available() else KINDS[:2]
    for S, n in (TINY if tiny else SIZES).items():
        for kind in KINDS[-1:] if tiny else KINDS if S < 700 else some:
            maps = kind(rng, n, S)
            yield f"run {kind.__name__} S={S}", lambda m=maps: equals_the_cpu(m, "cuda")
            if S in (5, 63, 784, 3136):
                yield (
                    f"run {kind.__name__} S={S}, scaling",
                    lambda m=maps: with_solver(SCALING, m, "cuda"),
                )
    grid = (3, 8, 2, 2) if tiny else (12, 8, 7, 7)
    maps = gaussian(rng, grid[0], grid[2] * grid[3]).transpose(0, 2, 1).reshape(grid)
    yield "laws of all matchers", lambda: laws(maps, "cuda")
    if tiny:
        return
    for layer, n in REAL.items() if file.exists() else ():
        maps = real(file, layer, n)
        yield f"run real {layer}", lambda m=maps: equals_the_cpu(m, "cuda")
        yield f"run real {layer}, scaling", lambda m=maps: with_solver(SCALING, m, "cuda")
    large = gaussian(rng, 96, 196)
    yield "out of memory", lambda: out_of_memory(large)
    if shutil.which("compute-sanitizer"):
        yield "compute-sanitizer", sanitized
    else:
        print("compute-sanitizer left out: it is not there", flush=True)


def many(file: Path, layer: str, n: int) -> np.ndarray:
    """Return n maps as they are in a file, over and over, each copy with other noise of 5 %."""
    with h5py.File(file) as opened:
        maps = np.asarray(opened[layer], dtype=np.float32)
    rng = np.random.default_rng(7)
    copies = [maps * (1 + 0.05 * rng.normal(size=maps.shape)) for _ in range(-(-n // len(maps)))]
    return np.concatenate(copies)[:n].astype(np.float16)


def measure(file: Path, layers: dict[str, int], device: str) -> Iterator[dict[str, object]]:
    """Time whole runs, reading, matching and writing; yield rows for the table, with and without proof.

    A run of ten samples comes first, in which programs are compiled. Where cost scaling may be better,
    it is timed as well.
    """
    for layer, n in layers.items():
        maps = many(file, layer, n)
        S, C = maps.shape[2] * maps.shape[3], maps.shape[1]
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder, "maps.h5"), Path(folder, "out.rsm.h5")
            with h5py.File(path, "w") as opened:
                opened[layer] = maps
            for solver in ("triton", SCALING) if S >= 196 else ("triton",):
                took = {}
                for certify in (False, True):
                    with chosen(solver):
                        report, seconds = timed_run(path, out, device, certify, n)
                    took[certify] = seconds
                    name = f"semrsm compute{' --certify' * certify}, {solver}"
                    for what, rate in (
                        (f"{name}, whole run", report.pairs / seconds),
                        (f"{name}, matching", report.pairs_per_second),
                    ):
                        shape = {"layer": layer, "S": S, "C": C, "pairs": report.pairs}
                        speeds = ("pairs_per_second_median", "p20", "p80")
                        yield shape | {"solver": what} | dict.fromkeys(speeds, f"{rate:.6g}")
                text = f"{layer}, {solver}: --certify costs {took[True] / took[False] - 1:.0%}"
                if (S, n) == (196, 2000):
                    whole = 10_000 * 9_999 / 2 / report.pairs * took[True]
                    text += f"; 10 000 samples, extrapolated with --certify: {whole:.0f} s"
                print(text, flush=True)


def timed_run(
    path: Path, out: Path, device: str, certify: bool, n: int
) -> tuple[LayerReport, float]:
    """Return what a run reports and the seconds that it took, after a small one."""
    given = {"kernel": "cosine", "device": device, "overwrite": True, "certify": certify}
    semrsm.compute(path, out, samples="0:3" if n < 10 else "0:10", **given)
    started = time.perf_counter()
    report = semrsm.compute(path, out, **given).layers[0]
    return report, time.perf_counter() - started
