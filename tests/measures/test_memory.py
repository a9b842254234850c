"""What measures take in memory is no more than what comparisons plan for, and not much less."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from semrsm.measures import (
    MEASURES,
    Measure,
    matrices,
    of_neighbours,
    places,
    rsa,
    weighted_ranks,
)

N = 600
ROOM = 1600 * N  # sums of rows, blocks: they do not grow with n²


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
    monkeypatch.setattr(weighted_ranks, "CHUNK", 2**11)
    monkeypatch.setattr(places, "BLOCK", 2**11)
    monkeypatch.setattr(places, "BINS", 2**5)
    measure = MEASURES[name]
    _check_need(measure, dtype, rng)


@pytest.mark.parametrize("measure", of_neighbours(100), ids=lambda measure: measure.name)
def test_many_neighbours_take_no_more_memory_than_planned(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 2**14)
    _check_need(measure, np.float64, rng)


def resampled(measure: Measure, K: np.ndarray, L: np.ndarray, counts: np.ndarray) -> object:
    """What one resample takes, or one without some samples, where repeats are not for the measure."""
    if measure.resample is not None:
        return measure.resample(K, L, np.arange(N))(counts)
    at = np.ix_(np.arange(N) > 0, np.arange(N) > 0)
    return measure(K[at], L[at])


def _check_need(measure: Measure, dtype: type, rng: np.random.Generator) -> None:
    need = measure.need
    x, y = rng.normal(size=(2, N, N))
    K, L = (x @ x.T).astype(dtype), (y @ y.T).astype(dtype)
    counts = np.bincount(rng.integers(N, size=N), minlength=N).astype(np.float64)[None]
    few = measure.min_samples + 8
    measure(K[:few, :few], L[:few, :few])
    tracemalloc.start()
    try:
        a, prepare, resident = peak_of(lambda: measure.prepare(K))
        b = measure.prepare(L)
        _, compare, _ = peak_of(lambda: measure.compare(a, b))
        _, resample, _ = peak_of(lambda: resampled(measure, K, L, counts))
    finally:
        tracemalloc.stop()
    room = ROOM + need.sample * N
    assert need.prepare * N**2 / 3 <= prepare <= need.prepare * N**2 + room
    assert (
        need.resident * N**2 / 3 <= resident <= need.resident * N**2 + need.kept_sample * N + ROOM
    )
    assert compare <= need.compare * N**2 + room
    assert need.resample * N**2 / 2 <= resample <= need.resample * N**2 + room
