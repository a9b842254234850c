"""Tiles cover every pair once and fit in the memory granted."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.tiles import Plan, plan_tiles
from semrsm.errors import SemrsmError

sizes = st.integers(1, 23)


def covered(plan: Plan) -> Counter:
    """Return how often each pair is solved."""
    return Counter(
        (i, j)
        for tile in plan.tiles()
        for i in tile.rows
        for j in tile.columns
        if not tile.symmetric_diagonal or i < j
    )


@given(n=sizes, block=sizes)
def test_the_tiles_of_a_symmetric_plan_hold_each_pair_once(n: int, block: int) -> None:
    plan = Plan(n, n, True, block, 1, 0)
    tiles = list(plan.tiles())
    assert covered(plan) == Counter({(i, j): 1 for j in range(n) for i in range(j)})
    assert plan.n_tiles == len(tiles)
    assert plan.n_pairs == sum(tile.n_pairs for tile in tiles) == n * (n - 1) // 2


@given(n=sizes, m=sizes, block=sizes, symmetric=st.booleans())
def test_each_tile_needs_one_new_block_at_most(n: int, m: int, block: int, symmetric: bool) -> None:
    tiles = list(Plan(n, n if symmetric else m, symmetric, block, 1, 0).tiles())
    for before, tile in pairwise(tiles):
        new = (tile.rows != before.rows) + (tile.columns != before.columns)
        assert new == 1 or (new == 2 and tile.symmetric_diagonal)


@given(n=sizes, m=sizes, block=sizes)
def test_the_tiles_of_a_rectangular_plan_hold_each_pair_once(n: int, m: int, block: int) -> None:
    plan = Plan(n, m, False, block, 1, 0)
    tiles = list(plan.tiles())
    assert covered(plan) == Counter({(i, j): 1 for i in range(n) for j in range(m)})
    assert plan.n_tiles == len(tiles)
    assert plan.n_pairs == sum(tile.n_pairs for tile in tiles) == n * m
    assert not any(tile.symmetric_diagonal for tile in tiles)


@given(
    n=st.integers(1, 10_000),
    m=st.integers(1, 10_000),
    symmetric=st.booleans(),
    sample_bytes=st.integers(1, 10**8),
    pair_bytes=st.integers(0, 10**8),
    threads=st.integers(1, 64),
    memory=st.integers(1, 10**11),
)
def test_a_plan_fits_or_is_refused(
    n: int, m: int, symmetric: bool, memory: int, **bytes_: int
) -> None:
    def plan(memory: int) -> Plan:
        return plan_tiles(
            n, n if symmetric else m, symmetric=symmetric, memory=memory, reading_bytes=3, **bytes_
        )

    try:
        tight = plan(memory)
    except SemrsmError:
        least = (
            bytes_["threads"] * max(bytes_["pair_bytes"], 1) + 3 * bytes_["sample_bytes"] + 3 + 48
        )
        assert memory < least
        return
    assert tight.bytes_needed <= memory
    assert tight.block >= 1
    assert tight.chunk >= 1


def test_one_pair_that_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(SemrsmError, match=r"needs 24\.0 MiB and --memory grants 10\.0 MiB"):
        plan_tiles(
            *(9, 9), symmetric=False, sample_bytes=2**22, reading_bytes=0, pair_bytes=3 * 2**20, threads=4,
            memory=10 * 2**20,
        )  # fmt: skip
