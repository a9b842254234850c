"""What every row of MEASURES declares holds: symmetry, direction, range, invariances; and identities."""

import re
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.measures import INVARIANCES, MEASURES
from semrsm.measures.matrices import check_rsm

few = settings(max_examples=20)
seeds = st.integers(0, 2**32 - 1)
each_measure = pytest.mark.parametrize("name", MEASURES)


def related(seed: int, noise: float = 1.0):
    """Two RSMs that have something in common, of an odd number of samples."""
    draws = np.random.default_rng(seed)
    n = int(draws.choice([13, 15, 21]))
    x = draws.standard_normal((n, 30))
    y = x + noise * draws.standard_normal((n, 30))
    scale = 10.0 ** draws.integers(-20, 20)
    return scale * (x @ x.T), y @ y.T


def measured(name, K, L):
    """The value, or no example when this measure is undefined for it."""
    try:
        return MEASURES[name](K, L)
    except SemrsmError:
        assume(False)


def scaled(K, L, draws):
    return draws.uniform(0.1, 1000) * K, L


def shifted(K, L, draws):
    return K + draws.uniform(-100, 100) * np.abs(K).max(), L


def row_shifted(K, L, draws):
    a = np.abs(K).max() * draws.uniform(-1, 1, len(K))
    return K + a + a[:, None], L


def with_other_diagonal(K, L, draws):
    return K + np.abs(K).max() * np.diag(draws.uniform(0, 5, len(K))), L


def bent(K, L, draws):
    return np.exp(draws.uniform(1, 3) * K / np.abs(K).max()), L


def reordered(K, L, draws):
    order = draws.permutation(len(K))
    return K[np.ix_(order, order)], L[np.ix_(order, order)]


CHANGES = {
    "scaling": scaled,
    "shift": shifted,
    "row-shift": row_shifted,
    "diagonal": with_other_diagonal,
    "monotone": bent,
    "sample-permutation": reordered,
}


def test_every_invariance_is_explained_and_tested() -> None:
    assert list(INVARIANCES) == list(CHANGES)
    assert {word for row in MEASURES.values() for word in row.invariances} <= INVARIANCES.keys()


@pytest.mark.parametrize("change", CHANGES)
@each_measure
def test_declared_invariances_hold_and_no_others(name, change) -> None:
    def unchanged(seed):
        K, L = related(seed)
        value = measured(name, K, L)
        draws = np.random.default_rng(seed)
        try:
            after = MEASURES[name](*CHANGES[change](K, L, draws))
        except SemrsmError:
            return False
        return after == pytest.approx(value, abs=1e-9)

    if change in MEASURES[name].invariances:
        few(given(seeds)(lambda seed: _assert(unchanged(seed))))()
    else:
        assert not all(unchanged(seed) for seed in range(5))


def _assert(holds: bool) -> None:
    assert holds


@each_measure
def test_symmetry_is_as_declared(name) -> None:
    def gap(seed):
        K, L = related(seed)
        return abs(measured(name, K, L) - measured(name, L, K))

    if MEASURES[name].symmetric:
        few(given(seeds)(lambda seed: _assert(gap(seed) < 1e-9)))()
    else:
        assert any(gap(seed) > 1e-6 for seed in range(5))


@each_measure
@few
@given(seeds, st.sampled_from([0.0, 0.3, 3.0, 100.0]))
def test_values_stay_in_the_declared_range(name, seed, noise) -> None:
    low, high = MEASURES[name].range
    assert low <= measured(name, *related(seed, noise)) <= high


@each_measure
@few
@given(seeds)
def test_an_rsm_is_as_similar_to_itself_as_can_be(name, seed) -> None:
    K, _ = related(seed)
    row = MEASURES[name]
    best = 0.0 if row.direction == "larger = less similar" else 1.0
    assert measured(name, K, K) == pytest.approx(best, abs=1e-7)
    assert best in row.range or name == "cknna"


@each_measure
def test_the_direction_is_as_declared(name) -> None:
    sign = {"larger = more similar": 1, "larger = less similar": -1}[MEASURES[name].direction]
    means = [
        np.mean([MEASURES[name](*related(seed, noise)) for seed in range(10)])
        for noise in (0.1, 1.0, 10.0)
    ]
    assert sign * means[0] > sign * means[1] > sign * means[2]


