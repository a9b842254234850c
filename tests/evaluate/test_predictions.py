import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon, pdist
from scipy.special import softmax as scipy_softmax

from semrsm.errors import SemrsmError
from semrsm.evaluate import divergences as module
from semrsm.evaluate import pair_correlations
from semrsm.evaluate.divergences import checked_probabilities, divergences, softmax
from semrsm.evaluate.pair_correlations import PairCorrelations, pearson, spearman
from semrsm.evaluate.predictions import correlations
from semrsm.measures import MEASURES, places, weighted_ranks
from semrsm.measures.resamples import Resamples
from semrsm.measures.weighted_ranks import dense_ranks

SEEDS = st.integers(0, 2**32 - 1)


def random_probabilities(seed: int, n: int = 9, classes: int = 5) -> np.ndarray:
    """Dirichlet rows, with exact zeros, a repeated row and two that are certain."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), n)
    p[0, 1:3] = 0
    p[0] /= p[0].sum()
    p[2], p[3], p[4] = p[1], np.eye(classes)[0], np.eye(classes)[1]
    return p


def of_values(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The correlations of two values of each pair, ranks and all."""
    return correlations(x, y, dense_ranks(x), dense_ranks(y))


@given(SEEDS)
def test_divergences_are_those_of_scipy(seed: int) -> None:
    p = random_probabilities(seed)
    expected = pdist(p, lambda a, b: np.nan_to_num(jensenshannon(a, b, base=2)) ** 2)
    np.testing.assert_allclose(divergences(p), expected, atol=1e-14)


@given(SEEDS)
def test_divergences_are_bounded_and_do_not_depend_on_the_order_of_classes(seed: int) -> None:
    p = random_probabilities(seed)
    found = divergences(p)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(divergences(p[:, ::-1]), found, atol=1e-14)


def test_equal_predictions_have_divergence_0_and_disjoint_ones_1(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(1000))
    first, last = np.r_[p, np.zeros(1000)], np.r_[np.zeros(1000), p]
    assert divergences(np.stack([first, last, first])).tolist() == [1.0, 0.0, 1.0]


def test_divergences_do_not_depend_on_the_size_of_the_blocks_or_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = random_probabilities(3, 20, 7)
    whole = divergences(p)
    monkeypatch.setattr(module, "CHUNK", 21)
    monkeypatch.setattr(module, "BAND", 3)
    np.testing.assert_array_equal(divergences(p), whole)
    np.testing.assert_array_equal(divergences(p, workers=3), whole)


@given(SEEDS, st.sampled_from([1e-6, 1.0, 1e3, 1e300]))
def test_softmax_is_that_of_scipy_at_every_scale(seed: int, scale: float) -> None:
    z = np.random.default_rng(seed).uniform(-1, 1, (6, 4)) * scale
    np.testing.assert_allclose(softmax(z), scipy_softmax(z, axis=1), rtol=1e-12, atol=1e-300)


@given(SEEDS, st.floats(-1e3, 1e3))
def test_softmax_does_not_change_with_a_constant(seed: int, constant: float) -> None:
    z = np.random.default_rng(seed).standard_normal((5, 3))
    np.testing.assert_allclose(softmax(z + constant), softmax(z), rtol=1e-10)


def test_logits_of_the_largest_float_do_not_overflow() -> None:
    largest = np.finfo(np.float64).max
    assert softmax(np.array([[largest, -largest]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(SemrsmError, match="sample 1 has logits that are not finite"):
        softmax(np.array([[0.0, 1.0], [value, 0.0]]))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([0.5, 0.6], "sample 1 has probabilities that do not sum to 1 but to 1.1"),
        ([1.1, -0.1], "sample 1 has probabilities below 0"),
        ([np.nan, 1.0], "sample 1 has probabilities that are not finite"),
        ([0.0, 0.0], "do not sum to 1 but to 0"),
    ],
)
def test_what_is_no_probability_is_refused(row: list[float], sentence: str) -> None:
    with pytest.raises(SemrsmError, match=sentence):
        checked_probabilities(np.array([[0.5, 0.5], row]))


def test_probabilities_of_float16_are_probabilities(rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(1000), 5).astype(np.float16)
    np.testing.assert_allclose(checked_probabilities(p).sum(axis=1), 1.0, rtol=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=20), SEEDS, st.sampled_from([1, 3, 99]))
def test_ranks_and_spearman_are_those_of_scipy(values: list[int], seed: int, chunk: int) -> None:
    x, y = np.array(values, np.float64), np.random.default_rng(seed).integers(0, 4, len(values))
    whole = weighted_ranks.CHUNK
    weighted_ranks.CHUNK = chunk
    try:
        ranks = dense_ranks(x), dense_ranks(y.astype(np.float64))
        found = spearman(*ranks)
    finally:
        weighted_ranks.CHUNK = whole
    np.testing.assert_array_equal(ranks[0], scipy.stats.rankdata(x, "dense") - 1)
    expected = pearson(scipy.stats.rankdata(x), scipy.stats.rankdata(y))
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(SEEDS, st.sampled_from([1e-200, 1.0, 1e200]), st.sampled_from([0.0, 1e3]))
def test_correlations_are_those_of_scipy_with_ties_and_at_every_scale(
    seed: int, scale: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 30).astype(np.float64)
    y = np.round(x * rng.uniform(-1, 1) + rng.standard_normal(30), 1)
    found = of_values((x + offset) * scale, y)
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y)[0], abs=1e-10)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y)[0], abs=1e-12)


