"""The CUDA backend on a faked device: values, waits, races, memory; its plans for real cards as numbers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from semrsm.engine.backends import cuda
from semrsm.engine.devices import Device, find_device
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.pairs import Work, pairs_of
from semrsm.engine.tile_matcher import TileMatcher, TileValues
from semrsm.engine.tiles import Budget, Tile
from semrsm.errors import SemrsmError
from tests.faked_cuda import FakedCuda
from tests.helpers import brute_force

GPU = Device("cuda", 0)
SETTINGS = Settings(solver="triton", topk=2, window=2, group=2)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> FakedCuda:
    from semrsm.engine.assignment import triton_sinkhorn

    # Few sweeps: the interpreter is slow, and what they leave the search makes good.
    monkeypatch.setattr(triton_sinkhorn, "annealing", lambda S: (2, 0.1))
    return FakedCuda().install(monkeypatch)


def maps(seed: int, n: int, S: int = 4, C: int = 9) -> torch.Tensor:
    x = np.random.default_rng(seed).normal(size=(n, S, C)).astype(np.float32)
    return torch.from_numpy(x).relu() + 0.1


def match(
    x: torch.Tensor, matcher: str = "optimal", chunk: int = 4, lanes: int = 2, **given: object
) -> TileValues:
    """Match all pairs of some samples on the device, or another that is given."""
    work = Work(MATCHERS[matcher], **{"settings": SETTINGS, "device": GPU, "grid": (2, 2)} | given)
    budget = Budget(len(x), 2, 2, chunk, 0, lanes)
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    with TileMatcher(source, source, work, budget) as tiles:
        return tiles.match(Tile(range(len(x)), range(len(x)), True))


def on_cpu(x: torch.Tensor, matcher: str = "optimal", **given: object) -> TileValues:
    settings = replace(SETTINGS, solver="scipy")
    return match(x, matcher, lanes=0, device=Device(), settings=settings, **given)


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("certify", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_matcher_waits_once_a_chunk_and_gives_the_values_of_the_cpu(
    matcher: str, certify: bool, faked: FakedCuda
) -> None:
    if certify and MATCHERS[matcher].value == "at least the optimum":
        return
    x = maps(1, 4)
    expected = on_cpu(x, matcher, certify=certify)
    match(x[:1], matcher, certify=certify)  # a block was made ready, programs were compiled
    faked.waits = 0
    faked.hidden_waits.clear()
    found = match(x, matcher, certify=certify)
    scale = np.sqrt(np.outer(*[x.double().square().sum((1, 2)).numpy()] * 2))
    assert np.abs(found.matched - expected.matched).max() <= 1e-6 * scale.max()
    work = Work(MATCHERS[matcher], SETTINGS, GPU)
    whole = Tile(range(4), range(4), True)
    n_chunks = len(cuda.chunks(whole, work, Budget(4, 2, 2, 4, 0, 2)))
    assert faked.waits == n_chunks + 1  # and once for the block
    # In this thread a block is made ready; pairs are matched in others.
    assert {name for _, name in faked.hidden_waits} <= {threading.current_thread().name}
    assert faked.races == []
    if found.upper_bound is not None:
        best = [
            brute_force(x[i].double().numpy(), x[j].double().numpy()) for i, j in pairs_of(whole)
        ]
        assert (found.upper_bound[tuple(pairs_of(whole).T)] >= best).all()
        assert (found.upper_bound >= found.matched).all()


@pytest.mark.parametrize("matcher", MATCHERS)
def test_nothing_loops_over_positions_or_pairs_on_the_host(matcher: str, faked: FakedCuda) -> None:
    """As many operations are put on a stream for 16 positions as for 4, for 3 pairs as for 1."""
    counts = set()
    for n, grid in ((2, (2, 2)), (3, (2, 2)), (2, (4, 4))):
        x, work = maps(9, n, grid[0] * grid[1]), Work(MATCHERS[matcher], SETTINGS, GPU, grid=grid)
        block = cuda.ready(lambda samples, x=x: x[list(samples)], range(n), work)
        pairs = pairs_of(Tile(range(n), range(n), True))
        cuda._on_gpu(block, block, pairs, work)  # memory is pinned, programs are compiled
        lane = cuda._lanes(GPU, "pairs").get_nowait()
        cuda._lanes(GPU, "pairs").put(lane)
        before = lane.stream.done
        cuda._on_gpu(block, block, pairs, work)
        counts.add(lane.stream.done - before)
    assert len(counts) == 1, counts


@pytest.mark.parametrize("shape", [(4, 9), (3, 40), (1, 40)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_certificates_of_optimal_matchings_are_tight_and_true(
    shape: tuple[int, int], offset: float, faked: FakedCuda
) -> None:
    x = maps(2, 3, *shape) + offset
    for dtype in (torch.float32, torch.float64):
        found = match(x, certify=True, dtype=dtype)
        for i, j in pairs_of(Tile(range(3), range(3), True)).tolist():
            best = brute_force(x[i].double().numpy(), x[j].double().numpy())
            size = float(x[i].norm() * x[j].norm())
            assert best <= found.upper_bound[i, j] <= best + 1e-6 * size
            assert abs(found.matched[i, j] - best) <= 1e-6 * size
    assert faked.races == []


@pytest.mark.parametrize("matcher", ["optimal", "greedy"])
def test_fast_products_leave_values_exact_and_bounds_true(matcher: str, faked: FakedCuda) -> None:
    x = maps(3, 4, 4, 33)
    found = match(x, matcher, precision="fast", certify=True)
    expected = on_cpu(x, matcher)
    np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)
    optimum = on_cpu(x, "optimal").matched
    assert (found.upper_bound >= optimum * (1 - 1e-7)).all()


def test_two_chunks_are_in_flight(faked: FakedCuda) -> None:
    """Who waits for a chunk meets who waits for another one: with one in flight nobody would come."""
    x = maps(4, 4)
    match(x[:1])
    meet = threading.Barrier(2, timeout=60)

    def wait() -> None:
        if threading.current_thread() is not threading.main_thread():
            meet.wait()

    faked.on_wait = wait
    match(x, chunk=1)
    assert faked.pinned <= 6  # a lane's memory up and down, and that of samples: used again


def test_what_is_not_proved_is_solved_again_in_one_batch(
    faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semrsm.engine import pairs as module
    from semrsm.engine.assignment import triton_sap

    x = maps(5, 5)
    expected = on_cpu(x, certify=True)
    real, batches, solve = module.solve_again, [], triton_sap.solve

    def spoilt(affinity: torch.Tensor, pairs: torch.Tensor) -> triton_sap.Assigned:
        found = solve(affinity, pairs)
        return replace(found, permutation=found.permutation.flip(1), v=found.v * torch.nan)

    def counted(*args: object, **options: object) -> object:
        batches.append(len(args[2]))
        return real(*args, **options)

    monkeypatch.setattr(triton_sap, "solve", spoilt)
    monkeypatch.setattr(module, "solve_again", counted)
    found = match(x, chunk=64, certify=True, threads=2)
    np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)
    assert (found.upper_bound >= found.matched).all()
    np.testing.assert_allclose(found.upper_bound, expected.upper_bound, rtol=1e-6)
    chunks = cuda.chunks(
        Tile(range(5), range(5), True), Work(MATCHERS["optimal"]), Budget(5, 2, 2, 64, 0)
    )
    assert (sorted(batches), found.effort.solved_again) == (sorted(map(len, chunks)), 10)


def test_cost_scaling_is_used_by_name_and_tells_what_it_hands_over(
    faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semrsm.engine.assignment import triton_scaling

    x = maps(5, 3)
    expected, settings = on_cpu(x), replace(SETTINGS, solver="triton-scaling")
    for limit, handed_over in ((600, 0), (0, 3)):
        monkeypatch.setattr(triton_scaling, "MOST_BIDS", limit)
        found = match(x, certify=True, settings=settings)
        np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)
        np.testing.assert_allclose(found.upper_bound, expected.matched, rtol=1e-6)
        assert (found.effort.handed_over, found.effort.solved_again) == (handed_over, 0)
    assert faked.races == []


def test_a_broken_program_is_noticed(faked: FakedCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    from semrsm.engine.assignment import triton_sap

    solve = triton_sap.solve
    monkeypatch.setattr(
        triton_sap,
        "solve",
        lambda *given: replace(solve(*given), scans=torch.full((len(given[1]),), -1)),
    )
    x = maps(5, 3)
    found = match(x)
    assert found.effort.solved_again == 3
    np.testing.assert_allclose(found.matched, on_cpu(x).matched, rtol=1e-6)


def test_alike_maps_are_matched_again_from_the_file(faked: FakedCuda) -> None:
    x = maps(6, 4)
    x[2], x[3] = x[0] * (1 + 1e-4), x[0].flip(0)
    found, expected = match(x, chunk=2), on_cpu(x)
    assert found.effort.solved_again == expected.effort.solved_again == 3
    alike = np.ix_([0, 2, 3], [0, 2, 3])
    np.testing.assert_allclose(found.matched[alike], expected.matched[alike], rtol=1e-14)
    np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)


def out_of_memory(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    real = getattr(cuda, name)

    def limited(*given: object) -> object:
        if len(given[2 if name == "_on_gpu" else 1]) > most:
            raise torch.OutOfMemoryError("out of memory")
        return real(*given)

    monkeypatch.setattr(cuda, name, limited)


def match_with_notes(
    x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> tuple[TileValues, list[str]]:
    notes: list[str] = []
    work, budget = Work(MATCHERS["optimal"], SETTINGS, GPU), Budget(len(x), 9, 2, 64, 0, 2)
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    with TileMatcher(source, source, work, budget, on_note=notes.append) as tiles:
        tile = Tile(range(len(x)), range(len(x)), True)
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(tiles.match, (tile, tile))
    np.testing.assert_array_equal(one.matched, other.matched)
    return one, notes


def test_out_of_memory_while_matching_goes_on_in_halves(
    faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = maps(7, 5)
    expected = match(x).matched
    out_of_memory(monkeypatch, "_on_gpu", 2)
    found, notes = match_with_notes(x, monkeypatch)
    np.testing.assert_allclose(found.matched, expected, rtol=1e-6)
    assert any("pairs do not fit into the memory of cuda:0" in note for note in notes)


@pytest.mark.parametrize("most", [1, 2])
def test_out_of_memory_while_samples_are_made_ready_goes_on_in_halves(
    most: int, faked: FakedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = maps(8, 5)
    expected = match(x).matched
    limited_ready(monkeypatch, most)
    found, notes = match_with_notes(x, monkeypatch)
    np.testing.assert_allclose(found.matched, expected, rtol=1e-6)
    assert "5 samples do not fit into the memory of cuda:0; going on with half as many" in notes
    limited_ready(monkeypatch, 0)
    with pytest.raises(SemrsmError, match="one sample does not fit into the memory of cuda:0"):
        match(x)


def limited_ready(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    real = cuda.prepare

    def limited(vectors: torch.Tensor, **given: object) -> object:
        if len(vectors) > most:
            raise torch.OutOfMemoryError("out of memory")
        return real(vectors, **given)

    monkeypatch.setattr(cuda, "prepare", limited)


def test_a_race_would_be_seen(faked: FakedCuda) -> None:
    one, other = torch.cuda.Stream(None), torch.cuda.Stream(None)
    with torch.cuda.stream(one):
        x = torch.ones(3) * 2
    with torch.cuda.stream(other):
        x.sum()
    assert faked.races == ["sum of (3,)"]
    one.synchronize()
    with torch.cuda.stream(other):
        x.sum()
        x.nonzero()
    assert (len(faked.races), [name for name, _ in faked.hidden_waits]) == (1, ["nonzero"])


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("chunk", [1, 5, 16, 64, 1000])
def test_chunks_are_rectangles_that_hold_every_pair_once(diagonal: bool, chunk: int) -> None:
    piece = Tile(range(13), range(13) if diagonal else range(20, 31), diagonal)
    found = cuda.chunks(piece, Work(MATCHERS["optimal"]), Budget(13, 2, 2, chunk, 0))
    together = torch.cat(found)
    assert sorted(together.tolist()) == sorted(pairs_of(piece).tolist())
    for pairs in found:
        height, width = ((pairs.amax(0) - pairs.amin(0)) + 1).tolist()
        assert height * width <= chunk
        if not diagonal:
            assert height * width == len(pairs)


def test_devices(faked: FakedCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("auto") == find_device("cuda") == GPU
    assert cuda.place(1) == torch.device("cuda", 1)
    assert (str(GPU), GPU.describe()) == ("cuda:0", "Faked GPU")
    with pytest.raises(SemrsmError, match="`device='cuda:1'`, but torch sees 1 CUDA device here"):
        find_device("cuda:1")
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SemrsmError, match="no CUDA device"):
        find_device("cuda")
