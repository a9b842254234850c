"""What measures take in memory is no more than what comparisons plan for, and not much less."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from semrsm.measures import MEASURES, matrices, rsa
from semrsm.measures.memory import NEEDS

N = 600
ROOM = 1600 * N  # indices of neighbours, sums of rows, blocks: they do not grow with n²


def peak_of(call: Callable[[], object]) -> tuple[object, int, int]:
    """Return what a call returns, and the bytes it took at its peak and keeps."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    result = call()
    now, peak = tracemalloc.get_traced_memory()
    return result, peak - before, now - before


@pytest.mark.parametrize(
    ("name", "dtype"), [*((m, np.float64) for m in MEASURES), ("rsa-spearman", np.float32)]
)
def test_no_measure_takes_more_memory_than_planned(
    name: str, dtype: type, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 2**14)
    monkeypatch.setattr(rsa, "CHUNK", 2**12)
    measure, need = MEASURES[name], NEEDS[MEASURES[name].prepare]
    x, y = rng.normal(size=(2, N, N))
    K, L = (x @ x.T).astype(dtype), (y @ y.T).astype(dtype)
    index = rng.integers(N, size=N)
    measure(K[:20, :20], L[:20, :20])
    tracemalloc.start()
    try:
        a, prepare, held = peak_of(lambda: measure.prepare(K))
        b = measure.prepare(L)
        _, compare, _ = peak_of(lambda: measure.compare(a, b))
        _, resample, _ = peak_of(lambda: measure.resample(K, L, index))
    finally:
        tracemalloc.stop()
    assert need.prepare * N**2 / 3 <= prepare <= need.prepare * N**2 + ROOM
    assert need.held * N**2 / 3 <= held <= need.held * N**2 + ROOM
    assert compare <= need.compare * N**2 + ROOM
    assert need.resample * N**2 / 2 <= resample <= need.resample * N**2 + ROOM
