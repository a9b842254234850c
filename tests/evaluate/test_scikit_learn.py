"""Values of scikit-learn, from the features of the embedded example: no RSM of ours is in between."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, silhouette_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import semrsm
from semrsm.data import digits_path
from semrsm.evaluate.results import Evaluation
from semrsm.evaluate.run import evaluate_retrieval

LAYERS = ("resnet/layer1", "resnet/layer2", "resnet/layer3", "vit/block2", "vit/block4")
KNOWN = str(digits_path())


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with h5py.File(digits_path()) as file:
        return {name: file[name][:] for name in (*LAYERS, "labels", "views")}


@pytest.fixture(scope="module")
def rsm_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spatio-semantic RSMs with the kernel cosine: those of the flattened maps."""
    out = tmp_path_factory.mktemp("digits") / "identity.rsm.h5"
    semrsm.compute(digits_path(), out, layer=LAYERS, matcher="identity", kernel=("cosine",))
    return out


def evaluated(rsm_file: Path, views: bool, ks: tuple[int, ...]) -> dict[str, Evaluation]:
    view_ids = f"{KNOWN}::views" if views else None
    found = evaluate_retrieval([rsm_file], f"{KNOWN}::labels", view_ids=view_ids, ks=ks)
    return {str(evaluation.rsm.layer): evaluation for evaluation in found}


@pytest.mark.parametrize("views", [False, True])
def test_f1_at_1_is_the_accuracy_of_the_nearest_neighbour(
    rsm_file: Path, arrays: dict[str, np.ndarray], views: bool
) -> None:
    folds = LeaveOneGroupOut() if views else LeaveOneOut()
    groups = arrays["views"] if views else None
    for layer, found in evaluated(rsm_file, views, (1,)).items():
        maps = arrays[layer].reshape(80, -1).astype(np.float64)
        nearest = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
        labels = cross_val_predict(nearest, maps, arrays["labels"], cv=folds, groups=groups)
        # One of 80 queries: float32 may swap two neighbours that are almost equally near.
        accuracy = float(np.mean(labels == arrays["labels"]))
        assert found.values["f1@1"] == pytest.approx(accuracy, abs=0.0126)


def test_values_at_k_are_those_of_nearest_neighbours(
    rsm_file: Path, arrays: dict[str, np.ndarray]
) -> None:
    labels = arrays["labels"]
    hot = (labels[:, None] == np.unique(labels)).astype(int)
    for layer, found in evaluated(rsm_file, False, (5,)).items():
        maps = arrays[layer].reshape(80, -1).astype(np.float64)
        near = NearestNeighbors(n_neighbors=5, metric="cosine").fit(maps).kneighbors()[1]
        f1 = np.mean([f1_score(hot, hot[near[:, k]], average="samples") for k in range(5)])
        hits = (labels[near] == labels[:, None]).sum(axis=1)
        relevant = np.bincount(labels)[labels] - 1
        assert found.values["f1@5"] == pytest.approx(f1, abs=0.006)
        # Eight samples of each digit: recall@5 is f1@5 times 5/7 and is not printed.
        assert "recall@5" not in found.values
        rows = list(found.details())
        recall = np.mean([row[found.columns.index("recall@5")] for row in rows])
        assert recall == pytest.approx(np.mean(hits / relevant), abs=0.006)
        assert recall == pytest.approx(found.values["f1@5"] * 5 / 7)


@pytest.mark.parametrize("views", [False, True])
def test_map_is_the_mean_of_average_precisions(
    rsm_file: Path, arrays: dict[str, np.ndarray], views: bool
) -> None:
    labels = arrays["labels"]
    things = arrays["views"] if views else np.arange(80)
    for layer, found in evaluated(rsm_file, views, (1,)).items():
        similarity = cosine_similarity(arrays[layer].reshape(80, -1).astype(np.float64))
        each = []
        for i in range(80):
            others = things != things[i]
            same = (labels == labels[i])[others]
            if same.any():
                each.append(average_precision_score(same, similarity[i, others]))
        assert len(each) == found.values["queries"]
        assert found.values["map"] == pytest.approx(np.mean(each), abs=2e-3)


def test_layers_that_retrieve_better_have_classes_that_are_further_apart(
    rsm_file: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Silhouettes, as a sanity check: they order the layers of a network as map does."""
    found = evaluated(rsm_file, True, (1,))
    for network in ("resnet", "vit"):
        layers = [layer for layer in LAYERS if layer.startswith(network)]
        silhouettes = [
            silhouette_score(arrays[layer].reshape(80, -1), arrays["labels"], metric="cosine")
            for layer in layers
        ]
        means = [found[layer].values["map"] for layer in layers]
        assert np.argsort(silhouettes).tolist() == np.argsort(means).tolist()
        assert np.diff(silhouettes).min() > 0.01  # far from a tie
