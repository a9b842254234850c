"""What is in work at once on real cards, as numbers: an H200, an A100 of 40 GB, a card of 8 GB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compute.grid import edge_for
from semrsm.engine.backends import cuda
from semrsm.engine.backends.cuda_plan import WAVES, Card, Needs, plan_for
from semrsm.engine.devices import Device
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.pairs import Work
from semrsm.engine.tiles import Budget, LayerSize
from semrsm.errors import SemrsmError

GIB = 1 << 30
CARDS = {
    "H200": Card("cuda:0", 132, 140 * GIB, 139 * GIB),
    "A100": Card("cuda:0", 108, 39 * GIB + GIB // 2, 39 * GIB),
    "8 GB": Card("cuda:0", 46, 8 * GIB, 7 * GIB + GIB // 2),
}
CHANNELS = {49: 512, 196: 256, 784: 128, 3136: 64}  # of a ResNet18
# Samples of a block, tiles in work, pairs of a chunk, chunks in flight.
PLANS = {
    ("H200", 49): (512, 2, 16384, 2),
    ("H200", 196): (128, 3, 16384, 2),
    ("H200", 784): (64, 3, 4096, 2),
    ("H200", 3136): (16, 4, 256, 3),
    ("A100", 49): (512, 2, 8192, 2),
    ("A100", 196): (128, 2, 8192, 2),
    ("A100", 784): (64, 2, 2048, 2),
    ("A100", 3136): (16, 3, 256, 2),
    ("8 GB", 49): (512, 2, 4096, 2),
    ("8 GB", 196): (128, 2, 4096, 2),
    ("8 GB", 784): (64, 2, 1024, 2),
    ("8 GB", 3136): (16, 2, 64, 2),
}


def plan(card: Card, S: int, matcher: str, monkeypatch: pytest.MonkeyPatch) -> Budget:
    monkeypatch.setattr(cuda, "card_of", lambda device: card)
    work = Work(MATCHERS[matcher], Settings(solver="triton"), Device("cuda"), threads=8)
    edge = edge_for(10_000, S, MATCHERS[matcher])
    layer = LayerSize(edge, 10_000, 10_000, True, S, CHANNELS[S], 2 * S * CHANNELS[S] * 4)
    return cuda.plan(work, layer, 32 * GIB)


@pytest.mark.parametrize(("card", "S"), PLANS)
def test_plans_of_cards(card: str, S: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(CARDS[card], S, "optimal", monkeypatch)
    assert (found.piece, found.tiles, found.chunk, found.lanes) == PLANS[card, S]
    assert found.device_bytes <= CARDS[card].room < CARDS[card].free
    if (card, S) != ("8 GB", 3136):  # where memory is short there are as many as it holds
        assert found.chunk * found.lanes >= WAVES * CARDS[card].multiprocessors


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("S", CHANNELS)
def test_every_matcher_fits_every_card(
    card: str, matcher: str, S: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan(CARDS[card], S, matcher, monkeypatch)
    assert found.device_bytes <= CARDS[card].room
    assert found.lanes >= 2


@given(
    layer=st.builds(
        LayerSize,
        edge=st.sampled_from([1, 16, 1024]),
        n_rows=st.integers(1, 10_000),
        n_columns=st.integers(1, 10_000),
        symmetric=st.booleans(),
        n_positions=st.just(1),
        n_channels=st.just(1),
        reading_bytes=st.integers(0, 10**7),
    ),
    needs=st.builds(
        Needs,
        values=st.sampled_from([1, 2]),
        sample_bytes=st.integers(1, 10**7),
        preparing_bytes=st.integers(0, 10**7),
        shared_bytes=st.integers(0, 10**9),
        pair_bytes=st.integers(1, 10**8),
        warps=st.sampled_from([1, 4, 16]),
        again_bytes=st.integers(0, 10**8),
    ),
    free=st.integers(0, 10**11),
    memory=st.integers(0, 10**11),
)
def test_a_plan_fits_or_is_refused(layer: LayerSize, needs: Needs, free: int, memory: int) -> None:
    card = Card("cuda:0", 100, free + GIB, free)
    try:
        found = plan_for(card, layer, needs, 4, memory)
    except SemrsmError:
        return
    assert found.device_bytes <= card.room
    assert found.bytes_needed <= memory
    assert min(found.piece, found.chunk, found.lanes, found.tiles) >= 1
    assert found.cached_blocks >= 2


def test_what_does_not_fit_is_refused_with_the_card() -> None:
    layer, card = LayerSize(8, 9, 9, True, 1, 1, 0), Card("cuda:3", 10, 1 << 20, 1 << 20)
    with pytest.raises(SemrsmError, match="one pair does not fit into the memory of cuda:3, 0 MiB"):
        plan_for(card, layer, Needs(1, 1, 0, 0, 1 << 21, 1, 0), 1, GIB)
    with pytest.raises(SemrsmError, match=r"needs .* and `memory` grants"):
        plan_for(card, layer, Needs(1, 1, 0, 0, 1, 1, 1 << 31), 1, GIB)