def squared_distances(K):
    return np.diag(K)[:, None] + np.diag(K) - 2 * K


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "cosine-whitened", "corr-whitened"])
@few
@given(seeds)
def test_an_rsm_and_its_squared_distances_have_the_same_value(name, seed) -> None:
    K, L = related(seed)
    from_distances = MEASURES[name](-squared_distances(K) / 2, -squared_distances(L) / 2)
    assert from_distances == pytest.approx(MEASURES[name](K, L), abs=1e-9)


@few
@given(seeds)
def test_debiased_cka_is_the_same_after_double_centring(seed) -> None:
    K, L = related(seed)
    H = np.eye(len(K)) - 1 / len(K)
    centred = (H @ K @ H + (H @ K @ H).T) / 2
    assert MEASURES["cka-debiased"](centred, L) == pytest.approx(
        MEASURES["cka-debiased"](K, L), abs=1e-9
    )


@each_measure
@few
@given(seeds)
def test_a_rotation_of_the_features_changes_nothing(name, seed) -> None:
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((15, 8))
    L = related(seed)[1][:13, :13]
    rotation = np.linalg.qr(draws.standard_normal((8, 8)))[0]
    K, rotated = x[:13] @ x[:13].T, (x[:13] @ rotation) @ (x[:13] @ rotation).T
    assert measured(name, rotated, L) == pytest.approx(measured(name, K, L), abs=1e-6)


@few
@given(seeds)
def test_corr_whitened_ignores_multiples_of_the_identity(seed) -> None:
    K, L = related(seed)
    ridge = K + 3 * np.abs(K).max() * np.eye(len(K))
    assert MEASURES["corr-whitened"](ridge, L) == pytest.approx(
        MEASURES["corr-whitened"](K, L), abs=1e-9
    )
    assert MEASURES["cosine-whitened"](ridge, L) != pytest.approx(MEASURES["cosine-whitened"](K, L))


@few
@given(seeds)
def test_without_ties_spearman_is_rho_a_and_tau_a_is_tau_b(seed) -> None:
    K, L = related(seed)
    assert MEASURES["rsa-spearman"](K, L) == pytest.approx(MEASURES["rsa-rho-a"](K, L), abs=1e-12)
    assert MEASURES["rsa-kendall-tau-a"](K, L) == pytest.approx(MEASURES["rsa-kendall-tau-b"](K, L))


@pytest.mark.parametrize(
    ("offset", "dtype"), [(1e3, np.float32), (1e6, np.float32), (1e13, np.float64)]
)
@pytest.mark.parametrize(
    "name", [row.name for row in MEASURES.values() if "shift" in row.invariances]
)
def test_an_offset_that_the_entries_survive_costs_no_digits(name, offset, dtype, rng) -> None:
    K, L = (np.tril(rng.integers(-500, 500, (64, 64))) / 8 for _ in range(2))
    K, L = K + K.T, K + K.T + L + L.T
    moved = (K + offset).astype(dtype)
    assert (moved.astype(float) - offset == K).all()
    assert MEASURES[name](moved, L) == pytest.approx(MEASURES[name](K, L), abs=1e-12)


BAD = {
    "NaN inside": (lambda K: poke(K, np.nan), r"row 1 holds NaN or infinity"),
    "infinity inside": (lambda K: poke(K, np.inf), r"row 1 holds NaN or infinity"),
    "minus infinity inside": (lambda K: poke(K, -np.inf), r"row 1 holds NaN or infinity"),
    "not symmetric": (
        lambda K: poke(K, 2 * np.abs(K).max()),
        r"symmetric RSM, row and column 1 differ",
    ),
    "rectangular": (lambda K: K[:, 1:], r"square RSM .* got shape \(21, 20\)"),
    "one-dimensional": (lambda K: K[0], r"square RSM"),
    "complex": (lambda K: K * 1j, r"real numbers, got dtype complex128"),
    "one sample": (lambda K: K[:1, :1], r"at least \d+ samples, got 1"),
}


def poke(K, value):
    K = K.copy()
    K[1, 4] = value
    return K


