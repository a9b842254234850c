"""scripts/gpu_check where there is no GPU: it says so, and its logic runs in the interpreter."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "gpu_check"
MEASURE_ON_CPU = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import torch, gpu_benchmark as benchmark
benchmark.TILES, benchmark.RUNS = {"layer4": (2, 1)}, 2
benchmark.gpu_runs.LAYERS = {}
benchmark.RESULTS = Path(sys.argv[4])
for _ in range(2):
    benchmark.run(Path(sys.argv[3]), torch.device("cpu"))
"""
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run the script")


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    done = run(SCRIPT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "needs an NVIDIA GPU" in done.stderr


@pytest.mark.slow
def test_its_checks_pass_in_the_interpreter(shared_data: Path) -> None:
    done = run(SCRIPT, "--interpret", shared_data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks: passed" in done.stdout
    assert "real layer4" in done.stdout
    assert "laws of all matchers" in done.stdout


@pytest.mark.slow
def test_a_wrong_solver_fails_the_checks(tmp_path: Path) -> None:
    """A solver whose every permutation is the identity: red, and nothing is measured."""
    lie = """
import torch
from semrsm.engine.assignment import triton_sap
def identity(affinity, pairs, *, start=None):
    v = torch.zeros(len(pairs), affinity.shape[1])
    p = torch.arange(v.shape[1]).expand(v.shape).contiguous()
    return triton_sap.Assigned(p, v, v, torch.zeros(len(pairs)))
triton_sap.solve = identity
"""
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys, os, runpy\nos.environ['TRITON_INTERPRET'] = '1'\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n{lie}\n"
        f"sys.argv = ['gpu_check', '--interpret']\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = run(script)
    assert done.returncode == 1
    assert "nothing was measured" in done.stderr


@pytest.mark.slow
def test_measuring_writes_one_header_and_every_row(shared_data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    file = shared_data / "resnet18_imagenet_24.h5"
    done = run("-c", MEASURE_ON_CPU, ROOT / "scripts", ROOT, file, results, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(results.read_text().splitlines()))
    assert len({row["solver"] for row in rows}) * 2 == len(rows)
    for row in rows:
        assert (row["layer"], row["S"], row["C"], row["pairs"]) == ("layer4", "49", "512", "1")
        speeds = [float(row[name]) for name in ("p20", "pairs_per_second_median", "p80")]
        assert 0 < speeds[0] <= speeds[1] <= speeds[2]
    assert done.stdout.count("over the tolerance: 0, handed over: 0") == 4
    assert "S=49 triton-scaling: engine" in done.stdout