@given(SEEDS)
def test_weights_of_pearson_are_repetitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 12))
    weights = rng.integers(1, 5, 12)
    expected = np.corrcoef(np.repeat(x, weights), np.repeat(y, weights))[0, 1]
    assert pearson(x, y, weights.astype(np.float64)) == pytest.approx(expected, abs=1e-12)


@given(SEEDS)
def test_increasing_changes_of_the_similarity_keep_spearman(seed: int) -> None:
    x, y = np.random.default_rng(seed).standard_normal((2, 15))
    before, after = of_values(x, y), of_values(np.exp(x), y)
    assert before["spearman"] == after["spearman"]
    turned = of_values(-x, y)
    assert turned["pearson"] == pytest.approx(-before["pearson"])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_has_no_correlation(value: float, rng: np.random.Generator) -> None:
    y = rng.standard_normal(45)
    found = of_values(np.full(45, value), y)
    assert np.isnan(found["pearson"])
    assert np.isnan(found["spearman"])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_resamples_of_samples_or_clusters_are_those_of_measures(
    size: int, rng: np.random.Generator
) -> None:
    n = 12
    K = np.round(rng.standard_normal((n, n)), 1)
    K = K + K.T
    D = np.round(-0.5 * K + rng.standard_normal((n, n)), 1)
    D = D + D.T
    upper = np.triu_indices(n, 1)
    clusters = rng.permutation(np.arange(n) // size)
    counts = np.concatenate(list(Resamples.of(n, 20, 5, clusters).drawn()))
    prepared = PairCorrelations.of(K[upper], D[upper], dense_ranks(D[upper]), n, clusters)
    found = prepared(counts.astype(np.int32))
    for name, values in found.items():
        expected = MEASURES[f"rsa-{name}"].resample(K, D, clusters)(counts)
        np.testing.assert_allclose(values, expected, atol=1e-9)


@given(
    SEEDS,
    st.integers(2, 9),
    st.sampled_from([1, 5, 99]),
    st.sampled_from([1, 8]),
    st.sampled_from([0.1, 2, 8]),
)
def test_resampled_correlations_are_those_of_repeated_pairs(
    seed: int, n: int, chunk: int, block: int, few: float
) -> None:
    """Weights are repetitions, with ties, constant resamples, and counts of any kind."""
    rng = np.random.default_rng(seed)
    m = n * (n - 1) // 2
    x, y = rng.integers(0, 3, (2, m)) * rng.choice([1e-200, 1.0, 1e200])
    counts = rng.integers(0, 4, (5, n))
    sums = pair_correlations
    sizes = {
        **{(weighted_ranks, "CHUNK"): chunk, (places, "BLOCK"): block, (places, "FEW"): few},
        **{(sums, "BLOCK"): block, (sums, "BATCH"): 2},
    }
    before = {at: getattr(*at) for at in sizes}
    try:
        for at, size in sizes.items():
            setattr(*at, size)
        prepared = PairCorrelations.of(x, y, dense_ranks(y), n)
        found = prepared(counts)
        for name, values in prepared(counts, workers=2).items():
            np.testing.assert_array_equal(values, found[name])
    finally:
        for at, size in before.items():
            setattr(*at, size)
    i, j = np.triu_indices(n, 1)
    for k, c in enumerate(counts):
        repeated = [np.repeat(v, c[i] * c[j]) for v in (x, y)]
        ranks = [scipy.stats.rankdata(v) for v in repeated]
        assert found["pearson"][k] == pytest.approx(pearson(*repeated), abs=1e-9, nan_ok=True)
        assert found["spearman"][k] == pytest.approx(pearson(*ranks), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("tied", [0, 0.001, 0.01, 0.6])
def test_more_ranks_than_bins_hardly_change_a_resample(
    tied: float, rng: np.random.Generator
) -> None:
    """Nor do many pairs of one value, which would move those that shared a bin with it."""
    n = 400
    i, j = np.triu_indices(n, 1)
    x = rng.standard_normal(len(i))
    y = x + rng.standard_normal(len(i))
    x[rng.random(len(i)) < tied] = 0.1
    y[x == 0.1] = 0.2
    assert len(x) * (1 - tied) > 16 * places.BINS
    drawn = np.concatenate(list(Resamples.of(n, 3, 5).drawn()))
    left_out = 1.0 * (np.arange(3)[:, None] != np.arange(n) % 20)
    counts = np.concatenate([drawn, left_out]).astype(int)
    tolerance = 8 / places.BINS / len(i) ** 0.5  # 6e-5
    found = PairCorrelations.of(x, y, dense_ranks(y), n)(counts)["spearman"]
    for c, value in zip(counts, found, strict=True):
        ranks = [scipy.stats.rankdata(np.repeat(v, c[i] * c[j])) for v in (x, y)]
        assert value == pytest.approx(pearson(*ranks), abs=tolerance)


def test_a_resample_without_the_outlier_keeps_its_digits(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 45))
    x[0] = 1e12  # the pair (0, 1)
    counts = np.ones((1, 10), int)
    counts[0, 0] = 0
    found = PairCorrelations.of(x, y, dense_ranks(y), 10)(counts)["pearson"][0]
    kept = np.triu_indices(10, 1)[0] > 0
    assert found == pytest.approx(scipy.stats.pearsonr(x[kept], y[kept])[0], abs=1e-9)
