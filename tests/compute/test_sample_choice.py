"""Which samples a run takes: as Python slices, as listed, at random, and without those left out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm.compute.layers import layer_input
from semrsm.compute.options import options_of
from semrsm.compute.sample_choice import choose_samples, parse_samples
from semrsm.errors import SemrsmError
from semrsm.storage.layer import Layer


def chosen(n: int, ids: list[str] | None = None, **values: object) -> list[int]:
    run = options_of(values)
    return list(choose_samples(run.samples, run.exclude, run.seed, n, lambda n: ids).numbers)


@given(
    n=st.integers(1, 50),
    start=st.none() | st.integers(-60, 60),
    stop=st.none() | st.integers(-60, 60),
    step=st.none() | st.integers(1, 9),
)
def test_samples_mean_what_python_means(
    n: int, start: int | None, stop: int | None, step: int | None
) -> None:
    text = ":".join("" if part is None else str(part) for part in (start, stop, step))
    expected = list(range(n)[start:stop:step])
    if not expected:
        with pytest.raises(SemrsmError, match="leaves none"):
            chosen(n, samples=text)
        return
    assert chosen(n, samples=text) == expected
    note = choose_samples(parse_samples(text), None, 0, n, lambda n: None).note
    if any(part is not None and abs(part) > n for part in (start, stop)):
        assert (
            note == f"`samples='{text}'`: there are {n} samples, {len(expected)} of them are taken"
        )
    else:
        assert note is None


@given(n=st.integers(1, 30), k=st.integers(1, 40), seed=st.integers(0, 5))
def test_random_samples_are_so_many_and_the_seed_decides(n: int, k: int, seed: int) -> None:
    found = chosen(n, samples=f"random:{k}", seed=seed)
    assert found == sorted(set(found)) == chosen(n, samples=f"random:{k}", seed=seed)
    assert len(found) == min(n, k)
    assert set(found) <= set(range(n))


def test_random_samples_differ_by_seed_and_are_all_alike_likely() -> None:
    drawn = [chosen(8, samples="random:3", seed=seed) for seed in range(300)]
    counts = np.bincount(np.ravel(drawn), minlength=8)
    assert counts.min() > 70  # 112.5 expected, standard deviation 8.4
    assert counts.max() < 155


@given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 29)))
def test_what_is_excluded_is_left_out(listed: set[int], out: set[int]) -> None:
    samples, exclude = sorted(listed) or None, sorted(out) or None
    expected = sorted((listed or set(range(20))) - out)
    if expected:
        assert chosen(20, samples=samples, exclude=exclude) == expected
    else:
        with pytest.raises(SemrsmError, match="leaves none of 20"):
            chosen(20, samples=samples, exclude=exclude)


def test_ids_count_before_numbers_and_the_file_decides_the_order(tmp_path: Path) -> None:
    ids = ["2", "b", "0"]
    (tmp_path / "l.txt").write_text("0\n\n2\n")
    assert chosen(3, ids, samples=str(tmp_path / "l.txt")) == [0, 2]
    assert chosen(3, None, samples=str(tmp_path / "l.txt")) == [0, 2]
    assert chosen(3, ids, samples=["b", "2"]) == [0, 1]
    assert chosen(3, ["x", "y", "z"], samples=[1, 0]) == [0, 1]


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "npy", "npz", "h5"])
def test_lists_of_every_kind_of_file(suffix: str, tmp_path: Path) -> None:
    path, ids = tmp_path / f"l.{suffix}", ["b", "a, c"]
    texts = {"txt": "b\na, c\n", "csv": 'sample,x\nb,1\n"a, c",2\n', "tsv": "b\t1\na, c\t2\n"}
    if suffix in texts:
        path.write_text(texts[suffix])
    elif suffix == "h5":
        with h5py.File(path, "w") as file:
            file["other"], file["samples"] = np.zeros((2, 2)), ids
    else:
        np.save(path, np.array(ids)) if suffix == "npy" else np.savez(path, wanted=np.array(ids))
    address = f"{path}::wanted" if suffix == "npz" else str(path)
    assert parse_samples(address).listed == ("b", "a, c")


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (["c"], "no sample has the id 'c'"),
        (["a", "9"], "no sample has the id '9'"),
        (["7"], "names sample 7 and there are 3, 0 to 2"),
        (["a"], "the sample id 'a' stands twice in the file"),
    ],
)
def test_what_is_listed_and_not_there_is_named(listed: list[str], says: str) -> None:
    with pytest.raises(SemrsmError, match=says):
        chosen(3, ["a", "a", "b"], samples=listed)


def test_ids_where_there_are_none() -> None:
    with pytest.raises(SemrsmError, match="'a' is no number, and the file holds no ids"):
        chosen(3, None, samples=["a"])


@pytest.mark.parametrize(
    ("text", "says"), [("", "names no sample"), ("a\nb\na\n", "names the sample 'a' twice")]
)
def test_lists_that_are_none(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(SemrsmError, match=says):
        parse_samples(str(tmp_path / "l.txt"))
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SemrsmError, match="is no text"):
        parse_samples(str(tmp_path / "b.txt"))


@given(st.sets(st.integers(0, 19), min_size=1), st.data())
def test_any_samples_are_read_as_they_lie(numbers: set[int], data: st.DataObject) -> None:
    values = np.arange(40, dtype=np.float64).reshape(20, 2)
    layer = Layer("", values.shape, values.dtype, rows=values.__getitem__)
    found = layer_input(Path("x"), layer, options_of({"samples": sorted(numbers)}))
    start = data.draw(st.integers(0, len(numbers) - 1))
    stop = data.draw(st.integers(start + 1, len(numbers)))
    wanted = values[sorted(numbers)[start:stop]]
    np.testing.assert_array_equal(found.read(range(start, stop)), wanted)


def test_the_rsm_of_some_is_part_of_the_rsm_of_all(rng: np.random.Generator) -> None:
    x = rng.normal(size=(9, 3, 2, 2))
    whole = semrsm.rsm(x, kernel="linear", threads=1)
    some = semrsm.rsm(x, kernel="linear", threads=1, samples=[0, 3, 4, 8], exclude=3)
    kept = [0, 4, 8]
    np.testing.assert_allclose(some, whole[np.ix_(kept, kept)], rtol=1e-6)
