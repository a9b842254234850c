"""Evaluations within the memory granted: streamed where that is possible, refused where it is not."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm import rsms
from semrsm.compute.parsers import parse_memory
from semrsm.engine import selection
from semrsm.errors import SemrsmError
from semrsm.evaluate import evaluations, predictions, views
from semrsm.evaluate.results import Evaluation, write_details
from semrsm.evaluate.run import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.measures.inference import Inference
from semrsm.rsms import Rsm
from tests.helpers import write_rsm

GIB = 1 << 30
Evaluate = Callable[..., Iterable[Evaluation]]


def in_memory(matrix: np.ndarray) -> Rsm:
    return Rsm(Path("m.npy"), None, None, None, matrix.shape, True, None, matrix.__getitem__)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 23),
    block=st.integers(1, 100),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_streamed_views_are_those_of_all_pairs(seed: int, n: int, block: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    K = rng.integers(-3, 4, (n, n)) / 7
    K = (K + K.T).astype(dtype)
    codes = np.r_[0, 0, rng.integers(0, max(1, n // 2), n - 2)]
    same = views.same_view_pairs(codes)
    pairs = K[np.triu_indices(n, 1)].astype(np.float64)
    expected = views.medians(pairs[same], pairs[~same]) | {
        "auroc": views.auroc(pairs[same], pairs[~same])
    }
    sizes = rsms.BLOCK, selection.NEEDS
    rsms.BLOCK, selection.NEEDS = block, 0
    try:
        whole, top1 = evaluations._compare_views(in_memory(K), codes, int(same.sum()), GIB)
        tight = 40 * int(same.sum()) + in_memory(K).row_need(64)
        streamed = evaluations._compare_views(in_memory(K), codes, int(same.sum()), tight)
    finally:
        rsms.BLOCK, selection.NEEDS = sizes
    for found, near in ((whole, top1), streamed):
        assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
        np.testing.assert_array_equal(near, top1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("large"), 3000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("small"), 300)


def folder_of(folder: Path, n: int) -> Path:
    """Write an RSM of n samples, stored and to be finished, and what is known of them."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 8))
    write_rsm(folder / "a.rsm.h5", {"a": x @ x.T}, kernels=("cosine",))
    with h5py.File(folder / "a.h5", "w") as file:
        file["labels"], file["views"] = np.arange(n) % 7, np.arange(n) // 2
        file["logits"] = rng.standard_normal((n, 3))
    return folder


def evaluation(folder: Path, kind: str, **options: object) -> Iterable[Evaluation]:
    rsm, known = [folder / "a.rsm.h5"], str(folder / "a.h5")
    if kind == "retrieval":
        return evaluate_retrieval(rsm, f"{known}::labels", **options)  # type: ignore[arg-type]
    if kind == "views":
        return evaluate_views(rsm, f"{known}::views", **options)  # type: ignore[arg-type]
    return evaluate_predictions(rsm, logits=f"{known}::logits", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "kernel", "memory"),
    [
        ("retrieval", "cosine", 10 << 20),
        ("retrieval", "linear", 10 << 20),
        ("views", "cosine", 135 << 20),
        ("views", "linear", 135 << 20),
        ("views", "cosine", 200 << 20),
        ("predictions", "cosine", 260 << 20),
    ],
)
def test_no_more_is_allocated_than_is_granted(
    large: Path, tmp_path: Path, kind: str, kernel: str, memory: int
) -> None:
    [expected] = evaluation(large, kind, kernels=(kernel,))
    tracemalloc.start()
    try:
        [found] = evaluation(large, kind, kernels=(kernel,), memory=memory)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert found.values == pytest.approx(expected.values, rel=1e-12)


@pytest.mark.parametrize("kind", ["retrieval", "views", "predictions"])
def test_what_does_not_fit_is_refused_with_a_number_that_suffices(small: Path, kind: str) -> None:
    with pytest.raises(
        SemrsmError, match=r"a\.rsm\.h5::a: .* and `memory` grants 50 KiB"
    ) as refused:
        list(evaluation(small, kind, memory=50 << 10))
    needed = parse_memory(re.findall(r"needs (\d+ .iB) and", str(refused.value))[0])
    assert list(evaluation(small, kind, memory=needed))
    with pytest.raises(SemrsmError, match="raise `memory` or take fewer samples"):
        list(evaluation(small, kind, memory=needed * 9 // 10))


@pytest.mark.slow
def test_the_bootstrap_of_predictions_takes_no_more_than_it_says(large: Path) -> None:
    pairs = 3000 * 2999 // 2
    memory = predictions.PAIR_BYTES * pairs + predictions.WORKER_BYTES + (2 << 20)
    few = Inference(
        n_resamples=2, interval="percentile"
    )  # the default leaves out 500 parts besides
    tracemalloc.start()
    try:
        list(evaluation(large, "predictions", inference=few, memory=memory))
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


def test_details_of_pairs_are_read_again_and_not_kept(large: Path, tmp_path: Path) -> None:
    memory = 135 << 20
    rows = iter(next(iter(evaluation(large, "views", memory=memory))).details())
    tracemalloc.start()
    try:
        first = [next(rows) for _ in range(3000)]
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert [row[:2] for row in first[-2:]] == [(0, 2999), (1, 2)]
    assert [row[3] for row in first[:2]] == [1, 0]


def test_details_of_a_few_pairs_are_a_table(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([[1, 0.5, 0.25], [0.5, 1, 0], [0.25, 0, 1]], np.float32))
    (tmp_path / "v.csv").write_text("a\nb\na\n")
    write_details(
        tmp_path / "o.csv", evaluate_views([tmp_path / "r.npy"], tmp_path / "v.csv"), False
    )
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert [line.split(",")[-4:] for line in lines[1:]] == [
        ["0", "1", "0.5", "0"],
        ["0", "2", "0.25", "1"],
        ["1", "2", "0.0", "0"],
    ]
