"""Bootstrap over samples and permutation tests."""

from itertools import combinations

import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.measures.inference import bootstrap, permutation_test
from semrsm.measures.neighbours import K_NEAREST
from tests.measures.slow_measures import hsic_1
from tests.measures.slow_measures import neighbours as slow_neighbours

each_measure = pytest.mark.parametrize("name", MEASURES)


def related(seed: int, n: int, noise: float = 1.0):
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((n, 20))
    y = x + noise * draws.standard_normal((n, 20))
    return x @ x.T, y @ y.T


def repeated(n: int, distinct: int, seed: int = 0):
    """n draws of `distinct` different samples."""
    return np.random.default_rng(seed).permutation(np.arange(n) % distinct)


@each_measure
def test_without_repeats_a_resample_is_the_measure_of_those_samples(name, rng) -> None:
    K, L = related(0, 30)
    for n in (30, 19):
        index = rng.permutation(30)[:n]
        at = np.ix_(index, index)
        value = MEASURES[name].resample(K, L, index)
        assert value == pytest.approx(MEASURES[name](K[at], L[at]), abs=1e-9)


@each_measure
def test_the_order_of_the_draws_does_not_matter(name, rng) -> None:
    K, L = related(1, 30)
    index = rng.integers(0, 30, 30)
    again = MEASURES[name].resample(K, L, np.sort(index))
    assert MEASURES[name].resample(K, L, index) == pytest.approx(again, abs=1e-9)


@pytest.mark.parametrize(
    "name", [row.name for row in MEASURES.values() if "diagonal" in row.invariances]
)
def test_pairs_of_own_copies_are_dropped_where_the_diagonal_is_not_used(name, rng) -> None:
    K, L = related(2, 30)
    index = rng.integers(0, 30, 30)
    spoilt = K + np.diag(rng.uniform(-1e3, 1e3, 30))
    value = MEASURES[name].resample(K, L, index)
    assert MEASURES[name].resample(spoilt, L, index) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
@each_measure
def test_a_resample_of_tiny_or_huge_rsms_is_the_same(name, scale, rng) -> None:
    K, L = related(1, 30)
    index = rng.integers(0, 30, 30)
    value = MEASURES[name].resample(scale * K, scale * L, index)
    assert value == pytest.approx(MEASURES[name].resample(K, L, index), abs=1e-9)


@pytest.mark.parametrize(
    "name", [row.name for row in MEASURES.values() if "shift" in row.invariances]
)
def test_an_offset_costs_a_resample_no_digits(name, rng) -> None:
    K, L = (np.round(8 * M) / 8 for M in related(1, 30))
    index = rng.integers(0, 30, 30)
    assert (K + 1e13 - 1e13 == K).all()
    value = MEASURES[name].resample(K + 1e13, L, index)
    assert value == pytest.approx(MEASURES[name].resample(K, L, index), abs=1e-12)


def least_squares_residuals(K, index, diagonal, identity):
    """The entries that count, after regression on a term of each row's and column's sample."""
    n = len(index)
    kept = [
        (a, b) for a in range(n) for b in range(n) if index[a] != index[b] or (diagonal and a == b)
    ]
    design = np.zeros((len(kept), len(K) + identity))
    for row, (a, b) in enumerate(kept):
        design[row, index[a]] += 1
        design[row, index[b]] += 1
        if identity:
            design[row, -1] = a == b
    values = np.array([K[index[a], index[b]] for a, b in kept])
    return values - design @ np.linalg.lstsq(design, values)[0]


@pytest.mark.parametrize(
    ("name", "diagonal", "identity"),
    [
        ("cka", True, 0),
        ("cka-debiased", False, 0),
        ("cosine-whitened", True, 0),
        ("corr-whitened", True, 1),
    ],
)
@pytest.mark.parametrize("distinct", [5, 9, 14])
def test_a_resampled_cka_is_the_cosine_of_least_squares_residuals(
    name, diagonal, identity, distinct
) -> None:
    K, L = related(3, 14)
    index = repeated(14, distinct)
    a, b = (least_squares_residuals(M, index, diagonal, identity) for M in (K, L))
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert MEASURES[name].resample(K, L, index) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["rsa-pearson", "rsa-spearman", "rsa-kendall-tau-a", "cosine"])
def test_a_resampled_rsa_counts_every_pair_of_different_samples(name) -> None:
    K, L = related(4, 9)
    index = repeated(9, 5)
    kept = [(i, j) for i, j in combinations(index, 2) if i != j]
    x, y = (np.array([M[i, j] for i, j in kept]) for M in (K, L))
    if name == "rsa-spearman":
        x, y = _average_ranks(x), _average_ranks(y)
    expected = {
        "cosine": lambda: x @ y / np.sqrt((x @ x) * (y @ y)),
        "rsa-kendall-tau-a": lambda: np.mean(
            [np.sign((x[p] - x[q]) * (y[p] - y[q])) for p, q in combinations(range(len(x)), 2)]
        ),
    }.get(name, lambda: np.corrcoef(x, y)[0, 1])()
    assert MEASURES[name].resample(K, L, index) == pytest.approx(expected, abs=1e-9)


