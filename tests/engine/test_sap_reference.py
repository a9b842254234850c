"""The readable shortest augmenting path solver against SciPy and against its own definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from semrsm.engine.assignment import sap_reference


def best(affinity: np.ndarray) -> float:
    return affinity[linear_sum_assignment(affinity, maximize=True)].sum()


def total(affinity: np.ndarray, permutation: np.ndarray) -> float:
    assert sorted(permutation) == list(range(len(affinity)))
    return affinity[np.arange(len(affinity)), permutation].sum()


squares = st.integers(1, 9).flatmap(
    lambda S: st.tuples(
        arrays(np.float64, (S, S), elements=st.integers(-20, 20).map(float)),
        arrays(np.float64, S, elements=st.integers(-20, 20).map(float)),
    )
)


@given(squares)
def test_optimal_from_any_start(square: tuple[np.ndarray, np.ndarray]) -> None:
    affinity, start = square
    for v in (None, start):
        solution = sap_reference.solve(affinity, v)
        assert total(affinity, solution.permutation) == pytest.approx(best(affinity), abs=1e-9)


@given(squares)
def test_potentials_are_feasible_and_tight(square: tuple[np.ndarray, np.ndarray]) -> None:
    affinity, start = square
    solution = sap_reference.solve(affinity, start)
    slack = solution.u[:, None] + solution.v[None, :] - affinity
    assert slack.min() >= -1e-9
    assert solution.u.sum() + solution.v.sum() == pytest.approx(best(affinity), abs=1e-9)


@pytest.mark.parametrize("S", [1, 2, 3, 17, 64])
def test_optimal_on_gaussian_features(S: int, rng: np.random.Generator) -> None:
    affinity = rng.standard_normal((S, 5)) @ rng.standard_normal((5, S))
    solution = sap_reference.solve(affinity)
    assert total(affinity, solution.permutation) == pytest.approx(best(affinity), rel=1e-12)


def test_sinkhorn_makes_the_search_of_real_maps_short(real_affinity) -> None:
    affinity = real_affinity("layer4")[0, :, 1, :].double().numpy()
    cold = sap_reference.solve(affinity, np.zeros(len(affinity)))
    warm = sap_reference.solve(affinity)
    assert total(affinity, warm.permutation) == pytest.approx(best(affinity), rel=1e-12)
    assert warm.scans < cold.scans / 3
