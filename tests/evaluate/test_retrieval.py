import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from semrsm.evaluate.retrieval import multi_hot, retrieve, summarise

SEEDS = st.integers(0, 2**32 - 1)


def random_sets(rng: np.random.Generator, n: int, classes: int = 4) -> list[frozenset[str]]:
    """Label sets, some of them empty."""
    hot = rng.random((n, classes)) < 0.35
    return [frozenset(str(c) for c in np.flatnonzero(row)) for row in hot]


def slow_retrieve(
    row: np.ndarray, query: frozenset, gallery: list[frozenset], k: int, own: int | None
) -> dict[str, float]:
    """Score one query by the definitions, with loops over sorted Python lists."""
    columns = sorted((c for c in range(len(row)) if c != own), key=lambda c: (-row[c], c))
    hits = [bool(query & gallery[c]) for c in columns]
    R = sum(hits)
    if R == 0:
        return dict.fromkeys(("f1", "precision", "recall", "ap", "rr", "r-precision"), np.nan)
    f1 = [2 * len(query & gallery[c]) / (len(query) + len(gallery[c])) for c in columns[:k]]
    precisions = [sum(hits[: r + 1]) / (r + 1) for r in range(len(hits)) if hits[r]]
    return {
        "f1": sum(f1) / k,
        "precision": sum(hits[:k]) / k,
        "recall": sum(hits[:k]) / R,
        "ap": sum(precisions) / R,
        "rr": 1 / (hits.index(True) + 1),
        "r-precision": sum(hits[:R]) / R,
    }


@given(SEEDS, st.integers(2, 12), st.integers(1, 11), st.booleans())
def test_every_metric_follows_its_definition_with_ties_and_empty_label_sets(
    seed: int, n: int, k: int, symmetric: bool
) -> None:
    rng = np.random.default_rng(seed)
    m = n if symmetric else n + 3
    k = min(k, m - symmetric)
    similarity = rng.integers(-2, 3, (n, m)).astype(np.float32)
    queries = random_sets(rng, n)
    gallery = queries if symmetric else random_sets(rng, m)
    own = np.arange(n) if symmetric else None
    scores = retrieve(similarity, *multi_hot(queries, gallery), (k,), own)
    for i in range(n):
        slow = slow_retrieve(similarity[i], queries[i], gallery, k, i if symmetric else None)
        for name, value in slow.items():
            fast = scores[f"{name}@{k}" if name in ("f1", "precision", "recall") else name][i]
            np.testing.assert_allclose(fast, value, rtol=1e-12, err_msg=name)


@given(SEEDS)
def test_average_precision_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 15
    similarity = rng.permuted(np.tile(np.linspace(-3, 1, n), (n, 1)), axis=1)
    sets = random_sets(rng, n)
    found = retrieve(similarity, *multi_hot(sets, sets), (1,), np.arange(n))["ap"]
    for i in range(n):
        others = np.arange(n) != i
        relevant = np.array([bool(sets[i] & s) for s in sets])[others]
        if relevant.any():
            expected = average_precision_score(relevant, similarity[i, others])
            assert found[i] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(found[i])


def test_average_precision_of_the_example_in_torchmetrics() -> None:
    query, gallery = multi_hot([frozenset("x")], [frozenset("x"), frozenset("y"), frozenset("x")])
    scores = retrieve(np.array([[0.2, 0.3, 0.5]]), query, gallery)
    assert scores["ap"][0] == pytest.approx(0.8333, abs=5e-5)


@given(SEEDS, st.integers(-1000, 1000), st.sampled_from([2.0**-40, 0.5, 3.0, 2.0**40]))
def test_a_constant_and_a_positive_factor_change_nothing(
    seed: int, constant: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.integers(-50, 50, (9, 9)).astype(np.float64)
    sets = random_sets(rng, 9)
    hot = multi_hot(sets, sets)
    before = retrieve(similarity, *hot, (1, 3), np.arange(9))
    after = retrieve((similarity + constant) * factor, *hot, (1, 3), np.arange(9))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_a_perfect_ranking_with_only_negative_scores_has_map_1() -> None:
    labels = np.repeat(np.arange(4), 3)
    similarity = np.where(labels[:, None] == labels, -1.0, -2.0)
    sets = [frozenset(str(c)) for c in labels]
    scores = retrieve(similarity, *multi_hot(sets, sets), (1, 2), np.arange(12))
    means = summarise(scores)
    assert means["map"] == means["mrr"] == means["r-precision"] == means["f1@2"] == 1.0


def test_the_worst_ranking_has_its_known_values() -> None:
    labels = ["a", "a", "b", "b", "b"]
    sets = [frozenset(c) for c in labels]
    same = np.array([[p == q for p in labels] for q in labels])
    scores = retrieve(np.where(same, 0.0, 1.0), *multi_hot(sets, sets), (1,), np.arange(5))
    np.testing.assert_allclose(scores["ap"][:2], 1 / 4)
    np.testing.assert_allclose(scores["ap"][2:], (1 / 3 + 2 / 4) / 2)
    np.testing.assert_allclose(scores["rr"], [1 / 4, 1 / 4, 1 / 3, 1 / 3, 1 / 3])
    assert not scores["r-precision"].any()


@given(SEEDS)
def test_the_diagonal_does_not_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((8, 8))
    sets = random_sets(rng, 8)
    before = retrieve(similarity, *multi_hot(sets, sets), (2,), np.arange(8))
    np.fill_diagonal(similarity, rng.choice([-1e9, 1e9], 8))
    after = retrieve(similarity, *multi_hot(sets, sets), (2,), np.arange(8))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_with_one_label_each_f1_at_1_is_precision_at_1(rng: np.random.Generator) -> None:
    sets = [frozenset(str(c)) for c in rng.integers(0, 3, 20)]
    scores = retrieve(rng.standard_normal((20, 20)), *multi_hot(sets, sets), (1,), np.arange(20))
    np.testing.assert_array_equal(scores["f1@1"], scores["precision@1"])


def test_equal_similarities_keep_the_order_of_the_gallery() -> None:
    query, gallery = multi_hot([frozenset("x")], [frozenset("y"), frozenset("x"), frozenset("x")])
    scores = retrieve(np.zeros((1, 3)), query, gallery, (1, 2))
    assert scores["rr"][0] == 0.5
    assert scores["precision@2"][0] == 0.5


def test_the_similarities_are_not_changed(rng: np.random.Generator) -> None:
    similarity = rng.standard_normal((4, 4))
    copy = similarity.copy()
    sets = [frozenset("x")] * 4
    retrieve(similarity, *multi_hot(sets, sets), (1,), np.arange(4))
    np.testing.assert_array_equal(similarity, copy)


def test_samples_without_labels_are_no_queries_and_no_hits() -> None:
    sets = [frozenset(), frozenset("x"), frozenset("x"), frozenset()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = retrieve(np.ones((4, 4)), *multi_hot(sets, sets), (1, 3), np.arange(4))
    assert np.isnan(scores["f1@1"]).tolist() == [True, False, False, True]
    assert scores["f1@1"][1] == 0.0
    assert scores["f1@3"][1] == pytest.approx(1 / 3)
    assert summarise(scores)["recall@3"] == 1.0
