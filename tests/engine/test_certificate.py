"""Certificates: never below the true optimum, equal to it for optimal potentials."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semrsm.engine import certificate
from semrsm.engine.assignment import sap_reference

floats = st.floats(-1e6, 1e6, width=32)
wild = st.floats(-1e3, 1e3) | st.floats(-1e30, 1e30)
problems = st.integers(1, 6).flatmap(
    lambda S: st.tuples(
        arrays(np.float32, (S, S), elements=floats), arrays(np.float64, S, elements=wild)
    )
)
ONE_PAIR = torch.tensor([[0, 0]])


def exact_optimum(affinity: np.ndarray) -> Fraction:
    """The best of all permutations, in exact arithmetic."""
    entries = [[Fraction(float(x)) for x in row] for row in affinity]
    return max(
        sum((row[t] for row, t in zip(entries, p, strict=True)), Fraction(0))
        for p in permutations(range(len(entries)))
    )


def bound_of(affinity: np.ndarray, v: np.ndarray) -> float:
    view = torch.from_numpy(affinity)[None, :, None, :]
    return certificate.upper_bound(view, ONE_PAIR, torch.from_numpy(v)[None]).item()


@given(problems)
@example((np.full((6, 6), 0.1, np.float32), np.full(6, 1 / 3)))
def test_never_below_the_true_optimum(problem: tuple[np.ndarray, np.ndarray]) -> None:
    affinity, v = problem
    assert Fraction(bound_of(affinity, v)) >= exact_optimum(affinity)


@given(problems)
def test_tight_for_optimal_potentials(problem: tuple[np.ndarray, np.ndarray]) -> None:
    affinity, _ = problem
    v = sap_reference.solve(affinity.astype(np.float64)).v
    size = max(1.0, float(np.abs(affinity).sum()))
    assert bound_of(affinity, v) == pytest.approx(float(exact_optimum(affinity)), abs=1e-12 * size)


def test_a_batch_in_chunks_equals_one_by_one(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    affinity = torch.from_numpy(rng.standard_normal((3, 5, 4, 5)).astype(np.float32))
    pairs = torch.tensor([[i, j] for i in range(3) for j in range(4)])
    v = torch.from_numpy(rng.standard_normal((12, 5)))
    whole = certificate.upper_bound(affinity, pairs, v)
    monkeypatch.setattr(certificate, "CHUNK", 5 * 25)
    assert torch.equal(certificate.upper_bound(affinity, pairs, v), whole)
    one = [bound_of(affinity[i, :, j].numpy(), v[k].numpy()) for k, (i, j) in enumerate(pairs)]
    assert one == pytest.approx(whole.tolist(), rel=1e-15)


def test_value_and_scale_follow_the_permutation(rng: np.random.Generator) -> None:
    x, y = (torch.from_numpy(rng.standard_normal((2, 7, 3))) for _ in range(2))
    affinity = torch.einsum("isc,jtc->isjt", x, y)
    pairs = torch.tensor([[0, 1], [1, 0], [1, 1]])
    p = torch.from_numpy(np.stack([rng.permutation(7) for _ in pairs]))
    value = certificate.value(affinity, pairs, p)
    scale = certificate.scale(x.norm(dim=2), y.norm(dim=2), pairs, p)
    for k, (i, j) in enumerate(pairs.tolist()):
        partners = y[j][p[k]]
        assert value[k].item() == pytest.approx((x[i] * partners).sum().item())
        norms = x[i].norm(dim=1) * partners.norm(dim=1)
        assert scale[k].item() == pytest.approx(norms.sum().item())


def test_gap_of_empty_maps_is_zero_and_unproven_says_which() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    assert certificate.relative_gap(zero, zero, zero).item() == 0.0
    assert certificate.unproven(certificate.relative_gap(zero + 1, zero, zero)).item()
    gap = certificate.relative_gap(torch.tensor([3.0]), torch.tensor([5.0]), torch.tensor([1.0]))
    assert gap.item() == 0.0
