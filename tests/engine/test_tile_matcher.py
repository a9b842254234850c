"""The tile matcher: the same numbers however tiles are cut and threads are many; blocks kept and let go."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from semrsm.engine.blocks import Block, BlockCache
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.pairs import Work
from semrsm.engine.tile_matcher import TileMatcher
from semrsm.engine.tiles import Budget, Tile
from semrsm.errors import SemrsmError

GRIDS = {"shift": (3, 4)}


def maps(seed: int, n: int) -> torch.Tensor:
    x = np.random.default_rng(seed).normal(size=(n, 12, 5)).astype(np.float32)
    return torch.from_numpy(x).relu() + 0.1


def matched(x: torch.Tensor, matcher: str, wanted: list[Tile], **budget: int) -> list[np.ndarray]:
    """Match tiles, two at once."""
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    threads = budget.pop("threads", 1)
    work = Work(MATCHERS[matcher], threads=threads, grid=GRIDS.get(matcher), certify=True)
    if work.matcher.value == "at least the optimum":
        work = Work(MATCHERS[matcher], threads=threads)
    whole = Budget(
        **{"piece": len(x), "cached_blocks": 2, "tiles": 2, "chunk": 4, "bytes_needed": 0, **budget}
    )
    with TileMatcher(source, source, work, whole) as one, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one.match, wanted))
    return [f.matched for f in found] + [f.upper_bound for f in found if f.upper_bound is not None]


@pytest.mark.parametrize("matcher", MATCHERS)
def test_the_numbers_do_not_depend_on_the_threads(matcher: str) -> None:
    x, tiles = maps(1, 9), [Tile(range(9), range(9), True), Tile(range(3), range(4, 9), False)]
    one, three = (matched(x, matcher, tiles, threads=threads) for threads in (1, 3))
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("piece", [1, 2, 4, 5])
def test_a_tile_in_pieces_has_the_same_numbers_to_rounding(matcher: str, piece: int) -> None:
    x, tiles = (
        maps(2, 9),
        [Tile(range(2, 9), range(2, 9), True), Tile(range(2), range(3, 9), False)],
    )
    whole = matched(x, matcher, tiles)
    cut = matched(x, matcher, tiles, piece=piece, tiles=1)
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_diagonal_tile_is_mirrored_and_holds_the_norms() -> None:
    x = maps(3, 5)
    [found, _] = matched(x, "optimal", [Tile(range(1, 5), range(1, 5), True)], piece=2)
    np.testing.assert_array_equal(found, found.T)
    norms = x[1:].double().flatten(1).square().sum(1).numpy()
    np.testing.assert_allclose(found.diagonal(), norms, rtol=1e-14)


def test_an_error_of_one_pair_ends_the_tile() -> None:
    x = maps(4, 4).double() * 1e200
    with pytest.raises(SemrsmError, match="overflow float64"):
        matched(x, "identity", [Tile(range(4), range(4), True)])


def test_what_a_source_raises_comes_out_of_every_tile_that_needs_it() -> None:
    def source(samples: range) -> torch.Tensor:
        raise SemrsmError("sample 3 is gone")

    work, budget = Work(MATCHERS["pool"]), Budget(2, 2, 2, 4, 0)
    with TileMatcher(source, source, work, budget) as tiles:
        for _ in range(2):
            with pytest.raises(SemrsmError, match="sample 3 is gone"):
                tiles.match(Tile(range(2), range(2), True))


class Made:
    """Blocks that can be counted."""

    def __init__(self) -> None:
        self.made: list[tuple[str, range]] = []
        self.alive: list[weakref.ref] = []

    def __call__(self, side: str, samples: range) -> Block:
        self.made.append((side, samples))
        block = Block(samples, None, None, None)  # type: ignore[arg-type]
        self.alive.append(weakref.ref(block))
        return block

    @property
    def kept(self) -> int:
        return sum(block() is not None for block in self.alive)


def test_the_blocks_used_last_are_kept_and_those_in_use_always() -> None:
    make = Made()
    cache = BlockCache(make, capacity=2)
    with cache.borrowed("rows", range(1)) as first:
        for k in (1, 2, 1, 2, 3):
            with cache.borrowed("rows", range(k, k + 1)) as block:
                assert block.samples == range(k, k + 1)
            del block
        assert first.samples == range(1)
        assert make.kept == 2
    del first
    # 1 and 2 in turn: with the first in use there is room for one more only.
    assert len(make.made) == 6
    with cache.borrowed("rows", range(3, 4)):
        assert len(make.made) == 6
    with cache.borrowed("columns", range(3, 4)):
        assert make.made[-1] == ("columns", range(3, 4))
    assert make.kept == 2


def test_a_block_that_two_threads_want_is_read_once() -> None:
    begun, go_on, make = threading.Event(), threading.Event(), Made()

    def slow(side: str, samples: range) -> Block:
        begun.set()
        assert go_on.wait(30)
        return make(side, samples)

    cache = BlockCache(slow, capacity=2)

    def use() -> range:
        with cache.borrowed("rows", range(4)) as block:
            return block.samples

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(use), pool.submit(use)]
        assert begun.wait(30)
        go_on.set()
        assert [future.result(30) for future in both] == [range(4)] * 2
    assert len(make.made) == 1


def test_a_tile_in_work_ends_with_its_matcher(monkeypatch: pytest.MonkeyPatch) -> None:
    from semrsm.engine import tile_matcher as module

    begun, go_on = threading.Event(), threading.Event()
    real = module.match_or_halve

    def slow(*given: object) -> object:
        begun.set()
        assert go_on.wait(30)
        return real(*given)

    monkeypatch.setattr(module, "match_or_halve", slow)
    x = maps(5, 9)
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    with ThreadPoolExecutor(1) as pool:
        with TileMatcher(source, source, Work(MATCHERS["optimal"]), Budget(9, 2, 2, 4, 0)) as one:
            tile = pool.submit(one.match, Tile(range(9), range(9), True))
            assert begun.wait(30)
        go_on.set()
        with pytest.raises(SemrsmError, match="has ended"):
            tile.result(30)


def test_a_tile_that_comes_after_the_end_is_refused() -> None:
    x = maps(5, 9)
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    with TileMatcher(source, source, Work(MATCHERS["optimal"]), Budget(9, 2, 2, 4, 0)) as one:
        pass
    with pytest.raises(SemrsmError, match="has ended"):
        one.match(Tile(range(9), range(9), True))
