"""Noise ceilings: rsatoolbox's values from features, laws, and what has none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm import SemrsmError
from semrsm.compare import noise_ceiling
from semrsm.measures import MEASURES
from tests.compare.test_rdms import NAMES, computed
from tests.helpers import fail, succeed, write_rsm

WITH_CEILING = [m.name for m in MEASURES.values() if m.ceiling]

# rsatoolbox 0.3.2 (numpy 2.4.6, scipy 1.17.1), of features(0) to features(3):
# boot_noise_ceiling(concat([calc_rdm(Dataset(x), method=kind) for x in ...]), method=...)
CEILINGS = {
    "correlation": {
        "corr": (0.8589602573015487, 0.9216973811767624),
        "spearman": (0.8153419550699832, 0.8976880133304564),
        "rho-a": (0.8152698048220437, 0.897641164805344),
        "cosine": (0.9929309997117248, 0.9960262406127459),
        "tau-a": (0.6332167832167832, 0.731934731934732),
        "tau-b": (0.634434313992189, 0.7327892970032953),
    },
    "euclidean": {
        "corr": (0.8422348544944689, 0.9124728644116588),
        "spearman": (0.7841941972964315, 0.8798263125893837),
        "rho-a": (0.7840935184218767, 0.8797620290157604),
        "cosine": (0.9893998300045194, 0.9940425950075439),
        "tau-a": (0.6064102564102565, 0.7111888111888112),
        "tau-b": (0.6080885319803615, 0.7123521071358888),
    },
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [computed(tmp_path, subject) for subject in range(4)]


@pytest.mark.parametrize("rdm", CEILINGS)
def test_the_ceilings_of_rsatoolbox_from_features(rdm: str, files: list[Path]) -> None:
    table = noise_ceiling(files, measures=list(NAMES), rdm=rdm, kernel="linear")
    for record in table.records():
        expected = CEILINGS[rdm][NAMES[record["measure"]]]
        assert (record["lower"], record["upper"]) == pytest.approx(expected, abs=1e-12)
        assert (record["layer"], record["rsms"], record["reason"]) == ("layer", 4, None)


def centred_mean(name: str, rsms: list[np.ndarray]) -> np.ndarray:
    """Return the mean of centred RSMs of norm 1."""
    prepared = [MEASURES[name].prepare(rsm) for rsm in rsms]
    n = len(rsms[0])
    return sum(
        p.centre(slice(0, n), rsm.copy()) / p.norm for p, rsm in zip(prepared, rsms, strict=True)
    )


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "corr-whitened"])
@given(seed=st.integers(0, 1000), r=st.integers(2, 4))
def test_the_ceiling_of_cka_is_that_of_the_mean_of_centred_rsms(
    name: str, seed: int, r: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(r, 9, 4))
    rsms = list(x @ x.transpose(0, 2, 1))
    measure = MEASURES[name]
    found = measure.ceiling([measure.prepare(rsm) for rsm in rsms], measure.compare)
    mean = centred_mean(name, rsms)
    others = [centred_mean(name, [*rsms[:i], *rsms[i + 1 :]]) for i in range(r)]
    assert found.upper == pytest.approx(np.mean([measure(mean, rsm) for rsm in rsms]), abs=1e-9)
    lower = [measure(other, rsm) for other, rsm in zip(others, rsms, strict=True)]
    assert found.lower == pytest.approx(np.mean(lower), abs=1e-9)


@pytest.mark.parametrize("name", WITH_CEILING)
def test_equal_rsms_have_a_ceiling_of_one_and_upper_is_never_below_lower(
    name: str, rng: np.random.Generator
) -> None:
    measure = MEASURES[name]

    def ceiling(rsms: list[np.ndarray]) -> tuple[float, float]:
        found = measure.ceiling([measure.prepare(rsm) for rsm in rsms], measure.compare)
        return found.lower, found.upper

    x = rng.normal(size=(5, 13, 6))
    rsms = list(x @ x.transpose(0, 2, 1))
    assert ceiling([rsms[0]] * 3) == pytest.approx((1, 1), abs=1e-9)
    lower, upper = ceiling(rsms)
    assert lower + 0.01 < upper < 1
    assert ceiling([7 * rsm for rsm in rsms]) == pytest.approx((lower, upper), abs=1e-9)


def test_layers_of_one_name_belong_together(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 11, 5))
    grams = x @ x.transpose(0, 2, 1)
    files = [
        write_rsm(tmp_path / f"{k}.rsm.h5", {"early": g, "late": g**2, f"own{k}": g})
        for k, g in enumerate(grams)
    ]
    table = noise_ceiling(files, measures=["cka"])
    assert [r["layer"] for r in table.records()] == ["early", "late"]
    assert "left out" in table.notes[0]
    assert all(f"own{k}" in table.notes[0] for k in range(3))
    [alone] = noise_ceiling(
        [f"{f}::own{k}" for k, f in enumerate(files)], measures=["cka"]
    ).records()
    assert alone["layer"] is None
    assert alone["upper"] == table.records()[0]["upper"]


def test_what_has_no_ceiling_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(14, 5))
    a = write_rsm(tmp_path / "a.rsm.h5", {"x": x @ x.T, "y": np.ones((14, 14))})
    b = write_rsm(tmp_path / "b.rsm.h5", {"z": x @ x.T, "w": x @ x.T})
    for measure in ("nbs", "mutual-knn", "angular-cka"):
        with pytest.raises(
            SemrsmError, match=f"{measure} has no noise ceiling; choose among cka, "
        ):
            noise_ceiling([a, a], measures=[measure])
    with pytest.raises(SemrsmError, match="no layer has its name in all of 2 files"):
        noise_ceiling([a, b])
    with pytest.raises(SemrsmError, match="there is one; name more"):
        noise_ceiling([a])
    with pytest.raises(SemrsmError, match="is a model"):
        noise_ceiling([a, a, "labels:y.csv"])
    records = noise_ceiling([a, a], measures=["cka"]).records()
    assert [r["reason"] is None for r in records] == [True, False]
    assert "constant" in records[1]["reason"]
    with pytest.raises(SemrsmError, match="constant"):
        noise_ceiling([f"{a}::y", f"{a}::y"], measures=["cka"])
    with pytest.raises(SemrsmError, match="`memory` grants"):
        noise_ceiling([f"{a}::x", f"{b}::z"], measures=["cka"], memory=1 << 20)


def test_the_command_prints_and_writes_the_ceiling(tmp_path: Path, files: list[Path]) -> None:
    flags = ("--noise-ceiling", "--measure", "rsa-pearson", "--rdm", "correlation")
    out = tmp_path / "ceiling.csv"
    [record] = json.loads(succeed("compare", *files, *flags, "--json", "-o", out).stdout)
    expected = CEILINGS["correlation"]["corr"]
    assert (record["lower"], record["upper"]) == pytest.approx(expected, abs=1e-9)
    assert out.read_text().splitlines()[0] == "layer,kernel,measure,lower,upper,rsms,reason"
    assert "takes no --bootstrap" in fail("compare", *files, "--noise-ceiling", "--bootstrap", 9)
