"""The Triton solver against SciPy by value; on the CPU it runs in Triton's interpreter."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment import sap_reference, triton_sap, triton_sinkhorn
from semrsm.errors import SemrsmError
from tests.engine import assignments
from tests.engine.assignments import DEVICE, every_pair, optimum, products

pytestmark = pytest.mark.usefixtures("poisoned_memory")
SIZES = (1, 2, 3, 17, 49, 63, 100)


solve = partial(assignments.solve, triton_sap.solve)
check = partial(assignments.check, triton_sap.solve)


@pytest.mark.parametrize("S", SIZES)
def test_gaussian_features(S: int, rng: np.random.Generator) -> None:
    check(products(rng, 3, S), torch.tensor([[0, 1], [2, 0]]))


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_any_scale(scale: float, rng: np.random.Generator) -> None:
    """Features of size 1e-3 and 1e4."""
    check(products(rng, 2, 17) * scale)


@pytest.mark.parametrize("S", [1, 2, 17, 33])
def test_ties(S: int, rng: np.random.Generator) -> None:
    few = torch.from_numpy(rng.integers(-2, 3, (1, S, 1, S))).float()
    few_rows = few[:, torch.from_numpy(rng.integers(0, (S + 2) // 3, S))]
    for affinity in (torch.zeros(1, S, 1, S), torch.full((1, S, 1, S), -7.0), few, few_rows):
        check(affinity)


def test_negative_affinities(rng: np.random.Generator) -> None:
    check(products(rng, 2, 33) - 1000)


@pytest.mark.parametrize(("layer", "crop"), [("layer4", None), ("layer3", 8), ("layer3", 10)])
def test_real_maps(layer: str, crop: int | None, real_affinity: Callable[..., Tensor]) -> None:
    check(real_affinity(layer, 4, crop), torch.tensor([[0, 1], [2, 3]]))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["layer3", "layer2"])
def test_whole_real_maps(layer: str, real_affinity: Callable[..., Tensor]) -> None:
    check(real_affinity(layer, 2), torch.tensor([[0, 1]]))


def test_several_warps_find_the_same(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 256 positions several warps share the search; here they do so at 49."""
    affinity = products(rng, 2, 49)
    one = check(affinity)
    several = {"ONE_WARP": False, "BLOCK": 64, "num_warps": 2}
    monkeypatch.setattr(triton_sap, "layout", lambda S: several)
    again = check(affinity)
    for name in ("permutation", "u", "v", "scans"):
        assert torch.equal(getattr(again, name), getattr(one, name))


def test_a_batch_equals_one_by_one(rng: np.random.Generator) -> None:
    affinity = products(rng, 3, 17)
    pairs = torch.tensor([[2, 1], [0, 1], [1, 1], [0, 2], [0, 1]])
    together = solve(affinity, pairs)
    for k, pair in enumerate(pairs):
        alone = solve(affinity, pair[None])
        for name in ("permutation", "u", "v", "scans"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[k])


def test_any_strides(rng: np.random.Generator) -> None:
    plain = products(rng, 2, 17)
    wide = torch.full((4, 34, 3, 51), torch.nan)
    wide[::2, 1::2, 1:, ::3] = plain
    for view in (wide[::2, 1::2, 1:, ::3], plain.permute(2, 3, 0, 1), plain.flip(1).flip(1)):
        check(view)


def test_no_pairs() -> None:
    found = solve(torch.zeros(1, 3, 1, 3), torch.empty((0, 2), dtype=torch.int64))
    assert found.permutation.shape == (0, 3)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(np.float32, (1, 5, 1, 5), elements=st.floats(-100, 100, width=32)),
    arrays(np.float32, (1, 5), elements=st.floats(-100, 100, width=32)),
)
def test_optimal_from_any_start(affinity: np.ndarray, start: np.ndarray) -> None:
    found = check(torch.from_numpy(affinity), start=torch.from_numpy(start))
    assert found.scans.item() <= 5 * 5


