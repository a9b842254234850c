"""What RSA correlates: values of rsatoolbox from features, and what cannot be had of a file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats

import semrsm
from semrsm import SemrsmError
from semrsm.compare import compare
from semrsm.compute.scan import scan_of
from semrsm.measures import MEASURES
from semrsm.measures.rdm import RDMS, RdmMatrix
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import succeed, write_h5, write_rsm

NAMES = {
    **{"rsa-pearson": "corr", "rsa-spearman": "spearman", "rsa-rho-a": "rho-a"},
    **{"rsa-kendall-tau-a": "tau-a", "rsa-kendall-tau-b": "tau-b", "cosine": "cosine"},
}

# rsatoolbox 0.3.2 (numpy 2.4.6, scipy 1.17.1), of features(0) and features(1):
# compare(calc_rdm(Dataset(x), method=kind), calc_rdm(Dataset(y), method=kind), method=...)
COMPARED = {
    "correlation": {
        **{"corr": 0.8085648871705748, "spearman": 0.7728003339943639, "rho-a": 0.7728003339943639},
        **{"tau-a": 0.5776223776223777, "tau-b": 0.5776223776223777, "cosine": 0.9899588112400263},
    },
    "euclidean": {
        **{"corr": 0.7925408380462473, "spearman": 0.7312180356956477, "rho-a": 0.7312180356956476},
        **{"tau-a": 0.5543123543123543, "tau-b": 0.5543123543123543, "cosine": 0.9859715490118345},
    },
}


def features(subject: int, n: int = 12, d: int = 20) -> np.ndarray:
    """Return (n, d) whole numbers, alike between subjects, many of them 0: anyone can make them again."""
    i, j = np.arange(n)[:, None], np.arange(d)
    shared = (i + 2) ** 2 * (j + 3) ** 3 % 101
    own = (i + 5) ** 3 * (j + subject + 2) ** 2 % 59
    return np.maximum(3 * shared + 2 * own - 90, 0).astype(float)


def computed(folder: Path, subject: int, **options: object) -> Path:
    """Return the RSM file of the features of a subject, as maps of 5 channels and 2 x 2 positions."""
    maps = features(subject).reshape(12, 5, 2, 2)
    ids = np.array([f"s{i}" for i in range(12)], dtype="S")
    source = write_h5(folder / f"{subject}.h5", layer=maps, samples=ids)
    out = folder / f"{subject}.rsm.h5"
    semrsm.compute(
        source, out, **{"matcher": "identity", "kernel": ["linear", "cosine"], **options}
    )
    return out


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [computed(tmp_path, subject) for subject in (0, 1)]


@pytest.mark.parametrize("rdm", COMPARED)
def test_the_values_of_rsatoolbox_from_features(rdm: str, files: list[Path]) -> None:
    for kernel in ("linear", "cosine") if rdm == "correlation" else ("linear",):
        table = compare(files, measures=list(NAMES), rdm=rdm, kernel=kernel)
        assert table.notes == ()
        for record in table.records():
            expected = COMPARED[rdm][NAMES[record["measure"]]]
            assert record["value"] == pytest.approx(expected, abs=1e-12), record["measure"]
            assert record["rdm"] == rdm


def test_without_an_rdm_the_inner_products_are_correlated_and_that_is_told(
    files: list[Path],
) -> None:
    table = compare(files, measures=["rsa-spearman", "cka"], kernel="linear")
    expected = stats.spearmanr(*((x @ x.T)[np.triu_indices(12, 1)] for x in map(features, (0, 1))))
    assert table.records()[0]["value"] == pytest.approx(expected.statistic, abs=1e-12)
    assert len(table.notes) == 1
    assert "inner products of the kernel linear are correlated (rsa-spearman)" in table.notes[0]
    for quiet in ({"rdm": "none"}, {"kernel": "cosine"}, {"measures": ["cka"]}):
        options = {"measures": ["rsa-spearman"], "kernel": "linear"} | quiet
        assert compare(files, **options).notes == ()
    meant = compare(files, measures=["rsa-spearman", "cka"], kernel="linear", rdm="none").records()
    assert [r["value"] for r in meant] == [r["value"] for r in table.records()]
    assert [r["rdm"] for r in meant] == ["none", None]


def test_an_rdm_is_for_measures_of_pairs_only(files: list[Path]) -> None:
    [alone] = compare(files, measures=["cka"], kernel="linear").records()
    both = compare(
        files, measures=["rsa-pearson", "cka"], rdm="euclidean", kernel="linear"
    ).records()
    assert both[1]["value"] == pytest.approx(alone["value"], abs=1e-7)
    assert [r["rdm"] for r in both] == ["euclidean", None]
    with pytest.raises(SemrsmError, match=r"`rdm` is for rsa-pearson, .*cosine; name one"):
        compare(files, measures=["cka"], rdm="euclidean")
    with pytest.raises(SemrsmError, match="did you mean 'euclidean'"):
        compare(files, measures=["cosine"], rdm="euclidian")


def test_matched_maps_have_the_correlations_of_the_matching(tmp_path: Path) -> None:
    x = np.random.default_rng(5).gamma(1.0, size=(6, 4, 3, 3))
    out = tmp_path / "x.rsm.h5"
    semrsm.compute(write_h5(tmp_path / "x.h5", layer=x), out, kernel="cosine", dtype="float64")
    maps = x.reshape(6, 4, 9).transpose(0, 2, 1)
    expected = np.array([[_matched_correlation(a, b) for b in maps] for a in maps])
    with open_rsm(out) as file:
        sums = file.value_sums("layer")
        np.testing.assert_allclose(sums, x.sum((1, 2, 3)), rtol=1e-14)
        made = RdmMatrix(file.matched("layer"), RDMS["correlation"], sums / 6)
        np.testing.assert_allclose(1 + 2 * made[0:6], expected, atol=1e-7)


def _matched_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Correlate two maps (S, C), matched by their inner product, all values of both."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(x @ y.T, maximize=True)
    return float(np.corrcoef(x[rows].ravel(), y[columns].ravel())[0, 1])


def test_plain_matrices_have_no_means_and_that_is_told(tmp_path: Path) -> None:
    x, y = (features(s) - features(s).mean(1, keepdims=True) for s in (0, 1))
    paths = [tmp_path / "x.npy", tmp_path / "y.npy"]
    for path, v in zip(paths, (x, y), strict=True):
        np.save(path, v @ v.T)
    table = compare(paths, measures=["rsa-spearman", "rsa-pearson"], rdm="correlation")
    found = [r["value"] for r in table.records()]
    expected = [COMPARED["correlation"][m] for m in ("spearman", "corr")]
    assert found == pytest.approx(expected, abs=1e-9)
    assert any("does not tell the mean" in note for note in table.notes)
    distances = [tmp_path / "d.npy", tmp_path / "e.npy"]
    for path, v in zip(distances, (x, y), strict=True):
        np.save(path, ((v[:, None] - v) ** 2).sum(2))
    euclidean = compare(paths, measures=["cosine"], rdm="euclidean").records()[0]["value"]
    given = compare(distances, measures=["cosine"], distance=True).records()[0]["value"]
    assert given == pytest.approx(euclidean, abs=1e-12)
    with pytest.raises(SemrsmError, match="leave one out"):
        compare(distances, measures=["cosine"], distance=True, rdm="euclidean")


def test_what_has_no_correlations_is_refused_with_the_reason(tmp_path: Path) -> None:
    x = features(0)
    old = write_rsm(tmp_path / "old.rsm.h5", {"layer": x @ x.T}, kernels=["linear", "rbf"])
    options = {"measures": ["rsa-pearson"], "rdm": "correlation"}
    with pytest.raises(SemrsmError, match=r"does not hold the sums of values .* compute it again"):
        compare([old], kernel="linear", **options)
    with pytest.raises(SemrsmError, match="not of rbf; choose one with `kernel`"):
        compare([old], kernel="rbf", **options)
    flat = x.reshape(12, 5, 2, 2).copy()
    flat[3] = 0.7
    out = tmp_path / "flat.rsm.h5"
    semrsm.compute(write_h5(tmp_path / "flat.h5", layer=flat), out, matcher="identity")
    with pytest.raises(SemrsmError, match="the values of sample 3 do not differ"):
        compare([out], **options)


def test_aligned_samples_keep_their_means(tmp_path: Path, files: list[Path]) -> None:
    order = np.random.default_rng(2).permutation(12)
    source = write_h5(
        tmp_path / "m.h5",
        layer=features(1).reshape(12, 5, 2, 2)[order],
        samples=np.array([f"s{i}" for i in order], dtype="S"),
    )
    moved = tmp_path / "m.rsm.h5"
    semrsm.compute(source, moved, matcher="identity", kernel="cosine")
    table = compare([files[0], moved], measures=["rsa-rho-a"], rdm="correlation", align=True)
    expected = COMPARED["correlation"]["rho-a"]
    assert table.records()[0]["value"] == pytest.approx(expected, abs=1e-12)


def test_the_sums_of_values_stand_in_the_file_and_scans_of_before_do_without(
    files: list[Path],
) -> None:
    with h5py.File(files[0]) as file:
        np.testing.assert_array_equal(file["layers/layer/value_sum"][:], features(0).sum(1))
    arrays = {"squared_norm": np.ones(3), "digests": np.zeros((3, 16), np.uint8)}
    before, now = scan_of(arrays, 3, 3), scan_of(arrays | {"value_sum": np.ones(3)}, 3, 3)
    assert before is not None
    assert before.rows.value_sum is None
    assert now is not None
    assert now.rows.value_sum is not None
    assert scan_of(arrays | {"value_sum": np.ones(4)}, 3, 3) is None


def test_distances_leave_cka_as_it_is() -> None:
    x, y = features(0), features(1)
    K, L = x @ x.T, y @ y.T
    made = [RdmMatrix(M, RDMS["euclidean"]) for M in (K, L)]
    for name in ("cka", "cka-debiased", "corr-whitened"):
        assert MEASURES[name](*made) == pytest.approx(MEASURES[name](K, L), abs=1e-12)


def test_the_command_takes_an_rdm(files: list[Path]) -> None:
    flags = ("--measure", "rsa-pearson", "--rdm", "correlation")
    header, line = succeed("compare", *files, *flags).stdout.splitlines()
    cells = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert float(cells["value"]) == pytest.approx(COMPARED["correlation"]["corr"], abs=1e-6)
    assert cells["rdm"] == "correlation"
