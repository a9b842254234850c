"""Runs whose numbers are hard to get right: huge, tiny, almost equal, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.engine import native
from semrsm.errors import SemrsmError
from semrsm.rsms import open_rsms
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import brute_force, fail, succeed, vectors, write_h5, write_rsm


def computed(array: np.ndarray, folder: Path, *args: object) -> tuple[Path, str]:
    """Compute the RSMs of an array; return the file and what was said."""
    source, out = write_h5(folder / "maps.h5", layer=array), folder / "out.rsm.h5"
    return out, succeed("compute", source, "-o", out, "--overwrite", *args).stderr


@pytest.mark.parametrize("size", [1e-25, 1e20])
@pytest.mark.parametrize("matcher", ["optimal", "maxsim"])
def test_linear_is_stored_in_float64_where_float32_has_no_room(
    size: float, matcher: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = (rng.normal(size=(5, 3, 2, 2)) * size).astype(np.float32)
    out, said = computed(maps, tmp_path, "-k", "linear", "-m", matcher)
    assert "layer: linear is stored in float64, as its values leave the range of float32" in said
    rsm, about = semrsm.read_rsm(out, kernel="linear")
    assert rsm.dtype == np.float64
    assert about["parameters"]["kernel_types"] == {"linear": "float64"}
    plain = semrsm.rsm((maps.astype(np.float64) / size), matcher, "linear")
    np.testing.assert_allclose(rsm / size / size, plain, rtol=1e-5)
    [stored] = open_rsms(out)
    np.testing.assert_array_equal(stored.values(), rsm)


def test_shards_say_it_when_they_are_finished(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = (rng.normal(size=(5, 3, 2, 2)) * 1e20).astype(np.float32)
    out, said = computed(maps, tmp_path, "--shard", "1/1")
    assert "float64" not in said
    said = succeed("finish", out, "-k", "linear").stderr
    assert "layer: linear is stored in float64" in said
    assert semrsm.read_rsm(out, kernel="linear")[0].max() > 1e40


def test_what_float32_has_room_for_stays_float32(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = (rng.normal(size=(5, 3, 2, 2)) * 1e20).astype(np.float32)
    out, _ = computed(maps, tmp_path, "-k", "linear", "-k", "cosine", "-k", "rbf")
    with open_rsm(out) as file:
        types = {k: file.kernel("layer", k).dtype.name for k in ("linear", "cosine", "rbf")}
        assert types == file.layer("layer").parameters["kernel_types"]
    assert types == {"linear": "float64", "cosine": "float32", "rbf": "float32"}
    out, said = computed(maps / 1e20, tmp_path, "-k", "linear")
    assert semrsm.read_rsm(out, kernel="linear")[0].dtype == np.float32
    assert "float64" not in said


@pytest.mark.parametrize(("size", "how"), [(1e-170, "vanish in float64"), (1e200, "overflow")])
def test_activations_whose_squares_are_no_float64_are_refused(
    size: float, how: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = rng.normal(size=(4, 3, 2, 2))
    maps[2] *= size
    source = write_h5(tmp_path / "maps.h5", layer=maps)
    said = fail("compute", source, "-o", tmp_path / "out.rsm.h5", "--samples", "1:")
    assert "maps.h5::layer: sample 2 has values of at most" in said
    assert how in said
    with pytest.raises(SemrsmError, match=f"a sample has .* squares {how}"):
        semrsm.rsm(maps)


def of_differences(array: np.ndarray, sigma: str | float = "median") -> np.ndarray:
    """The optimal rbf from the smallest sums of squared differences, in float64."""
    x = vectors(array)
    n, S = len(x), x.shape[1]
    d2 = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            # The largest sum of -d2 is that of inner products of maps made for it.
            apart = ((x[i][:, None] - x[j][None]) ** 2).sum(2)
            d2[i, j] = -brute_force(-apart, np.eye(S))
    pairs = np.sort(d2[np.triu_indices(n, 1)])
    square = pairs[(len(pairs) - 1) // 2] if sigma == "median" else float(sigma) ** 2
    return np.exp(-d2 / square / 2)


def alike(apart: float, rng: np.random.Generator, kind: type = np.float32) -> np.ndarray:
    one = rng.normal(size=(1, 3, 2, 2)) + 1.0
    return (
        one + apart * rng.normal(size=(6, 3, 2, 2)) * np.arange(1, 7)[:, None, None, None]
    ).astype(kind)


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rbf_of_maps_that_are_alike_is_that_of_their_differences(
    apart: float, kind: type, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = alike(apart, rng, kind)
    out, said = computed(maps, tmp_path, "-k", "rbf")
    rsm, about = semrsm.read_rsm(out, kernel="rbf")
    np.testing.assert_allclose(rsm, of_differences(maps), atol=1e-3)
    assert about["parameters"]["unsure"] == 0
    again = about["parameters"]["solved_again"]
    assert again == (0 if apart == 1e-2 else 15)
    assert (f"so that their values are exact now: {again};" in said) == (again > 0)
    np.testing.assert_allclose(semrsm.rsm(maps, kernel="rbf"), of_differences(maps), atol=1e-3)


@pytest.mark.skipif(native.core() is None, reason="only the native core hands problems over")
def test_problems_that_are_handed_over_are_counted_and_told(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = rng.integers(0, 2, (3, 2, 21, 21)).astype(np.float32)
    out, said = computed(maps, tmp_path, "-k", "linear")
    handed_over = semrsm.read_rsm(out, kernel="linear")[1]["parameters"]["handed_over"]
    assert handed_over > 0
    assert f"matchings that the faster algorithm left to a slower one: {handed_over};" in said


def test_rbf_that_float64_cannot_tell_is_counted(tmp_path: Path, rng: np.random.Generator) -> None:
    out, said = computed(alike(1e-7, rng, np.float64), tmp_path, "-k", "rbf", "--sigma", 1e-7)
    unsure = semrsm.read_rsm(out, kernel="rbf")[1]["parameters"]["unsure"]
    assert unsure > 0
    assert f"layer: the rbf of {unsure} pairs may be off by more than 0.001" in said


def test_rbf_that_is_finished_later_is_counted_too(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = alike(1e-7, rng, np.float64)
    out, _ = computed(maps, tmp_path, "-k", "rbf", "--sigma", 1e-7)
    unsure = semrsm.read_rsm(out, kernel="rbf")[1]["parameters"]["unsure"]
    note = f"the rbf of {unsure} pairs may be off by more than 0.001"
    with pytest.warns(UserWarning, match=f"layer: {note}"):
        semrsm.read_rsm(out, kernel="rbf", sigma=1e-7)
    with pytest.warns(UserWarning, match=note):
        semrsm.rsm(maps, kernel="rbf", sigma=1e-7)
    semrsm.read_rsm(out, kernel="rbf", sigma=1.0)  # all is sure: no warning


def test_a_file_of_before_alike_pairs_were_matched_again_is_not_trusted(tmp_path: Path) -> None:
    m = np.full((3, 3), 1.0 - 1e-7) + 1e-7 * np.eye(3)
    with pytest.warns(UserWarning, match="the rbf of 3 pairs may be off"):
        semrsm.read_rsm(write_rsm(tmp_path / "o.rsm.h5", {"layer": m}), kernel="rbf")


@pytest.mark.parametrize("matcher", ["optimal", "greedy", "topk-greedy", "sinkhorn", "coarse"])
def test_the_order_of_the_samples_changes_no_value(
    matcher: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = (rng.normal(size=(6, 4, 4, 4)) + 0.5).astype(np.float32)
    there, back = (semrsm.rsm(m, matcher) for m in (maps, maps[::-1].copy()))
    np.testing.assert_allclose(back[::-1, ::-1], there, atol=1e-6)
