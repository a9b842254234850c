"""Intervals of evaluations and differences to a baseline: from which resamples, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.evaluate.retrieval import multi_hot, retrieve
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.evaluate.sure import auroc_of_pairs, mean_over_queries, retrieval_without
from semrsm.evaluate.views import auroc
from semrsm.measures.inference import Inference
from semrsm.measures.resamples import Resamples

SURE = Inference(n_resamples=60, seed=3)
LEAVING_OUT = Inference(n_resamples=1, interval="jackknife")


def save(path: Path, values: np.ndarray) -> Path:
    """Save an array."""
    np.save(path, values)
    return path


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> dict[str, Path]:
    """Two RSMs of 24 samples, 12 things twice, of which the first tells views apart better."""
    things = np.repeat(np.arange(12), 2)
    x = rng.standard_normal((12, 8))[things] + 0.6 * rng.standard_normal((24, 8))
    y = x + 2.0 * rng.standard_normal((24, 8))
    logits = x @ rng.standard_normal((8, 3))
    return {
        "good": save(tmp_path / "good.npy", x @ x.T),
        "poor": save(tmp_path / "poor.npy", y @ y.T),
        "views": save(tmp_path / "views.npy", things),
        "labels": save(tmp_path / "labels.npy", things % 4),
        "logits": save(tmp_path / "logits.npy", logits),
    }


@pytest.mark.parametrize("counts", [[1, 1, 1, 1, 1, 1], [2, 2, 1, 1, 0, 0], [0, 0, 3, 3, 1, 1]])
def test_a_resampled_auroc_is_that_of_repeated_pairs(
    counts: list[int], rng: np.random.Generator
) -> None:
    codes, clusters = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 2])
    i, j = np.triu_indices(6, 1)
    pairs = rng.integers(0, 4, 15).astype(np.float64)
    c = np.array(counts)
    times = np.where(clusters[i] == clusters[j], c[i], c[i] * c[j])
    same = codes[i] == codes[j]
    expected = auroc(np.repeat(pairs[same], times[same]), np.repeat(pairs[~same], times[~same]))
    found = auroc_of_pairs(pairs, codes, clusters)(c[None].astype(np.float64))
    assert found["auroc"] == pytest.approx(expected)


def test_retrieval_among_some_is_that_of_their_rsm(rng: np.random.Generator) -> None:
    x = rng.standard_normal((14, 5))
    things, labels = np.arange(14) // 2, [frozenset(str(k % 3)) for k in range(14)]
    [hot] = multi_hot(labels)
    counts = next(Resamples.of(14, clusters=things).left_out())
    without = retrieval_without(x @ x.T, hot, things, (1, 3), ["map", "f1@3"])
    found = without(counts)
    for k, row in enumerate(counts):
        at = np.flatnonzero(row)
        left_out = things[at][:, None] == things[at]
        scores = retrieve(x[at] @ x[at].T, hot[at], hot[at], (1, 3), left_out)
        assert found["map"][k] == pytest.approx(np.nanmean(scores["ap"]))
        assert found["f1@3"][k] == pytest.approx(np.nanmean(scores["f1@3"]))


def test_the_mean_over_queries_of_a_gallery_counts_them(rng: np.random.Generator) -> None:
    ap = np.array([0.2, np.nan, 1.0])
    found = mean_over_queries({"ap": ap})(np.array([[2.0, 1.0, 1.0], [0.0, 1.0, 0.0]]))
    assert found["map"][0] == pytest.approx((0.2 + 0.2 + 1.0) / 3)
    assert np.isnan(found["map"][1])


def test_views_are_drawn_together_and_compared_in_pairs(files: dict[str, Path]) -> None:
    found = evaluate_views(
        [files["good"], files["poor"]], files["views"], inference=SURE, baseline=files["poor"]
    )
    good, poor = (dict(e.values) for e in found)
    assert good["auroc-low"] < good["auroc"] < good["auroc-high"] <= 1
    assert good["auroc-difference"] == pytest.approx(good["auroc"] - poor["auroc"])
    assert good["auroc-difference-low"] < good["auroc-difference"] < good["auroc-difference-high"]
    assert 0 < good["auroc-difference-p"] < 0.2
    assert (poor["auroc-difference"], poor["auroc-difference-p"]) == (0.0, 1.0)
    assert good["seed"] == 3
    by_hand = evaluate_views(
        [files["good"]], files["views"], inference=SURE, clusters=files["views"]
    )
    assert next(by_hand).values["auroc-low"] == good["auroc-low"]


def test_predictions_are_compared_in_pairs(files: dict[str, Path]) -> None:
    [found] = evaluate_predictions(
        [files["good"]], logits=files["logits"], clusters=files["views"], baseline=files["poor"]
    )
    assert found.records()[0]["baseline"] == str(files["poor"])
    assert found.values["pearson-difference"] < 0
    [alone] = evaluate_predictions(
        [files["good"]], logits=files["logits"], inference=Inference(n_resamples=1000)
    )
    assert alone.values["pearson-low"] != found.values["pearson-low"]


def test_retrieval_among_queries_has_only_the_jackknife(files: dict[str, Path]) -> None:
    args = {"labels": files["labels"], "view_ids": files["views"], "ks": (1,)}
    [refused] = evaluate_retrieval([files["good"]], inference=SURE, **args)
    assert refused.values["map-low"] is None
    assert "`interval='jackknife'` leaves samples out" in refused.reasons["map-low"]
    [found] = evaluate_retrieval(
        [files["good"]], inference=LEAVING_OUT, baseline=files["poor"], **args
    )
    [alone] = evaluate_retrieval([files["good"]], inference=SURE, baseline=files["poor"], **args)
    assert alone.values["map-difference"] == pytest.approx(found.values["map-difference"])
    assert alone.values["map-difference-low"] is alone.values["map-difference-p"] is None
    assert "`interval='jackknife'`" in alone.reasons["map-difference-p"]
    assert found.values["map-low"] < found.values["map"] < found.values["map-high"]
    assert found.values["map-difference"] > 0


def test_queries_of_a_gallery_are_resampled(
    tmp_path: Path, rng: np.random.Generator, files: dict[str, Path]
) -> None:
    cross = save(tmp_path / "cross.npy", rng.standard_normal((24, 9)))
    gallery = save(tmp_path / "gallery.npy", np.arange(9) % 4)
    [found] = evaluate_retrieval(
        [cross], files["labels"], gallery_labels=gallery, ks=(1,), inference=SURE
    )
    assert found.values["map-low"] < found.values["map"] < found.values["map-high"]


def test_a_baseline_of_other_samples_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    small = save(tmp_path / "small.npy", np.eye(5))
    found = evaluate_views([files["good"]], files["views"], inference=SURE, baseline=small)
    with pytest.raises(
        SemrsmError,
        match=r"has 24 samples and .* 5; compute both from the same samples, or name another",
    ):
        list(found)
