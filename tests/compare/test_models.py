"""Model RSMs from labels: what they hold, and that labels belong to the right samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from semrsm import SemrsmError
from semrsm.compare import compare
from semrsm.compare.models import similarity_of
from semrsm.measures import MEASURES
from tests.helpers import succeed, write_h5, write_rsm

N = 17
IDS = [f"s{i}" for i in range(N)]


@pytest.fixture
def gram(rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(size=(N, 6))
    return x @ x.T


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(3, size=N)


def value(*addresses: object, **options: object) -> float:
    [record] = compare([str(a) for a in addresses], **options).records()
    return record["value"]


@pytest.mark.parametrize("swap", [False, True])
def test_labels_stand_for_an_rsm_on_either_side(
    swap: bool, tmp_path: Path, gram: np.ndarray, labels: np.ndarray
) -> None:
    rsm = write_rsm(tmp_path / "a.rsm.h5", {"x": gram})
    model = f"labels:{write_h5(tmp_path / 'l.h5', y=labels, other=labels[::-1])}::y"
    same = (labels[:, None] == labels).astype(float)
    pair = (model, rsm) if swap else (rsm, model)
    for name in ("rsa-rho-a", "rsa-kendall-tau-a", "cka", "cka-debiased", "nbs"):
        assert value(*pair, measures=[name]) == pytest.approx(MEASURES[name](gram, same), abs=1e-6)
    upper = np.triu_indices(N, 1)
    spearman = stats.spearmanr(gram[upper], same[upper]).statistic
    assert value(*pair, measures=["rsa-spearman"], rdm="none") == pytest.approx(spearman)


@pytest.mark.parametrize("rdm", ["euclidean", "correlation"])
def test_the_rdm_of_a_model_is_one_where_labels_differ(
    rdm: str, tmp_path: Path, gram: np.ndarray, labels: np.ndarray
) -> None:
    np.save(tmp_path / "k.npy", gram)
    np.save(tmp_path / "l.npy", labels)
    differ = (labels[:, None] != labels).astype(float)
    norms = np.diag(gram)
    distances = {
        "euclidean": norms[:, None] + norms - 2 * gram,
        "correlation": 1 - gram / np.sqrt(np.outer(norms, norms)),
    }[rdm]
    found = value(tmp_path / "k.npy", f"labels:{tmp_path / 'l.npy'}", measures=["cosine"], rdm=rdm)
    assert found == pytest.approx(MEASURES["cosine"](distances, differ), abs=1e-12)


def test_labels_are_found_by_the_ids_of_samples(
    tmp_path: Path, gram: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> None:
    rsm = write_rsm(tmp_path / "a.rsm.h5", {"x": gram}, samples=IDS)
    order = rng.permutation(N)
    table = tmp_path / "labels.csv"
    lines = ["sample,label", *(f"s{i},class {labels[i]}" for i in order), "another,class 9"]
    table.write_text("\n".join(lines))
    same = (labels[:, None] == labels).astype(float)
    expected = MEASURES["cka"](gram, same)
    assert value(rsm, f"labels:{table}", measures=["cka"]) == pytest.approx(expected, abs=1e-6)
    fewer = write_rsm(tmp_path / "b.rsm.h5", {"x": gram[:9, :9]}, samples=IDS[:9])
    records = compare([rsm, fewer, f"labels:{table}"], measures=["cka"], align=True).records()
    found = {(Path(r["a"]).name, Path(r["b"]).name): r["value"] for r in records}
    part = MEASURES["cka"](gram[:9, :9], same[:9, :9])
    assert found["a.rsm.h5", "labels.csv"] == pytest.approx(part, abs=1e-6)


def test_several_labels_count_by_what_two_samples_share() -> None:
    sets = [frozenset(s) for s in ("a", "ab", "bcd", "ab")]
    expected = [[2 * len(a & b) / (len(a) + len(b)) for b in sets] for a in sets]
    rows = similarity_of(sets)
    np.testing.assert_allclose(rows(slice(None)), expected, rtol=1e-6)
    np.testing.assert_array_equal(rows(slice(1, 3)), rows(slice(None))[1:3])


def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, gram: np.ndarray, labels: np.ndarray
) -> None:
    rsm = write_rsm(tmp_path / "a.rsm.h5", {"x": gram})
    short = write_h5(tmp_path / "short.h5", y=labels[:9])
    with pytest.raises(SemrsmError, match="9 rows"):
        value(rsm, f"labels:{short}::y", measures=["cka"])
    with pytest.raises(SemrsmError, match="name one to compare it with"):
        value(f"labels:{short}::y")
    one = write_h5(tmp_path / "one.h5", y=np.zeros(N, int))
    with pytest.raises(SemrsmError, match="is constant"):
        value(rsm, f"labels:{one}::y", measures=["cka"])
    table = tmp_path / "gaps.csv"
    table.write_text("labels\n" + "\n".join(["a;b", "", *"abcabcabcabcabc"]))
    with pytest.raises(SemrsmError, match="sample 1 has no label"):
        value(rsm, f"labels:{table}", measures=["cka"])


def test_the_command_takes_labels(tmp_path: Path, gram: np.ndarray, labels: np.ndarray) -> None:
    rsm = write_rsm(tmp_path / "a.rsm.h5", {"x": gram, "y": gram**2})
    source = write_h5(tmp_path / "l.h5", y=labels)
    flags = ("--measure", "rsa-rho-a", "--rdm", "none", "--untrusted")
    lines = succeed("compare", f"labels:{source}::y", rsm, *flags).stdout.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(f"labels:{source}\ty\t")
