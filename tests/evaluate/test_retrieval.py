import itertools
import math
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


def orders(row: np.ndarray, candidates: list[int]) -> list[list[int]]:
    """Return every order of the candidates by falling similarity, one for each order of the ties."""
    runs = [[c for c in candidates if row[c] == value] for value in sorted({*row}, reverse=True)]
    some = itertools.product(*(itertools.permutations(run) for run in runs))
    return [list(itertools.chain(*order)) for order in some]


def slow_score(
    columns: list[int], query: frozenset, gallery: list[frozenset], k: int
) -> dict[str, float]:
    """Score one order of the candidates by the definitions, with loops over Python lists."""
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


@given(SEEDS, st.integers(2, 6), st.integers(1, 5), st.sampled_from(["self", "views", "gallery"]))
def test_every_metric_is_the_mean_over_all_orders_of_what_is_tied(
    seed: int, n: int, k: int, left_out: str
) -> None:
    rng = np.random.default_rng(seed)
    m = n + 1 if left_out == "gallery" else n
    similarity = rng.integers(-1, 2, (n, m)).astype(np.float32)
    queries = random_sets(rng, n)
    gallery = random_sets(rng, m) if left_out == "gallery" else queries
    things = np.arange(n) if left_out == "self" else rng.integers(0, n // 2 + 1, n)
    out = None if left_out == "gallery" else things[:, None] == things
    candidates = [[c for c in range(m) if out is None or not out[i, c]] for i in range(n)]
    k = min(k, *map(len, candidates))
    if not k:
        return
    scores = retrieve(similarity, *multi_hot(queries, gallery), (k,), out)
    for i in range(n):
        each = [
            slow_score(order, queries[i], gallery, k)
            for order in orders(similarity[i], candidates[i])
        ]
        for name in each[0]:
            fast = scores[f"{name}@{k}" if name in ("f1", "precision", "recall") else name][i]
            slow = np.mean([score[name] for score in each])
            np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-15, err_msg=name)


@given(SEEDS, st.integers(2, 40))
def test_one_run_of_ties_has_its_closed_form(seed: int, m: int) -> None:
    """All m candidates are tied, r of them hits."""
    hits = np.random.default_rng(seed).random(m) < 0.4
    hits[0] = True
    r = int(hits.sum())
    sets = [frozenset("x") if hit else frozenset("y") for hit in hits]
    scores = retrieve(np.zeros((1, m)), *multi_hot([frozenset("x")], sets), (1, m))
    assert scores["precision@1"][0] == scores["f1@1"][0] == pytest.approx(r / m)
    assert scores["r-precision"][0] == pytest.approx(r / m)
    first = [math.comb(m - i, r - 1) / math.comb(m, r) / i for i in range(1, m - r + 2)]
    assert scores["rr"][0] == pytest.approx(sum(first))
    slope = (r - 1) / (m - 1)
    ap = sum((1 + (i - 1) * slope) / i for i in range(1, m + 1)) / m
    assert scores["ap"][0] == pytest.approx(ap)


@given(SEEDS)
def test_average_precision_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 15
    similarity = rng.permuted(np.tile(np.linspace(-3, 1, n), (n, 1)), axis=1)
    sets = random_sets(rng, n)
    found = retrieve(similarity, *multi_hot(sets, sets), (1,), np.eye(n, dtype=bool))["ap"]
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
    before = retrieve(similarity, *hot, (1, 3), np.eye(9, dtype=bool))
    after = retrieve((similarity + constant) * factor, *hot, (1, 3), np.eye(9, dtype=bool))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_a_perfect_ranking_with_only_negative_scores_has_map_1() -> None:
    labels = np.repeat(np.arange(4), 3)
    similarity = np.where(labels[:, None] == labels, -1.0, -2.0)
    sets = [frozenset(str(c)) for c in labels]
    scores = retrieve(similarity, *multi_hot(sets, sets), (1, 2), np.eye(12, dtype=bool))
    means = summarise(scores)
    assert means["map"] == means["mrr"] == means["r-precision"] == means["f1@2"] == 1.0