def test_start_is_left_as_it_was(rng: np.random.Generator) -> None:
    start = torch.zeros(4, 17)
    check(products(rng, 2, 17), start=start)
    assert torch.equal(start, torch.zeros(4, 17))


def test_rounding_costs_accuracy_never_the_permutation(rng: np.random.Generator) -> None:
    """Differences far under float32's resolution, and prices that swallow the affinities."""
    affinity = 1e8 + products(rng, 2, 17)
    start = torch.from_numpy(rng.standard_normal((4, 17)) * 1e12).float()
    found = solve(affinity, every_pair(affinity), start=start)
    bound = certificate.upper_bound(affinity, every_pair(affinity), found.v)
    assert np.all(bound.numpy() >= optimum(affinity, every_pair(affinity)))


@pytest.mark.parametrize("S", [1, 17, 49])
def test_sinkhorn_equals_its_reference(S: int, rng: np.random.Generator) -> None:
    affinity = products(rng, 2, S)
    pairs = torch.tensor([[0, 1], [1, 0]])
    v = triton_sinkhorn.sinkhorn_start(affinity.to(DEVICE), pairs.to(DEVICE)).cpu().numpy()
    for k, (i, j) in enumerate(pairs.tolist()):
        expected = sap_reference.sinkhorn(affinity[i, :, j].double().numpy())
        assert v[k] == pytest.approx(expected, abs=1e-3 * affinity.abs().max().item())


def test_row_scans_equal_the_references(real_affinity: Callable[..., Tensor]) -> None:
    affinity = real_affinity("layer4", 2)
    pairs, start = torch.tensor([[0, 1]]), torch.zeros(1, 49)
    expected = sap_reference.solve(affinity[0, :, 1].double().numpy(), start[0].numpy()).scans
    assert solve(affinity, pairs, start=start).scans.item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("affinity", "words"),
    [
        (torch.zeros(1, 2, 1, 3), "wants float32 affinities"),
        (torch.zeros(1, 2, 1, 2, dtype=torch.float64), "float64"),
        (torch.zeros(1, 1, 1, 1).expand(1, 4097, 1, 4097), "4097"),
    ],
)
def test_refusals(affinity: Tensor, words: str) -> None:
    with pytest.raises(SemrsmError, match=words):
        triton_sap.solve(affinity, torch.tensor([[0, 0]]))


# S, most registers a thread and most spilled bytes, for every program: what was compiled, and a little.
COMPILED = [
    pytest.param(49, 255, 0, marks=pytest.mark.slow),
    pytest.param(196, 168, 64, marks=pytest.mark.slow),
    pytest.param(784, 208, 0, marks=pytest.mark.slow),
    pytest.param(4096, 128, 256, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("S", "registers", "spilled"), COMPILED)
def test_compiles_for_gpus_that_are_not_there(
    S: int, registers: int, spilled: int, tmp_path: Path
) -> None:
    """The interpreter takes more than the compiler does; ptxas comes with Triton.

    Every program runs: its registers fit a multiprocessor, and no warp waits where there is one only.
    """
    script = Path(__file__).parent / "compile_triton.py"
    architectures = ("80", "90")
    environment = os.environ | {
        "TRITON_CACHE_DIR": str(tmp_path),
        "TRITON_INTERPRET": "0",
        "PYTHONPATH": str(script.parents[2]),
    }
    done = subprocess.run(
        [sys.executable, script, str(S), *architectures],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    programs = ("sinkhorn", "best_column", "sap", "mean_cost", "scaling", "proof", "bound")
    names = [f"{name}_program" for name in programs]
    assert [row[:2] for row in rows] == [
        [architecture, name]
        for architecture in architectures
        for name in (*names, "matched_program", "greedy_program")
    ]
    for _, name, *numbers in rows:
        warps, used, spills, shared, _ = map(int, numbers)
        assert used <= registers, name
        assert used * warps * 32 <= 65536, name
        assert spills <= spilled, name
        assert shared <= 4096, name
