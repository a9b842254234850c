"""RSMs from files, by blocks: nothing is read before it is asked for, and no more than that."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm import kernel_rows, rsms
from semrsm.errors import SemrsmError
from semrsm.rsms import open_rsms
from semrsm.storage.rsm_file import RsmFile
from tests.helpers import write_rsm


def products(n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, 5))
    return x @ x.T


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers whose matched inner products are read, one entry an opening."""
    seen: list[str] = []
    matched = RsmFile.matched

    def noted(file: RsmFile, layer: str):
        seen.append(layer)
        return matched(file, layer)

    monkeypatch.setattr(RsmFile, "matched", noted)
    return seen


def test_opening_reads_no_matrix_and_the_sigma_is_found_once(
    tmp_path: Path, reads: list[str]
) -> None:
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": products(30), "b": products(30, 1)}, kernels=())
    first = open_rsms(path, kernel="rbf")
    assert reads == []
    whole = first[0].values()
    passes = reads.count("a")
    assert passes > 1
    reads.clear()
    again = open_rsms(path, kernel="rbf", layers=("a",))[0]
    rows = [again.rows(slice(i, i + 7)) for i in range(0, 30, 7)]
    assert reads == ["a"] * len(rows)
    np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_a_file_that_is_written_anew_has_a_sigma_of_its_own(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": products(9)}, kernels=())
    one = semrsm.read_rsm(path, kernel="rbf")[1]["sigma"]
    write_rsm(path, {"a": 4 * products(9)}, kernels=())
    assert semrsm.read_rsm(path, kernel="rbf")[1]["sigma"] == pytest.approx(2 * one)


def test_what_the_norms_forbid_is_said_when_it_is_opened(tmp_path: Path, reads: list[str]) -> None:
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": np.diag([1.0, 0.0])}, kernels=())
    with pytest.raises(SemrsmError, match=r"a\.rsm\.h5::a: sample 1 is zero everywhere"):
        open_rsms(path, kernel="cosine")
    assert reads == []


def test_a_median_of_0_names_file_and_layer(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": np.ones((4, 4))}, kernels=())
    [rsm] = open_rsms(path, kernel="rbf")
    with pytest.raises(SemrsmError, match=r"^[^ ]*a\.rsm\.h5::a: the median distance is 0"):
        rsm.rows(slice(0, 1))


@pytest.mark.parametrize("memory", [1, 10**5, 10**6, 10**9])
@pytest.mark.parametrize("kernel", ["cosine", "rbf", None])
def test_blocks_of_any_size_are_the_rows(
    tmp_path: Path, kernel: str | None, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsms, "CHUNK", 16)
    monkeypatch.setattr(kernel_rows, "PART", 200)
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": products(51)}, kernels=("linear",))
    [rsm] = open_rsms(path, kernel=kernel)
    parts = list(rsm.blocks(memory, 40))
    starts = np.cumsum([0, *(len(block) for _, block in parts)])
    assert [first for first, _ in parts] == starts[:-1].tolist()
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), rsm.values())
    bound = max(memory, rsm.row_need(40)) / 4
    assert all(40 * block.size <= bound for _, block in parts)


def test_reading_takes_one_matrix_and_little_more(tmp_path: Path) -> None:
    n = 1500
    path = write_rsm(tmp_path / "a.rsm.h5", {"a": products(n)}, kernels=())
    for kernel in ("cosine", "rbf"):
        tracemalloc.start()
        semrsm.read_rsm(path, kernel=kernel)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * n * n + 30e6


def test_a_matrix_of_other_than_the_samples_its_file_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, samples=np.arange(6), square=np.eye(6), cut=np.ones((6, 5)))
    assert open_rsms(f"{path}::square")[0].symmetric
    with pytest.raises(SemrsmError, match=r"m\.npz::cut is 6 x 5, but the file names 6 samples"):
        open_rsms(path)


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        ("a,b,c\n1,.2,3\n.2,5,6\n", None),  # the last line is missing
        (",a,b,c\na,1,2,3\nb,4,5,6\n", None),
        ("a,1,2\nb,3,4\nc,5,6\n", None),
        (",x,y,z\na,1,2,3\nb,4,5,6\n", (2, 3)),  # queries and gallery have names of their own
        ("1,2,3\n4,5,6\n", (2, 3)),
    ],
)
def test_a_table_that_lacks_rows_is_no_queries_and_gallery(
    table: str, shape: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(table)
    if shape is None:
        with pytest.raises(SemrsmError, match=r"m\.csv is \d x \d, but the file names 3 samples"):
            open_rsms(path)
    else:
        assert open_rsms(path)[0].shape == shape
