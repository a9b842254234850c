"""Minibatch CKA."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.measures.minibatch import aligned_batches, minibatch_cka
from tests.measures.slow_measures import hsic_1


def related(rng, n):
    x = rng.standard_normal((n, 9))
    y = x + rng.standard_normal((n, 9))
    return x @ x.T, y @ y.T


def test_one_batch_of_all_samples_is_debiased_cka(rng) -> None:
    K, L = related(rng, 31)
    assert minibatch_cka([(K, L)]) == pytest.approx(MEASURES["cka-debiased"](K, L), abs=1e-12)


def test_hsic_is_summed_before_the_ratio_is_taken(rng) -> None:
    batches = [related(rng, n) for n in (4, 7, 30)]
    kl, kk, ll = (
        sum(hsic_1(batch[a], batch[b]) for batch in batches) for a, b in ((0, 1), (0, 0), (1, 1))
    )
    value = minibatch_cka(batches)
    assert value == pytest.approx(kl / np.sqrt(kk * ll), abs=1e-12)
    mean = np.mean([MEASURES["cka-debiased"](*batch) for batch in batches])
    assert value != pytest.approx(mean, abs=0.01)


def test_many_batches_come_near_the_value_of_all_samples(rng) -> None:
    K, L = related(rng, 600)
    value = minibatch_cka(aligned_batches(K, L, 50))
    assert value == pytest.approx(MEASURES["cka-debiased"](K, L), abs=0.02)


@given(st.integers(4, 80), st.integers(4, 30))
def test_batches_hold_every_sample_once_and_at_least_size(n, size) -> None:
    K = np.arange(float(n))[:, None] + np.arange(float(n))
    batches = [np.diag(batch) / 2 for batch, _ in aligned_batches(K, K, size)]
    assert np.concatenate(batches).tolist() == list(range(n))
    assert min(map(len, batches)) >= min(n, size)


@pytest.mark.parametrize(("offset", "dtype"), [(1e3, np.float32), (1e13, np.float64)])
def test_an_offset_does_no_harm(offset, dtype, rng) -> None:
    K, L = (np.tril(rng.integers(-500, 500, (40, 40))) / 8 for _ in range(2))
    K, L = K + K.T, K + K.T + L + L.T
    moved = (K + offset).astype(dtype)
    value = minibatch_cka(aligned_batches(K, L, 10))
    assert minibatch_cka(aligned_batches(moved, L, 10)) == pytest.approx(value, abs=1e-12)


def test_a_constant_batch_counts_as_nothing(rng) -> None:
    K, L = related(rng, 20)
    ones = np.full((20, 20), 0.1)
    value = minibatch_cka([(K, L), (ones, ones)])
    assert value == pytest.approx(MEASURES["cka-debiased"](K, L), abs=1e-12)


def test_bad_batches_are_refused_with_their_number(rng) -> None:
    good, small = related(rng, 9), related(rng, 3)
    with pytest.raises(SemrsmError, match="batch 1: wanted at least 4 samples, got 3"):
        minibatch_cka([good, small])
    with pytest.raises(
        SemrsmError, match="batch 0: wanted two RSMs of the same samples, got 9 and 3"
    ):
        minibatch_cka([(good[0], small[0])])
    with pytest.raises(SemrsmError, match="wanted at least one batch"):
        minibatch_cka([])
    with pytest.raises(SemrsmError, match="constant"):
        minibatch_cka([(np.ones((5, 5)), good[0][:5, :5])])
    with pytest.raises(SemrsmError, match="got 9 and 3 samples"):
        list(aligned_batches(good[0], small[0], 4))
