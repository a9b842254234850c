"""The measurements of scripts/gpu_check: pairs per second on real ResNet18 maps, beside others."""

import csv
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import gpu_runs
import numpy as np
import torch
from gpu_cases import load, product
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment import triton_proof, triton_sap, triton_scaling, triton_sinkhorn
from semrsm.engine.assignment.sap_reference import FIRST_EPS
from semrsm.engine.assignment.triton_products import Assign

RESULTS = Path(__file__).with_name("benchmark_results.csv")
COLUMNS = (
    *("date", "commit", "machine", "device", "versions", "benchmark"),
    *("layer", "S", "C", "pairs", "solver", "pairs_per_second_median", "p20", "p80"),
)
# Rows and columns of a tile: its pairs are all but those of a sample with itself or its mirror image.
TILES = {"layer4": (48, 48), "layer3": (48, 48), "layer2": (48, 24), "layer1": (24, 12)}
Work = Callable[[], object]
SECONDS = 2.0
RUNS = 25
WHOLE = "product, start, search, certificate"
OTHER = "torch-linear-assignment"
AIMS = {49: 2e6, 196: 7e5, 784: 5e4, 3136: 2e3}  # pairs per second of whole runs on one H200
FEW_SWEEPS = (
    8,
    (3e-3 / FIRST_EPS) ** (1 / 7),
)  # of Sinkhorn, instead of 20, before augmenting paths


def timed(work: Work) -> list[float]:
    """Return the seconds of repeated runs after one that compiles; a slow first one counts itself."""
    seconds = [_once(work)]
    if seconds[0] > 2 * SECONDS:
        return seconds
    seconds = [_once(work)]
    while len(seconds) < RUNS and sum(seconds) < SECONDS:
        seconds.append(_once(work))
    return seconds


