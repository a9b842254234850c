"""What an assignment is worth, in Triton's programs against certificate.py and exact products."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semrsm.engine import certificate
from semrsm.engine.assignment import triton_proof
from semrsm.engine.assignment.triton_pairs import places_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PAIRS = torch.tensor([[0, 1], [1, 0], [1, 1]])


def some(rng: np.random.Generator, S: int, C: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Two row and two column samples, potentials and permutations of three pairs."""
    x, y = (torch.from_numpy(rng.normal(size=(2, S, C))).to(dtype) for _ in range(2))
    v = torch.from_numpy(rng.normal(size=(3, S))).float()
    permutation = torch.stack([torch.from_numpy(rng.permutation(S)) for _ in range(3)])
    return tuple(tensor.to(DEVICE) for tensor in (x, y, v, permutation, PAIRS))


def norms(*samples: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(torch.linalg.vector_norm(x, dim=2, dtype=torch.float64) for x in samples)


@pytest.mark.parametrize(("S", "C"), [(1, 3), (5, 1), (16, 17), (49, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_bounds_and_scales_equal_the_readable_ones(
    S: int, C: int, dtype: torch.dtype, rng: np.random.Generator
) -> None:
    x, y, v, permutation, pairs = some(rng, S, C, dtype)
    affinity = torch.einsum("isc,jtc->isjt", x, y)
    found = triton_proof.prove(affinity, pairs, v, permutation, norms(x, y))
    expected = (
        certificate.value(affinity, pairs, permutation),
        certificate.upper_bound(affinity, pairs, v),
        certificate.scale(*norms(x, y), pairs, permutation),
    )
    for one, other in zip(found, expected, strict=True):
        assert one.tolist() == pytest.approx(other.tolist(), rel=1e-13)
    sums = triton_proof.matched_sums(x, y, pairs, permutation)
    exact = [
        (x[i].double() * y[j].double()[p]).sum().item()
        for (i, j), p in zip(pairs.tolist(), permutation, strict=True)
    ]
    assert sums.tolist() == pytest.approx(exact, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("lost", [0.0, 2.0**-6])
@pytest.mark.parametrize("tied", [False, True])
def test_bounds_are_those_of_exact_products_however_affinities_are_rounded(
    lost: float, tied: bool, rng: np.random.Generator
) -> None:
    x, y, v, _, pairs = some(rng, 17, 9, torch.float32)
    if tied:
        y[:, 3:12] = y[:, :1]
    wide = torch.einsum("isc,jtc->isjt", x.double(), y.double())
    of_x, of_y = norms(x, y)
    wrong = (
        lost
        * of_x[:, :, None, None]
        * of_y
        * torch.from_numpy(rng.uniform(-1, 1, wide.shape)).to(DEVICE)
    )
    found = triton_proof.bounds((wide + wrong).float(), x, y, pairs, v, (of_x, of_y), lost)
    expected = certificate.upper_bound(wide, pairs, v)
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    assert (found >= expected * (1 - 1e-14) - 1e-12).all()


def test_whether_rows_are_aligned_depends_on_the_positions_alone() -> None:
    """So no chunk has a program compiled anew: sizes and strides are no constants of it."""
    for S in (16, 48, 49, 196):
        of_sizes = {places_of(torch.empty(a, S, b, S))[1] for a in (1, 2, 5) for b in (3, 4, 16)}
        assert of_sizes == {S % 16 == 0}
    places, aligned = places_of(torch.empty(2, 16, 3, 16))
    assert (places, aligned) == ((48, 3, 1, 1), True)
