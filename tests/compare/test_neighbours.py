"""Measures of neighbours from features: scikit-learn's neighbours, and the definitions of their paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import semrsm
from semrsm.compare import compare
from tests.compare.test_rdms import computed
from tests.helpers import write_h5


def test_the_neighbours_of_scikit_learn(tmp_path: Path) -> None:
    # scikit-learn 1.9.1, of features(0) and features(1): NearestNeighbors(n_neighbors=3, metric="cosine",
    # algorithm="brute").fit(x).kneighbors(), then the mean share and the mean Jaccard index of the sets.
    files = [computed(tmp_path, subject) for subject in (0, 1)]
    names = ["mutual-knn", "jaccard-knn"]
    table = compare(files, measures=names, neighbours=3, kernel="cosine")
    found = [record["value"] for record in table.records()]
    assert found == pytest.approx([0.638888888888889, 0.5083333333333333], abs=1e-12)


def similar(x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inner products of normalised features, and where the k nearest of each row are."""
    unit = torch.nn.functional.normalize(x, dim=1)
    products = unit @ unit.T
    others = products - 9.0 * torch.eye(
        len(x), dtype=products.dtype
    )  # a sample is no neighbour of its own
    nearest = torch.zeros_like(products, dtype=torch.bool)
    return products, nearest.scatter(1, others.topk(k, dim=1).indices, True)


def unbiased_hsic(K: torch.Tensor, L: torch.Tensor) -> torch.Tensor:
    """Return Song's estimator from its sum over i, j, q, r, all different, in closed form."""
    n, one = len(K), torch.ones(len(K), dtype=K.dtype)
    K, L = (m - torch.diag(m.diagonal()) for m in (K, L))
    both = (one @ K @ one) * (one @ L @ one) / (n - 1) / (n - 2)
    return (torch.trace(K @ L) + both - 2 * (one @ K @ L @ one) / (n - 2)) / n / (n - 3)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_the_definitions_of_the_platonic_representation_hypothesis(
    k: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Mutual kNN and CKNNA as Huh et al. define them (ICML 2024, appendix), of normalised features."""
    x = rng.normal(size=(31, 12))
    y = x @ rng.normal(size=(12, 9)) + rng.normal(size=(31, 9))
    files = []
    for name, features in (("x", x), ("y", y)):
        source = write_h5(tmp_path / f"{name}.h5", layer=features)
        files.append(tmp_path / f"{name}.rsm.h5")
        semrsm.compute(
            source, files[-1], layer="layer", matcher="identity", kernel="linear", dtype="float64"
        )
    (K, near_x), (L, near_y) = (similar(torch.from_numpy(v), k) for v in (x, y))
    common = near_x & near_y
    squares = [unbiased_hsic(M * near, M * near) for M, near in ((K, near_x), (L, near_y))]
    expected = {
        "mutual-knn": common.sum(1).double().mean() / k,
        "cknna": unbiased_hsic(K * common, L * common) / torch.sqrt(squares[0] * squares[1]),
    }
    table = compare(files, measures=list(expected), neighbours=k, kernel="cosine")
    for record in table.records():
        assert record["value"] == pytest.approx(float(expected[record["measure"]]), abs=1e-9)