def _once(work: Work) -> float:
    _wait()
    started = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def tile_of(vectors: Tensor, n_rows: int, n_columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, columns (n, S, C) and pairs: the samples, then their mirror images."""
    side = round(vectors.shape[1] ** 0.5)
    mirrored = vectors.unflatten(1, (side, side)).flip(2).flatten(1, 2)
    both = torch.cat([vectors, mirrored])
    numbers = (torch.arange(n, device=vectors.device) for n in (n_rows, n_columns))
    pairs = torch.cartesian_prod(*numbers)
    different = pairs[:, 0] % len(vectors) != pairs[:, 1] % len(vectors)
    return both[:n_rows], both[:n_columns], pairs[different].contiguous()


def with_few_sweeps(affinity: Tensor, pairs: Tensor) -> triton_sap.Assigned:
    """Augmenting paths from fewer Sinkhorn sweeps than usual."""
    start = triton_sinkhorn.sinkhorn_start(affinity, pairs, FEW_SWEEPS)
    return triton_sap.solve(affinity, pairs, start=start)


def solvers(rows: Tensor, columns: Tensor, pairs: Tensor) -> dict[str, tuple[int, Work]]:
    """Return what is measured on one tile, with its number of pairs: all, each stage, the others."""
    affinity = product(rows, columns)
    start = triton_sinkhorn.sinkhorn_start(affinity, pairs)
    norms = rows.norm(dim=2), columns.norm(dim=2)
    best = torch.arange(rows.shape[1], device=rows.device).repeat(len(pairs), 1)

    def whole(assign: Assign) -> Tensor:
        tile = product(rows, columns)
        found = assign(tile, pairs)
        value, bound, scale = triton_proof.prove(tile, pairs, found.v, found.permutation, norms)
        triton_proof.matched_sums(rows, columns, pairs, found.permutation)
        return certificate.unproven(certificate.relative_gap(bound, value, scale))

    own: dict[str, Work] = {
        f"triton: {WHOLE}": lambda: whole(triton_sap.solve),
        f"triton-scaling: {WHOLE}": lambda: whole(triton_scaling.solve),
        f"triton, 8 sweeps: {WHOLE}": lambda: whole(with_few_sweeps),
        "triton: start, search": lambda: triton_sap.solve(affinity, pairs),
        "triton-scaling: start, search": lambda: triton_scaling.solve(affinity, pairs),
        "triton-scaling: search": lambda: triton_scaling.solve(affinity, pairs, start=start),
        "triton: search": lambda: triton_sap.solve(affinity, pairs, start=start),
        "triton: start": lambda: triton_sinkhorn.sinkhorn_start(affinity, pairs),
        "triton, 8 sweeps: start": lambda: triton_sinkhorn.sinkhorn_start(
            affinity, pairs, FEW_SWEEPS
        ),
        "product": lambda: product(rows, columns),
        "proof": lambda: triton_proof.prove(affinity, pairs, start, best, norms),
        "exact sums": lambda: triton_proof.matched_sums(rows, columns, pairs, best),
        "exact bounds": lambda: triton_proof.bounds(
            affinity, rows, columns, pairs, start, norms, 0.0
        ),
    }
    table = {name: (len(pairs), work) for name, work in own.items()}
    if importlib.util.find_spec("torch_linear_assignment"):
        from torch_linear_assignment import batch_linear_assignment

        # Version 0.1.0 counts elements in 32 bits: a larger batch would read outside of its memory.
        most = (2**31 - 1) // rows.shape[1] ** 2
        i, j = pairs[:most].unbind(1)
        costs = -affinity.permute(0, 2, 1, 3)[i, j]
        table[OTHER] = (len(i), lambda: batch_linear_assignment(costs))
    return table


def facts(device: torch.device) -> dict[str, str]:
    """Return what every row says about this run."""
    version = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    names = ("torch", "triton", "torch-linear-assignment")
    found = {name for name in names if importlib.util.find_spec(name.replace("-", "_"))}
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if name in found]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": version.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "interpreter",
        "versions": "; ".join([f"python {platform.python_version()}", *versions]),
        "benchmark": "gpu_check",
    }


def measure(file: Path, layer: str, device: torch.device) -> list[dict[str, object]]:
    """Measure every solver on one layer; return its rows and print how well the solver did."""
    vectors = load(file, layer, device)
    rows, columns, pairs = tile_of(vectors, *TILES[layer])
    table = solvers(rows, columns, pairs)
    affinity = product(rows, columns)
    S, C = vectors.shape[1:]
    for name, assign in (("triton", triton_sap.solve), ("triton-scaling", triton_scaling.solve)):
        found = assign(affinity, pairs)
        unproven = int(table[f"{name}: {WHOLE}"][1]().sum())
        handed_over = 0 if found.gave_up is None else int(found.gave_up.sum())
        print(
            f"{layer}: S={S}, {len(pairs)} pairs, {name}: rows read per row"
            f" {found.scans.double().mean().item() / S:.2f}, over the tolerance: {unproven},"
            f" handed over: {handed_over}",
            flush=True,
        )
    del affinity, found
    records = []
    for solver, (count, work) in table.items():
        speeds = count / np.array(timed(work))
        low, median, high = np.percentile(speeds, [20, 50, 80])
        shape = {"layer": layer, "S": S, "C": C, "pairs": count, "solver": solver}
        speed = {"pairs_per_second_median": median, "p20": low, "p80": high}
        records.append(shape | {name: f"{number:.6g}" for name, number in speed.items()})
    return records


def run(file: Path, device: torch.device, until: float = float("inf")) -> None:
    """Measure whole runs and the engine alone; print one table, append it to benchmark_results.csv.

    After `until`, in seconds of time.monotonic, no other layer is begun.
    """
    records = [facts(device) | record for record in gpu_runs.measure(file, gpu_runs.LAYERS, "cuda")]
    for layer in TILES:
        if time.monotonic() > until:
            print(f"{layer} left out: the time is over", flush=True)
            continue
        records += [facts(device) | record for record in measure(file, layer, device)]
        torch.cuda.empty_cache()
    shown = ("layer", "S", "pairs", "solver", "pairs_per_second_median", "p20", "p80")
    print("\n" + "  ".join(f"{name:>{_width(name)}}" for name in shown))
    for record in records:
        print("  ".join(f"{record[name]:>{_width(name)}}" for name in shown))
    for line in verdicts(records):
        print(line)
    is_new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerows(records)


def verdicts(records: list[dict[str, object]]) -> Iterator[str]:
    """Say how far each solver is from the aims, from the other library, and from the other solver."""
    speed = {(r["S"], r["solver"]): float(str(r["pairs_per_second_median"])) for r in records}
    for S, aim in AIMS.items():
        for solver in ("triton", "triton-scaling"):
            run, engine = (
                speed.get((S, name))
                for name in (f"semrsm compute, {solver}, whole run", f"{solver}: {WHOLE}")
            )
            parts = [] if run is None else [f"whole run {run / aim:.2f} of the aim"]
            other, paths = speed.get((S, OTHER)), speed.get((S, f"triton: {WHOLE}"))
            if engine is not None and other is not None:
                parts.append(f"engine {engine / other:.1f} times {OTHER}")
            if engine is not None and paths is not None and solver != "triton":
                parts.append(f"engine {engine / paths:.2f} times augmenting paths")
            if parts:
                yield f"S={S} {solver}: {', '.join(parts)}"


def _width(name: str) -> int:
    return 52 if name == "solver" else max(8, len(name))