def _average_ranks(values):
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@pytest.mark.parametrize("name", ["mutual-knn", "jaccard-knn", "cknna"])
def test_a_samples_own_copies_are_no_neighbours_of_it(name) -> None:
    K, L = related(5, 24)
    index = np.sort(repeated(24, 20))
    copies = index[:, None] == index
    at = np.ix_(index, index)
    K2, L2 = (np.where(copies, M.min() - 1, M[at]) for M in (K, L))
    sets = [(slow_neighbours(K2, i), slow_neighbours(L2, i)) for i in range(24)]
    masks = np.zeros((2, 24, 24))
    for i, both in enumerate(sets):
        for mask, near in zip(masks, both, strict=True):
            mask[i, list(near)] = 1
    kl = hsic_1(masks[0] * masks[1] * K2, masks[0] * masks[1] * L2)
    squares = hsic_1(masks[0] * K2, masks[0] * K2), hsic_1(masks[1] * L2, masks[1] * L2)
    expected = {
        "mutual-knn": np.mean([len(a & b) / K_NEAREST for a, b in sets]),
        "jaccard-knn": np.mean([len(a & b) / len(a | b) for a, b in sets]),
        "cknna": kl / np.sqrt(squares[0] * squares[1]),
    }[name]
    assert MEASURES[name].resample(K, L, index) == pytest.approx(expected, abs=1e-9)


def test_a_resampled_nbs_is_that_of_the_repeated_rsm() -> None:
    K, L = related(6, 12)
    index = repeated(12, 8)
    at = np.ix_(index, index)
    value = MEASURES["nbs"].resample(K, L, index)
    assert value == pytest.approx(MEASURES["nbs"](K[at], L[at]), abs=1e-12)


@each_measure
def test_an_interval_orders_its_ends_and_repeats_with_its_seed(name) -> None:
    K, L = related(7, 30)
    interval = bootstrap(MEASURES[name], K, L, n_resamples=40, seed=3)
    assert MEASURES[name].range[0] <= interval.low < interval.high <= MEASURES[name].range[1]
    assert interval == bootstrap(MEASURES[name], K, L, n_resamples=40, seed=3)
    assert interval != bootstrap(MEASURES[name], K, L, n_resamples=40, seed=4)
    assert (interval.n_resamples, interval.level, interval.seed) == (40, 0.95, 3)


@pytest.mark.parametrize("name", ["cka-debiased", "rsa-pearson", "rsa-spearman", "corr-whitened"])
def test_an_interval_holds_the_value_and_narrows_with_n_and_level(name) -> None:
    widths = []
    for n, level in ((60, 0.5), (60, 0.95), (20, 0.95)):
        K, L = related(8, n)
        interval = bootstrap(MEASURES[name], K, L, n_resamples=100, level=level)
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1] < widths[2]
    assert interval.low < MEASURES[name](K, L) < interval.high


def test_too_few_samples_for_a_bootstrap_are_refused(rng) -> None:
    K, L = related(9, 4)
    with pytest.raises(
        SemrsmError, match=r"undefined for \d+ of 100 resamples of 4 samples; use more"
    ):
        bootstrap(MEASURES["cka-debiased"], K, L, n_resamples=100)


def test_undefined_resamples_are_counted() -> None:
    K, L = related(10, 6)
    interval = bootstrap(MEASURES["rsa-pearson"], K, L, n_resamples=500)
    assert 0 < interval.n_undefined < 50


@each_measure
def test_related_rsms_have_the_smallest_p(name) -> None:
    K, L = related(11, 30, noise=0.3)
    test = permutation_test(MEASURES[name], K, L, n_permutations=39)
    assert test.p == pytest.approx(2 / 40)
    assert test.value == MEASURES[name](K, L)


def test_the_p_of_unrelated_rsms_is_uniform(rng) -> None:
    p = []
    for seed in range(150):
        x, y = np.random.default_rng(seed).standard_normal((2, 8, 4))
        p.append(permutation_test(MEASURES["rsa-pearson"], x @ x.T, y @ y.T, 39, seed).p)
    for level in (0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.1)


def test_a_distance_has_the_p_of_its_similarity() -> None:
    K, L = related(12, 10, noise=4.0)
    p = permutation_test(MEASURES["cka"], K, L, n_permutations=99).p
    assert 2 / 100 < p < 1
    assert permutation_test(MEASURES["angular-cka"], K, L, n_permutations=99).p == p


def test_opposite_rsms_have_a_small_p_too() -> None:
    K, _ = related(13, 20)
    assert permutation_test(MEASURES["rsa-spearman"], K, -K, n_permutations=39).p == pytest.approx(
        0.05
    )


def test_orders_that_change_nothing_count_as_equal() -> None:
    K = np.array([[1, 0.1, 0.3], [0.1, 1, 0.1], [0.3, 0.1, 1.0]])
    test = permutation_test(MEASURES["rsa-pearson"], K, K, n_permutations=200)
    assert 0.5 < test.p < 0.85  # a third of the orders leave K as it is


def test_values_that_differ_by_rounding_count_as_equal(rng) -> None:
    K = np.array([[1, 0.1, 0.7, 0.1], [0.1, 1, 0.1, 0.7], [0.7, 0.1, 1, 0.1], [0.1, 0.7, 0.1, 1]])
    for seed in range(5):
        L = np.tril(rng.uniform(0, 1, (4, 4)), -1)
        L[2, 0], L[3, 1] = rng.uniform(1, 2, 2)
        test = permutation_test(MEASURES["cka"], K, L + L.T, n_permutations=400, seed=seed)
        assert test.p == pytest.approx(2 / 3, abs=0.15)  # 8 of 24 orders leave K as it is


@pytest.mark.parametrize("infer", [bootstrap, permutation_test])
def test_inference_on_an_undefined_value_is_refused(infer) -> None:
    K, _ = related(14, 20)
    with pytest.raises(SemrsmError, match="the second RSM: the RSM is constant"):
        infer(MEASURES["rsa-pearson"], K, np.ones((20, 20)))
