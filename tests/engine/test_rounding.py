"""Which type has room for a kernel, and which rbf values float64 cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.kernels import KERNELS, Finisher
from semrsm.engine.rounding import n_unsure, stored_type, unsure


@given(
    kernel=st.sampled_from([*KERNELS]),
    rows=st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=4),
    columns=st.lists(st.just(0.0) | st.floats(1e-300, 1e300), min_size=1, max_size=4),
    positions=st.integers(1, 5000),
)
def test_no_value_overflows_and_none_vanishes_in_the_type_it_is_stored_in(
    kernel: str, rows: list[float], columns: list[float], positions: int
) -> None:
    stored = stored_type(KERNELS[kernel], np.array(rows), np.array(columns), positions)
    if kernel != "linear":
        assert stored == "float32"
        return
    sizes = np.outer(np.sqrt(rows), np.sqrt(columns))
    largest, smallest = np.sqrt(positions) * sizes, sizes[sizes > 0]
    with np.errstate(over="ignore"):
        fits = np.isfinite(largest.astype(np.float32)).all()
    close = np.allclose(smallest.astype(np.float32), smallest, rtol=1e-7, atol=0) if fits else False
    assert stored == "float64" or (fits and close)
    if stored == "float64":
        assert not fits or smallest.min() < 1.2e-38 or largest.max() > 3e38


def test_the_median_of_ordinary_maps_is_sure(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 7))
    m, norms = x @ x.T, (x**2).sum(1)
    assert unsure(m, norms, norms, 0.01) is None
    assert unsure(m, norms, norms, None) is None


@pytest.mark.parametrize("sigma", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4])
def test_what_an_error_of_the_distance_changes_is_counted(sigma: float) -> None:
    d2 = 10.0 ** np.arange(-16, 0)
    norms = np.ones(1), np.ones(len(d2))
    m = (1 - d2 / 2)[None]
    found = unsure(m, *norms, sigma)
    error = 2e-13
    here, near, far = (
        np.exp(-np.maximum(d, 0) / (2 * sigma**2)) for d in (d2, d2 - error, d2 + error)
    )
    changed = np.maximum(np.abs(near - here), np.abs(far - here)) > 1e-3
    assert (changed[d2 > 1e-12] <= (found is not None and found[0, d2 > 1e-12])).all()
    if found is None:
        assert not changed.any()


def test_of_a_symmetric_rsm_the_pairs_are_counted_once() -> None:
    norms = np.ones(4)
    m = np.ones((4, 4))
    finish = Finisher(KERNELS["rbf"], 1e-7, norms, norms)
    assert n_unsure(finish, 0, m, symmetric=True) == 6
    assert n_unsure(finish, 0, m[:2], True) + n_unsure(finish, 2, m[2:], True) == 6
    assert n_unsure(finish, 0, m, symmetric=False) == 16
