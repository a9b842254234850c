import csv
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

import semrsm
from semrsm import rsms
from semrsm.errors import SemrsmError
from semrsm.evaluate.results import write_details
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.measures.inference import Inference


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two layers of 12 samples, six things in two views each, with ids, labels, views and logits."""
    path = tmp_path / "dump.h5"
    things = rng.standard_normal((6, 3, 2, 2)).astype(np.float32)
    views = np.tile(np.arange(6), 2)
    with h5py.File(path, "w") as file:
        for layer in ("one", "two"):
            file[layer] = things[views] + 0.3 * rng.standard_normal((12, 3, 2, 2), np.float32)
        file["samples"] = [f"s{i}" for i in range(12)]
        file["labels"] = views % 3
        file["views"] = views
        file["logits"] = 3 * rng.standard_normal((6, 4))[views]
    return path


@pytest.fixture
def rsm_file(dump: Path, tmp_path: Path) -> Path:
    out = tmp_path / "dump.rsm.h5"
    semrsm.compute(dump, out, layer=("one", "two"), kernel=("cosine", "rbf"), threads=1)
    return out


def test_one_evaluation_for_each_layer_and_stored_kernel(rsm_file: Path, dump: Path) -> None:
    found = list(evaluate_retrieval([rsm_file], f"{dump}::labels", ks=(1,)))
    assert [(e.rsm.layer, e.rsm.kernel) for e in found] == [
        *(("one", "cosine"), ("one", "rbf"), ("two", "cosine"), ("two", "rbf"))
    ]


def test_kernels_that_are_not_stored_are_finished(rsm_file: Path, dump: Path) -> None:
    views = f"{dump}::views"
    [found] = evaluate_views([f"{rsm_file}::one"], views, kernels=("linear",))
    K, _ = semrsm.read_rsm(rsm_file, "one", "linear")
    with h5py.File(dump) as file:
        v = file["views"][:]
    upper = np.triu_indices(12, 1)
    same = v[upper[0]] == v[upper[1]]
    assert found.values["median-same"] == pytest.approx(np.median(K[upper][same]))
    assert found.values["median-other"] == pytest.approx(np.median(K[upper][~same]))


def test_predictions_are_correlated_over_the_pairs(rsm_file: Path, dump: Path) -> None:
    [found] = evaluate_predictions([f"{rsm_file}::two"], logits=f"{dump}::logits", kernels=("rbf",))
    K, _ = semrsm.read_rsm(rsm_file, "two", "rbf")
    rows = list(found.details())
    i, j, similarity, divergence = map(np.array, zip(*rows, strict=True))
    np.testing.assert_array_equal([i, j], np.triu_indices(12, 1))
    np.testing.assert_array_equal(similarity, K[i, j])
    assert found.values["pearson"] == pytest.approx(pearsonr(similarity, divergence)[0])
    assert found.values["spearman"] == pytest.approx(spearmanr(similarity, divergence)[0])


def test_logits_and_their_probabilities_agree(rsm_file: Path, dump: Path, tmp_path: Path) -> None:
    with h5py.File(dump) as file:
        powers = np.exp(file["logits"][:])
    np.save(tmp_path / "p.npy", powers / powers.sum(axis=1, keepdims=True))
    by_logits = evaluate_predictions([rsm_file], logits=f"{dump}::logits")
    by_probabilities = evaluate_predictions([rsm_file], probabilities=tmp_path / "p.npy")
    for a, b in zip(by_logits, by_probabilities, strict=True):
        assert a.values["pearson"] == pytest.approx(b.values["pearson"])


def test_nothing_depends_on_the_size_of_the_blocks(
    rsm_file: Path, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> list[dict]:
        found = [
            *evaluate_retrieval([rsm_file], f"{dump}::labels"),
            *evaluate_views([rsm_file], f"{dump}::views"),
            *evaluate_predictions(
                [rsm_file], logits=f"{dump}::logits", inference=Inference(n_resamples=5)
            ),
        ]
        return [record for e in found for record in e.records()]

    whole = everything()
    monkeypatch.setattr(rsms, "BLOCK", 5 * 12)
    assert everything() == whole


def test_labels_with_ids_are_aligned(rsm_file: Path, dump: Path, tmp_path: Path) -> None:
    with h5py.File(dump) as file:
        labels = file["labels"][:]
    lines = [f"s{i},{labels[i]}" for i in np.random.default_rng(0).permutation(12)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["sample,label", "elsewhere,7", *lines]))
    expected = list(evaluate_retrieval([rsm_file], f"{dump}::labels"))
    found = list(evaluate_retrieval([rsm_file], table))
    assert [e.values for e in found] == [e.values for e in expected]


def test_logits_with_ids_are_aligned(rsm_file: Path, dump: Path, tmp_path: Path) -> None:
    with h5py.File(dump) as file:
        logits = file["logits"][:]
    order = np.random.default_rng(0).permutation(12)
    np.savez(tmp_path / "l.npz", logits=logits[order], samples=[f"s{i}" for i in order])
    expected = list(evaluate_predictions([rsm_file], logits=f"{dump}::logits"))
    found = list(evaluate_predictions([rsm_file], logits=f"{tmp_path / 'l.npz'}::logits"))
    for a, b in zip(found, expected, strict=True):
        assert a.values == pytest.approx(b.values)


def test_files_with_their_samples_in_another_order_are_aligned_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    maps, logits = rng.standard_normal((8, 5)), rng.standard_normal((8, 3))
    order = rng.permutation(8)
    for name, rows in (("a", np.arange(8)), ("b", order)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"], file["samples"] = maps[rows], [f"s{i}" for i in rows]
        semrsm.compute(tmp_path / f"{name}.h5", tmp_path / f"{name}.rsm.h5", threads=1)
    with h5py.File(tmp_path / "l.h5", "w") as file:
        file["logits"], file["samples"] = logits, [f"s{i}" for i in range(8)]
    files = [tmp_path / "a.rsm.h5", tmp_path / "b.rsm.h5"]
    a, b = evaluate_predictions(files, logits=f"{tmp_path / 'l.h5'}::logits")
    assert a.values == pytest.approx(b.values)


def test_a_rectangular_rsm_ranks_a_gallery(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([[0.1, 0.9, 0.2], [0.8, 0.3, 0.1]]))
    (tmp_path / "q.csv").write_text("label\ncat\ndog\n")
    (tmp_path / "g.csv").write_text("cat\ndog;cat\nbird\n")
    [found] = evaluate_retrieval(
        [tmp_path / "r.npy"], tmp_path / "q.csv", gallery_labels=tmp_path / "g.csv", ks=(1, 3, 4)
    )
    assert found.values["map"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert found.values["f1@1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found.values["recall@3"] == 1.0
    assert found.values["f1@4"] is None
    assert found.reasons["recall@4"] == "k = 4 with 3 candidates"


def test_a_square_matrix_with_gallery_labels_leaves_nobody_out(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.eye(3))
    (tmp_path / "l.csv").write_text("a\nb\nc\n")
    [found] = evaluate_retrieval(
        [tmp_path / "r.npy"], tmp_path / "l.csv", gallery_labels=tmp_path / "l.csv", ks=(1,)
    )
    assert found.values["map"] == 1.0
    assert found.values["queries"] == 3


def test_excluded_queries_are_counted(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "r.npy", np.ones((4, 4)))
    (tmp_path / "l.csv").write_text("a\nb\na\nc\n")
    [retrieval] = evaluate_retrieval([tmp_path / "r.npy"], tmp_path / "l.csv", ks=(1,))
    [views] = evaluate_views([tmp_path / "r.npy"], tmp_path / "l.csv")
    for found in (retrieval, views):
        assert (found.values["queries"], found.values["excluded"]) == (2, 2)
    assert views.values["auroc"] == 0.5


def test_what_is_undefined_has_a_reason(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "r.npy", np.ones((4, 4)))
    np.save(tmp_path / "logits.npy", rng.standard_normal((4, 3)))
    (tmp_path / "l.csv").write_text("a\na\na\na\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [
            *evaluate_predictions(
                [tmp_path / "r.npy"],
                logits=tmp_path / "logits.npy",
                inference=Inference(n_resamples=9),
            ),
            *evaluate_views([tmp_path / "r.npy"], tmp_path / "l.csv"),
        ]
    records = [record for e in found for record in e.records()]
    missing = {r["metric"] for r in records if r["value"] is None}
    assert missing == {"pearson", "pearson-low", "pearson-high"} | {
        *("spearman", "spearman-low", "spearman-high", "median-other", "auroc")
    }
    assert all(("reason" in r) == (r["value"] is None) for r in records)


@pytest.mark.parametrize("sigma", [1e-30, 1e300])
def test_tiny_and_huge_similarities(tmp_path: Path, rng: np.random.Generator, sigma: float) -> None:
    x = rng.standard_normal((8, 8))
    np.save(tmp_path / "one.npy", x + x.T)
    np.save(tmp_path / "scaled.npy", (x + x.T) * sigma)
    np.save(tmp_path / "l.npy", np.arange(8) // 2)
    np.save(tmp_path / "logits.npy", rng.standard_normal((8, 3)))
    for evaluate in (
        lambda rsm: evaluate_retrieval([rsm], tmp_path / "l.npy", ks=(1,)),
        lambda rsm: evaluate_predictions([rsm], logits=tmp_path / "logits.npy"),
    ):
        [one], [scaled] = evaluate(tmp_path / "one.npy"), evaluate(tmp_path / "scaled.npy")
        assert scaled.values == pytest.approx(one.values)


def test_details_are_a_table_of_all_evaluations(rsm_file: Path, dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "queries.csv"
    done = write_details(out, evaluate_retrieval([rsm_file], f"{dump}::labels", ks=(1,)), False)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 12
    assert rows[5]["id"] == "s5"
    for evaluation in done:
        of_it = [
            float(row["ap"])
            for row in rows
            if (row["layer"], row["kernel"]) == (evaluation.rsm.layer, evaluation.rsm.kernel)
        ]
        assert np.mean(of_it) == pytest.approx(evaluation.values["map"])
    with pytest.raises(SemrsmError, match=r"queries\.csv exists; replace it with `overwrite=True`"):
        write_details(out, [], False)


def test_a_failed_evaluation_leaves_no_table(rsm_file: Path, dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "queries.csv"
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full((12, 12), np.nan))
    found = evaluate_retrieval([rsm_file, bad], f"{dump}::labels", by_position=True)
    with pytest.raises(SemrsmError, match=r"bad\.npy: row 0 holds NaN"):
        write_details(out, found, False)
    assert not [p for p in tmp_path.iterdir() if "queries" in p.name]


@pytest.mark.parametrize(
    "spoilt", [{(2, 7): 0.01}, {(7, 2): 0.01}, {(2, 7): 0.01, (3, 5): 0.1, (8, 4): -1.0}]
)
def test_a_matrix_that_is_not_symmetric_has_no_pairs(
    spoilt: dict[tuple[int, int], float], tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((9, 9))
    x = x + x.T
    for entry, by in spoilt.items():
        x[entry] += by
    np.save(tmp_path / "r.npy", x)
    np.save(tmp_path / "v.npy", np.arange(9) // 2)
    with pytest.raises(SemrsmError, match=r"row and column 2 differ; give a symmetric RSM"):
        list(evaluate_views([tmp_path / "r.npy"], tmp_path / "v.npy"))
