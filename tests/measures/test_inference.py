"""Bootstrap over samples and permutation tests."""

from itertools import combinations

import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES
from semrsm.measures.inference import bootstrap, permutation_test, replicate_measure
from semrsm.measures.intervals import INTERVALS, Replicates, difference_of, interval_of
from semrsm.measures.resamples import Resamples, pair_weights

each_measure = pytest.mark.parametrize("name", MEASURES)
RESAMPLED = [row.name for row in MEASURES.values() if row.resample]
each_resampled = pytest.mark.parametrize("name", RESAMPLED)


def related(seed: int, n: int, noise: float = 1.0):
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((n, 20))
    y = x + noise * draws.standard_normal((n, 20))
    return x @ x.T, y @ y.T


def repeated(n: int, distinct: int, seed: int = 0):
    """n draws of `distinct` different samples."""
    return np.random.default_rng(seed).permutation(np.arange(n) % distinct)


def value_of(name: str, K, L, index, clusters=None):
    """The measure of the samples of `index`, which may repeat."""
    clusters = np.arange(len(K)) if clusters is None else clusters
    counts = np.bincount(index, minlength=len(K)).astype(np.float64)
    [value] = MEASURES[name].resample(K, L, clusters)(counts[None])
    return value


@each_resampled
def test_without_repeats_a_resample_is_the_measure_of_those_samples(name, rng) -> None:
    K, L = related(0, 30)
    for n in (30, 19):
        index = rng.permutation(30)[:n]
        at = np.ix_(index, index)
        value = value_of(name, K, L, index)
        assert value == pytest.approx(MEASURES[name](K[at], L[at]), abs=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in RESAMPLED if "diagonal" in MEASURES[name].invariances]
)
def test_pairs_of_own_copies_are_dropped_where_the_diagonal_is_not_used(name, rng) -> None:
    K, L = related(2, 30)
    index = rng.integers(0, 30, 30)
    spoilt = K + np.diag(rng.uniform(-1e3, 1e3, 30))
    value = value_of(name, K, L, index)
    assert value_of(name, spoilt, L, index) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
@each_resampled
def test_a_resample_of_tiny_or_huge_rsms_is_the_same(name, scale, rng) -> None:
    K, L = related(1, 30)
    index = rng.integers(0, 30, 30)
    value = value_of(name, scale * K, scale * L, index)
    assert value == pytest.approx(value_of(name, K, L, index), abs=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in RESAMPLED if "shift" in MEASURES[name].invariances]
)
def test_an_offset_costs_a_resample_no_digits(name, rng) -> None:
    K, L = (np.round(8 * M) / 8 for M in related(1, 30))
    index = rng.integers(0, 30, 30)
    assert (K + 1e13 - 1e13 == K).all()
    value = value_of(name, K + 1e13, L, index)
    assert value == pytest.approx(value_of(name, K, L, index), abs=1e-12)


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
    assert value_of(name, K, L, index) == pytest.approx(expected, abs=1e-9)


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
    assert value_of(name, K, L, index) == pytest.approx(expected, abs=1e-9)


def _average_ranks(values):
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@each_resampled
@pytest.mark.parametrize("size", [1, 2, 3])
def test_leaving_clusters_out_is_the_measure_of_the_others(name, size) -> None:
    K, L = related(6, 24)
    clusters = np.random.default_rng(0).permutation(np.arange(24) // size)
    [counts] = Resamples.of(24, clusters=clusters).left_out()
    for c, value in zip(counts, MEASURES[name].resample(K, L, clusters)(counts), strict=True):
        at = np.ix_(c > 0, c > 0)
        assert value == pytest.approx(MEASURES[name](K[at], L[at]), abs=1e-9)


def test_pairs_of_two_copies_of_a_cluster_are_dropped() -> None:
    counts, clusters = np.array([2.0, 2.0, 1.0, 0.0]), np.array([0, 0, 1, 2])
    copies = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)]  # (sample, copy)
    cluster_of = {0: 0, 1: 0, 2: 1}
    expected = np.zeros((4, 4))
    for (i, a), (j, b) in combinations(copies, 2):
        if cluster_of[i] != cluster_of[j] or (a == b and i != j):
            expected[i, j] += 1
            expected[j, i] += 1
    assert (pair_weights(counts, clusters, np.arange(4)) == expected).all()


@pytest.mark.parametrize(("name", "diagonal"), [("cka", True), ("cka-debiased", False)])
def test_a_cka_of_drawn_clusters_is_the_cosine_of_least_squares_residuals(name, diagonal) -> None:
    K, L = related(15, 12)
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5])
    counts = np.array([2, 0, 1, 3, 0, 1])[clusters].astype(np.float64)
    chosen = np.flatnonzero(counts)
    weights = pair_weights(counts, clusters, chosen)
    np.fill_diagonal(weights, counts[chosen] if diagonal else 0)
    k = len(chosen)
    rows, columns = (i.ravel() for i in np.indices((k, k)))
    design = np.zeros((k * k, k))
    design[np.arange(k * k), rows] += 1
    design[np.arange(k * k), columns] += 1
    roots = np.sqrt(weights.ravel())
    residuals = []
    for M in (K, L):
        entries = M[np.ix_(chosen, chosen)].ravel()
        fit = np.linalg.lstsq(design * roots[:, None], entries * roots)[0]
        residuals.append((entries - design @ fit) * roots)
    a, b = residuals
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    index = np.repeat(np.arange(12), counts.astype(int))
    assert value_of(name, K, L, index, clusters) == pytest.approx(expected, abs=1e-9)


