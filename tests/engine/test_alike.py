"""Maps that are alike: their distances keep their digits, whatever the products were computed in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from semrsm.engine.alike import alike, batches_of, distance
from semrsm.engine.blocks import Block, ready
from semrsm.engine.certificate import bounds_of_pairs
from semrsm.engine.maps import prepare
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.pairs import MatchedPairs, Work, match_pairs

MATCHED = [m.name for m in MATCHERS.values() if m.permutation]
PAIRS = torch.triu_indices(6, 6, offset=1).T
SMALL = Settings(topk=5, window=6, group=3)


def near(apart: float, offset: float, kind: torch.dtype) -> torch.Tensor:
    """Six maps that differ by a share `apart` of their size, their positions in another order."""
    rng = np.random.default_rng(11)
    one = rng.normal(size=(12, 3)) + offset
    maps = one + apart * rng.normal(size=(6, 12, 3))
    for k in range(6):
        maps[k] = maps[k, rng.permutation(12)]
    return torch.from_numpy(maps).to(kind)


def matched(x: torch.Tensor, matcher: str, **work: object) -> tuple[Block, MatchedPairs]:
    how = Work(MATCHERS[matcher], settings=SMALL, grid=(3, 4), **work)
    block = ready(lambda samples: x[samples.start : samples.stop], range(len(x)), how)
    return block, match_pairs(block, block, PAIRS, how)


def distances(x: torch.Tensor, m: torch.Tensor) -> np.ndarray:
    s = x.double().flatten(1).square().sum(1)
    i, j = PAIRS.unbind(1)
    return (s[i] + s[j] - 2 * m).numpy()


def least_distances(x: torch.Tensor) -> np.ndarray:
    """The distances of the best matchings, from differences in float64."""
    found = []
    for i, j in PAIRS.tolist():
        d2 = (x[i].double()[:, None] - x[j].double()[None]).square().sum(2).numpy()
        found.append(d2[linear_sum_assignment(d2)].sum())
    return np.array(found)


@pytest.mark.parametrize(
    ("apart", "offset"),
    [(1e-1, 0.0), (1e-2, 0.0), (1e-2, 3.0), (1e-3, 0.0), (1e-5, 0.0), (1e-5, 3.0), (1e-6, 0.0)],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_least_distance_of_maps_that_are_alike_has_three_digits(
    apart: float, offset: float, kind: torch.dtype, dtype: torch.dtype
) -> None:
    x = near(apart, offset, kind)
    _, found = matched(x, "optimal", dtype=dtype)
    np.testing.assert_allclose(distances(x, found.matched), least_distances(x), rtol=1e-3)


@pytest.mark.parametrize("matcher", MATCHED)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_distance_is_that_of_the_matched_positions(matcher: str, kind: torch.dtype) -> None:
    x = near(1e-5, 3.0, kind)
    x[3] = x[2] + (x[3] - x[3].roll(1, 0))  # so that even the same positions are alike
    _, found = matched(x, matcher)
    expected = [
        (x[i].double() - x[j].double()[p]).square().sum().item()
        for (i, j), p in zip(PAIRS.tolist(), found.permutation, strict=True)
    ]
    np.testing.assert_allclose(distances(x, found.matched), expected, rtol=1e-3)


@pytest.mark.parametrize("matcher", MATCHED)
def test_what_is_matched_again_is_certified_again(matcher: str) -> None:
    x = near(1e-5, 0.0, torch.float64)
    block, found = matched(x, matcher, certify=True)
    assert (found.upper_bound >= found.matched).all()
    if MATCHERS[matcher].value == "exact":
        assert found.solved_again == len(PAIRS)
        loose = bounds_of_pairs(block.maps, block.maps, PAIRS, found.permutation)
        assert (found.upper_bound <= loose).all()


@pytest.mark.parametrize("matcher", MATCHED)
def test_pairs_that_are_alike_are_matched_together_as_they_would_be_alone(matcher: str) -> None:
    # One at a time, every sample was read for every pair: thousands of equal frames took hours.
    x, read = near(1e-5, 3.0, torch.float64), []
    x[1:4] = x[0] + 1e-5 * x[1:4]

    def source(samples: range) -> torch.Tensor:
        read.extend(samples)
        return x[samples.start : samples.stop]

    how = Work(MATCHERS[matcher], settings=SMALL, grid=(3, 4), certify=True)
    block = ready(source, range(len(x)), how)
    read.clear()
    together = match_pairs(block, block, PAIRS, how)
    assert together.solved_again
    assert len(read) <= 15 < 2 * len(PAIRS)
    alone = [match_pairs(block, block, pair[None], how) for pair in PAIRS]
    assert torch.equal(together.permutation, torch.cat([a.permutation for a in alone]))
    for name in ("matched", "upper_bound"):
        one_by_one = torch.cat([getattr(a, name) for a in alone])
        torch.testing.assert_close(getattr(together, name), one_by_one, rtol=1e-14, atol=0.0)


def test_few_pairs_are_taken_together_where_memory_is_scarce() -> None:
    pairs = torch.cartesian_prod(torch.arange(9), torch.arange(50))
    batches = list(batches_of(pairs, torch.arange(0, 450, 2), 1000, 10, 20_000))
    assert torch.cat(batches).sort().values.tolist() == list(range(0, 450, 2))
    columns = [set(pairs[batch][:, 1].tolist()) for batch in batches]
    assert sum(map(len, columns)) <= 50 + len(batches)
    for batch in batches:
        samples = sum(len(side.unique()) for side in pairs[batch].unbind(1))
        assert 1000 * samples + 10 * len(batch) <= 20_000
    assert [len(b) for b in batches_of(pairs, torch.arange(3), 1000, 10, 0)] == [1, 1, 1]


def test_ordinary_maps_are_matched_once(rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.normal(size=(6, 12, 3)).astype(np.float32)) + 1.0
    for matcher in MATCHED:
        assert matched(x, matcher)[1].solved_again == 0


def test_equal_maps_have_no_distance_and_zero_maps_are_not_matched_again() -> None:
    x = near(0.0, 1.0, torch.float32)
    x[:2] = 0.0
    _, found = matched(x, "optimal")
    d2 = distances(x, found.matched)
    assert found.solved_again == 6  # pairs of the four that are not zero
    alone = (PAIRS[:, 0] >= 2).numpy()
    assert (np.abs(d2[alone]) <= 1e-15 * x[2].square().sum().item()).all()


def test_what_all_positions_share_is_no_size(rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.normal(size=(2, 12, 3)) + 1e4)
    centred, plain = (prepare(x, centred=c, dtype=torch.float32) for c in (True, False))
    pair = torch.tensor([[0, 1]])
    m = (x[0] * x[1]).sum()[None]
    assert not alike(centred, centred, pair, m).any()
    assert alike(plain, plain, pair, m).all()


@pytest.mark.parametrize("centred", [False, True])
def test_a_distance_is_summed_from_differences(centred: bool, rng: np.random.Generator) -> None:
    x, y = torch.from_numpy(rng.normal(size=(2, 1, 12, 3)) + 5.0)
    y = x + 1e-9 * y
    p = torch.from_numpy(rng.permutation(12))
    y[0, p] = y[0].clone()
    maps = [prepare(v * 1e-30, centred=centred, dtype=torch.float64) for v in (x, y)]
    expected = ((x[0] - y[0][p]) * 1e-30).square().sum().item()
    assert distance(*maps, (0, 0), p).item() == pytest.approx(expected, rel=1e-5)