@pytest.mark.parametrize("kind", BAD)
@each_measure
def test_bad_rsms_are_refused_with_the_reason(name, kind) -> None:
    K = related(4)[1]
    spoil, message = BAD[kind]
    with pytest.raises(SemrsmError, match=f"^the first RSM: .*{message}"):
        MEASURES[name](spoil(K), K)
    with pytest.raises(SemrsmError, match=f"^the second RSM: .*{message}"):
        MEASURES[name](K, spoil(K))


def test_of_two_samples_that_differ_alike_the_lower_is_named() -> None:
    K = related(4)[1]
    for i, j in combinations(range(len(K)), 2):
        spoilt = K.copy()
        spoilt[i, j] += np.abs(K).max()
        for matrix in (spoilt, spoilt.T):
            with pytest.raises(SemrsmError, match=f"row and column {i} differ"):
                check_rsm(matrix, at_least=2)


def test_the_lowest_sample_that_differs_is_named_even_where_others_differ_more() -> None:
    K = np.eye(6)
    K[1, 4], K[5, 2] = 1, 8
    with pytest.raises(SemrsmError, match="row and column 1 differ"):
        check_rsm(K, at_least=2)


@each_measure
def test_too_few_samples_are_refused(name, rng) -> None:
    n = MEASURES[name].min_samples - 1
    x = rng.standard_normal((n, 30))
    with pytest.raises(SemrsmError, match=f"at least {n + 1} samples, got {n}"):
        MEASURES[name](x @ x.T, x @ x.T)


@each_measure
def test_rsms_of_different_n_are_refused(name, rng) -> None:
    x = rng.standard_normal((17, 30))
    with pytest.raises(SemrsmError, match="same samples, got 17 and 16 samples"):
        MEASURES[name](x @ x.T, x[:16] @ x[:16].T)


CONSTANT = {
    "all 0": partial(np.zeros, (13, 13)),
    "all 0.1": partial(np.full, (13, 13), 0.1),
    "all 1e30 in float32": partial(np.full, (13, 13), 1e30, dtype=np.float32),
}


@pytest.mark.parametrize("kind", CONSTANT)
@each_measure
def test_constant_rsms_are_refused_where_a_measure_is_undefined(name, kind) -> None:
    K = related(4)[1][:13, :13]
    if name in ("cosine", "nbs") and kind != "all 0":
        assert 0 < MEASURES[name](CONSTANT[kind](), K) < 1
        return
    reason = "is zero" if name in ("cosine", "nbs") else "is constant"
    with pytest.raises(SemrsmError, match=f"the first RSM: the RSM {reason}"):
        MEASURES[name](CONSTANT[kind](), K)


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "corr-whitened", "angular-cka"])
def test_an_rsm_of_row_terms_alone_is_constant_for_cka(name, rng) -> None:
    a = rng.standard_normal(40)
    with pytest.raises(SemrsmError, match="constant once it is centred"):
        MEASURES[name](a + a[:, None], related(4)[1])


def test_an_indefinite_rsm_is_refused_by_nbs_alone(rng) -> None:
    K = related(1)[1]
    indefinite = K - 2 * np.diag(np.diag(K))
    with pytest.raises(
        SemrsmError, match=re.compile("positive semidefinite RSM, got the eigenvalue -")
    ):
        MEASURES["nbs"](indefinite, K)
    assert -1 <= MEASURES["cka"](indefinite, K) <= 1


def test_rounding_is_not_taken_for_indefinite(rng) -> None:
    x = rng.standard_normal((50, 3)).astype(np.float32)
    K = x @ x.T
    K = (K + K.T) / 2
    assert np.linalg.eigvalsh(K)[0] < 0
    assert MEASURES["nbs"](K, K) == pytest.approx(1.0, abs=1e-4)


@each_measure
def test_rows_are_complete(name) -> None:
    row = MEASURES[name]
    assert row.name == name
    assert re.fullmatch(r"10\.\d{4,}/\S+", row.doi)
    assert len(row.summary) < 100
    assert row.summary[0].islower() or row.summary.split()[0] in (
        "Spearman",
        "Kendall's",
        "Pearson",
        "Jaccard",
    )