def test_many_clusters_are_left_out_in_parts() -> None:
    resamples = Resamples(np.arange(1001), seed=3)
    counts = np.concatenate(list(resamples.left_out()))
    assert len(counts) == resamples.n_parts == 500
    assert set((counts == 0).sum(axis=1)) == {2, 3}
    assert ((counts == 0).sum(axis=0) == 1).all()


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in RESAMPLED])
def test_where_repeats_break_a_measure_only_leaving_out_is_offered(name) -> None:
    K, L = related(7, 30)
    with pytest.raises(
        SemrsmError, match=f"no corrected interval of {name}: .* .interval='jackknife'"
    ):
        bootstrap(MEASURES[name], K, L, n_resamples=20)
    interval = bootstrap(MEASURES[name], K, L, method="jackknife")
    assert interval.low < MEASURES[name](K, L) < interval.high


@each_resampled
def test_the_difference_to_itself_is_nothing(name) -> None:
    K, L = related(16, 20)
    made = replicates(name, K, L, "corrected")
    found = difference_of(made, made, INTERVALS["corrected"])
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def replicates(name: str, K, L, method: str, n_resamples: int = 40):
    """The replicates of a measure."""
    measure = MEASURES[name]
    drawn = Resamples.of(len(K), n_resamples)
    return replicate_measure(measure, measure(K, L), K, L, drawn, INTERVALS[method])


@pytest.mark.parametrize("method", INTERVALS)
def test_a_paired_difference_is_surer_than_two_intervals(method) -> None:
    draws = np.random.default_rng(17)
    x = draws.standard_normal((60, 20))
    y = x + draws.standard_normal((60, 20))
    K, L, M = (f @ f.T for f in (x, y, y + 0.3 * draws.standard_normal((60, 20))))
    a, b = (replicates("rsa-pearson", K, other, method, 400) for other in (L, M))
    low, high = INTERVALS[method].ends(a, (-1.0, 1.0))
    found = difference_of(a, b, INTERVALS[method])
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.6 * (high - low)
    assert found.p < 0.05


def test_the_p_of_equally_good_models_is_uniform() -> None:
    p = []
    for seed in range(150):
        draws = np.random.default_rng([18, seed])
        x = draws.standard_normal((30, 8))
        others = (x + draws.standard_normal((30, 8)) for _ in range(2))
        K, L, M = (f @ f.T for f in (x, *others))
        a, b = (replicates("cka-debiased", K, other, "corrected", 100) for other in (L, M))
        p.append(difference_of(a, b, INTERVALS["corrected"]).p)
    for level in (0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.1)


def test_bca_of_a_mean_agrees_with_scipy(rng) -> None:
    from scipy import stats

    x = rng.exponential(size=40)
    expected = stats.bootstrap(
        (x,), np.mean, n_resamples=20000, method="BCa", random_state=np.random.default_rng(0)
    )
    counts = np.concatenate(list(Resamples.of(40, 20000).drawn()))
    left_out = (x.sum() - x) / 39
    made = Replicates(x.mean(), counts @ x / 40, left_out)
    interval = interval_of(made, INTERVALS["bca"])
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.01)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.01)


def test_the_jackknife_of_a_mean_is_its_t_interval(rng) -> None:
    from scipy import stats

    x = rng.normal(size=20)
    made = Replicates(x.mean(), np.empty(0), (x.sum() - x) / 19)
    interval = interval_of(made, INTERVALS["jackknife"])
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_one_cluster_is_refused() -> None:
    with pytest.raises(SemrsmError, match="one cluster"):
        Resamples.of(5, clusters=np.zeros(5))


@each_resampled
def test_an_interval_orders_its_ends_and_repeats_with_its_seed(name) -> None:
    K, L = related(7, 30)
    interval = bootstrap(MEASURES[name], K, L, n_resamples=40, seed=3)
    assert MEASURES[name].range[0] <= interval.low < interval.high <= MEASURES[name].range[1]
    assert interval == bootstrap(MEASURES[name], K, L, n_resamples=40, seed=3)
    assert interval != bootstrap(MEASURES[name], K, L, n_resamples=40, seed=4)


@pytest.mark.parametrize("name", ["cka-debiased", "rsa-pearson", "rsa-spearman", "corr-whitened"])
def test_an_interval_holds_the_value_and_narrows_with_n(name) -> None:
    widths = []
    for n in (60, 20):
        K, L = related(8, n)
        interval = bootstrap(MEASURES[name], K, L, n_resamples=100)
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1]
    assert interval.low < MEASURES[name](K, L) < interval.high


def test_too_few_samples_for_a_bootstrap_are_refused(rng) -> None:
    K, L = related(9, 5)
    with pytest.raises(SemrsmError, match=r"undefined for \d+ of 100 resamples"):
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
