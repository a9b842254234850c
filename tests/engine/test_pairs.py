"""Pairs: certificates, precision, halves of what does not fit."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm.engine.blocks import ready
from semrsm.engine.devices import product_precision
from semrsm.engine.matchers import MATCHERS, Settings
from semrsm.engine.pairs import Work, match_pairs
from semrsm.engine.tile_matcher import TileMatcher, TileValues
from semrsm.engine.tiles import Budget, Tile
from semrsm.errors import SemrsmError
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import brute_force, fail, succeed, write_h5

BOUNDED = [
    m.name for m in MATCHERS.values() if m.value != "at least the optimum" and not m.needs_plane
]


def vectors(seed: int, n: int, s: int, c: int, scale: float = 1.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(size=(n, s, c)) * scale).astype(np.float32))


def whole(n: int) -> Tile:
    return Tile(range(n), range(n), symmetric_diagonal=True)


def tile_of(
    x: torch.Tensor, matcher: str, budget: Budget | None = None, **work: object
) -> TileValues:
    """Match all pairs of some samples, three pairs in a chunk."""
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    budget = budget or Budget(piece=len(x), cached_blocks=2, tiles=1, chunk=3, bytes_needed=0)
    with TileMatcher(source, source, Work(MATCHERS[matcher], **work), budget) as tiles:
        return tiles.match(whole(len(x)))


@given(
    matcher=st.sampled_from(BOUNDED),
    seed=st.integers(0, 10_000),
    s=st.integers(1, 5),
    c=st.integers(1, 3),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    ties=st.booleans(),
)
def test_no_matching_exceeds_the_certificate(
    matcher: str, seed: int, s: int, c: int, scale: float, ties: bool
) -> None:
    x = vectors(seed, 3, s, c)
    x = (x.round() if ties else x) * scale
    found = tile_of(x, matcher, certify=True)
    for i in range(3):
        for j in range(i):
            best = brute_force(x[j].double().numpy(), x[i].double().numpy())
            assert found.upper_bound[j, i] >= best
            assert found.upper_bound[i, j] == found.upper_bound[j, i]
    norms = x.double().square().sum((1, 2)).numpy()
    np.testing.assert_allclose(found.upper_bound.diagonal(), norms, rtol=1e-14)
    if MATCHERS[matcher].permutation:
        np.testing.assert_array_equal(found.upper_bound.diagonal(), found.matched.diagonal())


def exact_best(x: torch.Tensor, y: torch.Tensor) -> Fraction:
    """The largest sum over all permutations, in rational arithmetic."""
    products = [
        [
            sum((Fraction(a) * Fraction(b) for a, b in zip(s, t, strict=True)), Fraction(0))
            for t in y.tolist()
        ]
        for s in x.tolist()
    ]
    return max(
        sum((row[t] for row, t in zip(products, p, strict=True)), Fraction(0))
        for p in itertools.permutations(range(len(x)))
    )


@pytest.mark.parametrize("matcher", BOUNDED)
@pytest.mark.parametrize("s", [1, 4])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_no_exact_optimum_and_no_matched_value_exceeds_the_certificate(
    matcher: str, s: int, offset: float, kind: torch.dtype
) -> None:
    rng = np.random.default_rng(7)
    x = torch.from_numpy(rng.normal(size=(8, s, 2))).to(kind)
    x[:4, :, 0] += offset  # so that every mean of the one half is nearly orthogonal to the other's
    x[4:, :, 1] += offset
    x[0, :, 1], x[4, :, 0] = 0.0, 0.0
    found = tile_of(x, matcher, certify=True)
    for i in range(8):
        for j in range(i + 1, 8):
            assert Fraction(found.upper_bound[i, j]) >= exact_best(x[i], x[j])
            assert found.upper_bound[i, j] >= found.matched[i, j]


@pytest.mark.parametrize("s", [1, 2, 17, 49, 63])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_certificate_of_an_optimal_matching_is_tight(s: int, dtype: torch.dtype) -> None:
    x = vectors(s, 5, s, 8).relu() + 0.1
    found = tile_of(x, "optimal", certify=True, dtype=dtype)
    norm = np.sqrt(found.matched.diagonal())
    gap = (found.upper_bound - found.matched) / norm[:, None] / norm
    assert gap.max() <= (1e-6 if dtype == torch.float32 else 1e-12)


def test_certified_runs_store_and_report_the_gap(tmp_path, rng) -> None:
    source = write_h5(tmp_path / "a.h5", layer=rng.normal(size=(6, 4, 5, 5)).astype(np.float32))
    out = tmp_path / "o.rsm.h5"
    done = succeed("compute", source, "-o", out, "-m", "greedy", "--certify", "--threads", 2)
    assert "layer: no matching raises a cosine by more than: largest" in done.stderr
    with open_rsm(out) as file:
        group = file.file["layers/layer"]
        m, bound = group["matched"][:], group["upper_bound"][:]
        gap = file.layer("layer").parameters["certificate"]
    norm = np.sqrt(np.diag(m))
    relative = ((bound - m) / norm[:, None] / norm)[np.triu_indices(6, 1)]
    assert gap["largest"] == pytest.approx(relative.max(), rel=1e-6)
    assert gap["mean"] == pytest.approx(relative.mean(), rel=1e-6)
    best = semrsm.rsm(
        rng.normal(size=(2, 2, 2, 2)), "optimal", "linear"
    )  # the API takes no certify
    assert best.shape == (2, 2)
    message = fail(
        "compute", source, "-o", tmp_path / "p.h5", "-m", "maxsim", "-k", "linear", "--certify"
    )
    assert "is itself an upper bound" in message


def test_work_goes_on_in_halves_when_the_device_is_out_of_memory(monkeypatch) -> None:
    x = vectors(1, 6, 9, 4)
    expected = tile_of(x, "optimal")
    from semrsm.engine import pairs as module

    real = module.match_pairs

    def at_most_one(rows, columns, some, work):
        if len(some) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(rows, columns, some, work)

    monkeypatch.setattr(module, "match_pairs", at_most_one)
    budget, notes = Budget(piece=6, cached_blocks=2, tiles=1, chunk=4, bytes_needed=0), []
    source = lambda samples: x[samples.start : samples.stop]  # noqa: E731
    work = Work(MATCHERS["optimal"])
    with TileMatcher(source, source, work, budget, on_note=notes.append) as tiles:
        found = tiles.match(whole(6))
    np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)
    assert any("4 pairs do not fit" in note for note in notes)

    def never(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(module, "match_pairs", never)
    with pytest.raises(SemrsmError, match="one pair does not fit into the memory of cpu; `pool`"):
        tile_of(x, "optimal")


def test_fast_products_leave_the_value_of_the_matching_exact() -> None:
    x = vectors(2, 4, 30, 8).relu()
    work = Work(MATCHERS["optimal"], Settings(), precision="fast", certify=True)
    block = ready(lambda samples: x[samples.start : samples.stop], range(4), work)
    pairs = torch.tensor([[0, 1], [2, 3]])
    before = torch.get_float32_matmul_precision()
    with product_precision(work.precision, work.device):
        found = match_pairs(block, block, pairs, work)
    assert torch.get_float32_matmul_precision() == before
    for (i, j), p, m, bound in zip(
        pairs.tolist(), found.permutation, found.matched, found.upper_bound, strict=True
    ):
        value = (x[i].double() * x[j].double()[p]).sum()
        assert m == pytest.approx(value.item(), rel=1e-6)
        assert bound >= m


def test_the_triton_solver_gives_the_same_values_and_solves_again_what_it_cannot_prove(
    monkeypatch,
) -> None:
    pytest.importorskip("triton")
    from semrsm.engine import certificate
    from semrsm.engine.assignment import triton_sap

    x = vectors(3, 4, 17, 6).relu()
    expected = tile_of(x, "optimal")
    found = tile_of(x, "optimal", settings=Settings(solver="triton"))
    np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-6)

    monkeypatch.setattr(certificate, "unproven", lambda gap: torch.ones_like(gap, dtype=torch.bool))
    worst = triton_sap.Assigned
    real = triton_sap.solve

    def spoilt(affinity, pairs):
        assigned = real(affinity, pairs)
        return worst(assigned.permutation.flip(1), assigned.u, assigned.v, assigned.scans)

    monkeypatch.setattr(triton_sap, "solve", spoilt)
    assert found.effort.solved_again == 0
    mended = tile_of(x, "optimal", settings=Settings(solver="triton"))
    assert mended.effort.solved_again == 6
    np.testing.assert_allclose(mended.matched, expected.matched, rtol=1e-6)


def test_float64_maps_keep_their_digits_with_the_triton_solver() -> None:
    pytest.importorskip("triton")
    x = torch.from_numpy(np.random.default_rng(5).normal(size=(4, 17, 8)))
    expected = tile_of(x, "optimal", dtype=torch.float64)
    for matcher, settings in (
        ("optimal", Settings(solver="triton")),
        ("coarse", Settings(solver="triton", group=17)),
        ("topk-greedy", Settings(solver="triton", topk=17)),
    ):
        found = tile_of(x, matcher, settings=settings, dtype=torch.float64)
        np.testing.assert_allclose(found.matched, expected.matched, rtol=1e-13)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_matcher_identity_sums_once_and_exactly(precision: str, monkeypatch) -> None:
    from semrsm.engine.backends import cpu as module

    x = vectors(3, 5, 9, 4)
    monkeypatch.setattr(module, "sums_of_matched", None)
    found = tile_of(x, "identity", precision=precision)
    flat = x.flatten(1).double()
    np.testing.assert_allclose(found.matched, (flat @ flat.T).numpy(), rtol=1e-12)


def test_a_run_leaves_the_threads_of_torch_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tile_of(vectors(4, 5, 9, 4), "optimal", threads=2)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)
