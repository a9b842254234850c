"""Two samples: the values of the RSM, a permutation that gives them, and what is not defined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm import SemrsmError
from semrsm.compute.pair import compare_pair
from semrsm.engine.matchers import MATCHERS
from tests.helpers import scipy_matched, vectors, write_h5

SIGMA = 7.0
MATCHING = [name for name, m in MATCHERS.items() if m.permutation]


@pytest.fixture
def maps(rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(size=(5, 6, 3, 5)).astype(np.float32)
    x[4] = x[1]
    return x


@pytest.fixture
def dump(tmp_path: Path, maps: np.ndarray) -> Path:
    return write_h5(tmp_path / "dump.h5", layer=maps)


def test_volumes_are_not_drawn_on_a_plane(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_h5(tmp_path / "a.h5", a=rng.normal(size=(3, 5, 4, 2, 2)).astype(np.float32))
    pair = compare_pair(path, 0, 1)
    assert pair.grid == (4, 2, 2)
    with pytest.raises(SemrsmError, match="the 16 positions lie in a volume of 4x2x2"):
        pair.drawn_grid()


@pytest.mark.parametrize("matcher", MATCHERS)
def test_values_are_the_entries_of_the_rsm(dump: Path, maps: np.ndarray, matcher: str) -> None:
    for i, j in ((0, 3), (3, 0), (1, 4), (2, 2)):
        for value in compare_pair(dump, i, j, matcher=matcher, sigma=SIGMA).values:
            kernel = {"kernel": value.kernel, "sigma": SIGMA}
            expected = semrsm.rsm(maps, "identity", **kernel)[i, j]
            assert value.identity == pytest.approx(expected, rel=1e-6, abs=1e-6)
            if value.kernel != "linear" and not MATCHERS[matcher].permutation:
                assert value.matched is None
                assert value.reason == f"{matcher} matches no positions"
            else:
                expected = semrsm.rsm(maps, matcher, **kernel)[i, j]
                assert value.matched == pytest.approx(expected, rel=1e-6, abs=1e-6)
                assert value.reason is None


@pytest.mark.parametrize("matcher", MATCHING)
@pytest.mark.parametrize(("i", "j"), [(0, 3), (3, 0), (2, 2)])
def test_the_permutation_gives_the_value(
    dump: Path, maps: np.ndarray, matcher: str, i: int, j: int
) -> None:
    pair = compare_pair(dump, i, j, matcher=matcher)
    permutation, strength = pair.matching()
    assert permutation.dtype == np.int64
    assert sorted(permutation) == list(range(15))
    x = vectors(maps)
    linear = pair.values[0]
    each = (x[i] * x[j][permutation]).sum(1)
    np.testing.assert_allclose(strength, each, rtol=1e-12)
    assert each.sum() == pytest.approx(linear.matched, rel=1e-6, abs=1e-5)


def test_the_optimal_value_is_that_of_scipy(dump: Path, maps: np.ndarray) -> None:
    x = vectors(maps)
    [linear, *_] = compare_pair(dump, 0, 2).values
    assert linear.matched == pytest.approx(scipy_matched(x[0], x[2]), rel=1e-6)


def test_identical_and_moved_samples_have_similarity_1(
    tmp_path: Path, maps: np.ndarray, rng: np.random.Generator
) -> None:
    moved = maps.reshape(5, 6, 15)[:, :, rng.permutation(15)].reshape(maps.shape)
    path = write_h5(tmp_path / "moved.h5", layer=np.concatenate([maps, moved]))
    for i, j in ((1, 1), (1, 4), (2, 7)):
        _, cosine, rbf = compare_pair(path, i, j, sigma=SIGMA).values
        assert cosine.matched == pytest.approx(1, abs=1e-6)
        assert rbf.matched == pytest.approx(1, abs=1e-6)
    assert cosine.identity < 0.9


def test_what_is_not_defined_says_why(tmp_path: Path, maps: np.ndarray) -> None:
    maps[0] = 0
    path = write_h5(tmp_path / "zero.h5", layer=maps)
    linear, cosine, rbf = compare_pair(path, 1, 0).values
    assert (linear.identity, linear.matched, linear.reason) == (0, 0, None)
    assert (cosine.matched, cosine.reason) == (None, "sample 0 is zero everywhere")
    assert (rbf.identity, rbf.matched) == (None, None)
    assert "give `sigma`" in rbf.reason


def test_tokens_are_drawn_as_a_square_where_they_make_one(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(3, 17, 4)).astype(np.float32)
    path = write_h5(tmp_path / "tokens.h5", tokens=x)
    assert compare_pair(path, 0, 1, skip_tokens=1).drawn_grid() == (4, 4)
    with pytest.raises(SemrsmError, match="17 tokens are no square"):
        compare_pair(path, 0, 1).drawn_grid()
    with pytest.raises(SemrsmError, match="shift needs a grid"):
        compare_pair(path, 0, 1, matcher="shift")


def test_the_grid_of_a_map_is_its_own(dump: Path) -> None:
    assert compare_pair(dump, 0, 1).drawn_grid() == (3, 5)


def test_what_is_wrong_is_said_in_a_sentence(dump: Path) -> None:
    for i, j in ((5, 0), (0, -1)):
        with pytest.raises(SemrsmError, match="give a number of 0 to 4"):
            compare_pair(dump, i, j)
    with pytest.raises(SemrsmError, match="matches no positions"):
        compare_pair(dump, 0, 1, matcher="pool").matching()
    with pytest.raises(SemrsmError, match="sigma must be"):
        compare_pair(dump, 0, 1, sigma=-1)
    with pytest.raises(SemrsmError, match="did you mean 'optimal'"):
        compare_pair(dump, 0, 1, matcher="optimum")