def test_the_worst_ranking_has_its_known_values() -> None:
    labels = ["a", "a", "b", "b", "b"]
    sets = [frozenset(c) for c in labels]
    same = np.array([[p == q for p in labels] for q in labels])
    scores = retrieve(np.where(same, 0.0, 1.0), *multi_hot(sets, sets), (1,), np.eye(5, dtype=bool))
    np.testing.assert_allclose(scores["ap"][:2], 1 / 4)
    np.testing.assert_allclose(scores["ap"][2:], (1 / 3 + 2 / 4) / 2)
    np.testing.assert_allclose(scores["rr"], [1 / 4, 1 / 4, 1 / 3, 1 / 3, 1 / 3])
    assert not scores["r-precision"].any()


@given(SEEDS)
def test_the_diagonal_does_not_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((8, 8))
    sets = random_sets(rng, 8)
    before = retrieve(similarity, *multi_hot(sets, sets), (2,), np.eye(8, dtype=bool))
    np.fill_diagonal(similarity, rng.choice([-1e9, 1e9], 8))
    after = retrieve(similarity, *multi_hot(sets, sets), (2,), np.eye(8, dtype=bool))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_with_one_label_each_f1_at_1_is_precision_at_1(rng: np.random.Generator) -> None:
    sets = [frozenset(str(c)) for c in rng.integers(0, 3, 20)]
    scores = retrieve(
        rng.standard_normal((20, 20)), *multi_hot(sets, sets), (1,), np.eye(20, dtype=bool)
    )
    np.testing.assert_array_equal(scores["f1@1"], scores["precision@1"])


def test_where_equal_candidates_stand_does_not_matter() -> None:
    query, gallery = multi_hot([frozenset("x")], [frozenset("y"), frozenset("x"), frozenset("x")])
    for columns in itertools.permutations(range(3)):
        scores = retrieve(np.zeros((1, 3)), query, gallery[list(columns)], (1, 2))
        assert scores["rr"][0] == pytest.approx(2 / 3 + 1 / 3 / 2)
        assert scores["precision@2"][0] == pytest.approx(2 / 3)


def test_candidates_that_are_left_out_count_nowhere(rng: np.random.Generator) -> None:
    things = np.repeat(np.arange(5), 3)
    sets = [frozenset(str(c)) for c in rng.integers(0, 2, 15)]
    similarity = rng.standard_normal((15, 15))
    same = things[:, None] == things
    found = retrieve(similarity, *multi_hot(sets, sets), (2,), same)
    for i in range(15):
        kept = np.flatnonzero(~same[i])
        alone = retrieve(
            similarity[i : i + 1, kept], *multi_hot([sets[i]], [sets[c] for c in kept]), (2,)
        )
        for name, values in alone.items():
            np.testing.assert_array_equal(found[name][i], values[0], err_msg=name)


def test_the_similarities_are_not_changed(rng: np.random.Generator) -> None:
    similarity = rng.standard_normal((4, 4))
    copy = similarity.copy()
    sets = [frozenset("x")] * 4
    retrieve(similarity, *multi_hot(sets, sets), (1,), np.eye(4, dtype=bool))
    np.testing.assert_array_equal(similarity, copy)


def test_samples_without_labels_are_no_queries_and_no_hits() -> None:
    sets = [frozenset(), frozenset("x"), frozenset("x"), frozenset()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = retrieve(np.ones((4, 4)), *multi_hot(sets, sets), (1, 3), np.eye(4, dtype=bool))
    assert np.isnan(scores["f1@1"]).tolist() == [True, False, False, True]
    assert scores["f1@1"][1] == pytest.approx(1 / 3)
    assert scores["f1@3"][1] == pytest.approx(1 / 3)
    assert summarise(scores)["recall@3"] == 1.0
