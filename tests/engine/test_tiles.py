"""Tiles, their pieces, and what of them fits into the memory granted."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.tiles import Budget, Tile, plan_budget
from semrsm.errors import SemrsmError

sizes = st.integers(1, 23)


def pairs_of(tile: Tile) -> Counter:
    return Counter(
        (i, j) for i in tile.rows for j in tile.columns if not tile.symmetric_diagonal or i < j
    )


@given(a=sizes, b=sizes, at=st.integers(0, 9), edge=sizes, diagonal=st.booleans())
def test_the_pieces_of_a_tile_hold_each_of_its_pairs_once(
    a: int, b: int, at: int, edge: int, diagonal: bool
) -> None:
    rows = range(at, at + a)
    tile = Tile(rows, rows, True) if diagonal else Tile(rows, range(b), False)
    pieces = list(tile.pieces(edge))
    assert sum((pairs_of(piece) for piece in pieces), Counter()) == pairs_of(tile)
    assert sum(piece.n_pairs for piece in pieces) == tile.n_pairs == pairs_of(tile).total()
    for before, piece in pairwise(pieces):
        new = (piece.rows != before.rows) + (piece.columns != before.columns)
        assert new == 1 or (new == 2 and diagonal)


@given(
    edge=st.sampled_from([1, 2, 8, 64, 1024]),
    n=st.integers(1, 10_000),
    m=st.integers(1, 10_000),
    symmetric=st.booleans(),
    values=st.sampled_from([1, 2]),
    sample_bytes=st.integers(1, 10**8),
    pair_bytes=st.integers(0, 10**8),
    again_bytes=st.integers(0, 10**9),
    threads=st.integers(1, 64),
    memory=st.integers(1, 10**11),
)
def test_a_budget_fits_or_is_refused(
    edge: int, n: int, m: int, symmetric: bool, memory: int, **given_: int
) -> None:
    def plan(memory: int) -> Budget:
        m_ = n if symmetric else m
        return plan_budget(
            edge, n, m_, symmetric=symmetric, memory=memory, reading_bytes=3, **given_
        )

    ample = plan(10**16)
    assert ample.piece == min(edge, max(n, n if symmetric else m))
    try:
        tight = plan(memory)
    except SemrsmError:
        tile = 8 * given_["values"] * min(edge, n) * min(edge, n if symmetric else m)
        pair = max(given_["pair_bytes"], given_["again_bytes"], 1)
        least = given_["threads"] * pair + 2 * given_["sample_bytes"]
        assert memory < least + 2 * tile + 3 + 48
        return
    assert given_["threads"] * given_["again_bytes"] <= tight.bytes_needed <= memory
    assert 1 <= tight.piece <= ample.piece
    assert tight.chunk >= 1
    assert tight.cached_blocks >= 2


@given(threads=st.integers(1, 40))
def test_how_pairs_are_put_into_chunks_does_not_depend_on_the_threads(threads: int) -> None:
    def plan(threads: int) -> Budget:
        return plan_budget(
            64, 999, 999, symmetric=True, values=1, sample_bytes=10**5, reading_bytes=10**5,
            pair_bytes=600_000, threads=threads, memory=1 << 33,
        )  # fmt: skip

    assert (plan(threads).chunk, plan(threads).piece) == (plan(1).chunk, plan(1).piece) == (64, 64)


def test_one_pair_that_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(SemrsmError, match=r"needs 21 MiB and `memory` grants 10 MiB"):
        plan_budget(
            *(8, 9, 9), symmetric=False, values=1, sample_bytes=2**22, reading_bytes=0,
            pair_bytes=3 * 2**20, threads=4, memory=10 * 2**20,
        )  # fmt: skip
