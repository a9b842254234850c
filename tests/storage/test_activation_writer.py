"""Writing activation files: what is written is what is read, batches are whole, and a dead run can go on."""

from __future__ import annotations

import os
import random
import signal
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.storage import committed_file, recording_file
from semrsm.storage.activation_writer import COMPRESSIONS, ActivationWriter
from semrsm.storage.activations import open_activations
from semrsm.storage.float_types import FLOAT_TYPES, to_stored
from semrsm.storage.labels import read_labels, read_scores, read_views
from semrsm.storage.sample_ids import read_sample_ids

SHAPES = {"deep/z": (3, 5, 7), "a": (4, 6), "vector": (9,)}


def maps_of(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {name: rng.normal(size=(n, *shape)) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_what_is_written_is_read(
    tmp_path: Path, rng: np.random.Generator, dtype: str, compression: str | None
) -> None:
    maps = maps_of(rng, 11)
    maps = {name: maps[name] for name in ("vector", "deep/z", "a")}  # no natural order
    names = [f"image {k} é" for k in range(11)]
    path = tmp_path / "acts.h5"
    with ActivationWriter(path, dtype=dtype, compression=compression) as writer:
        for start in (0, 4, 8, 10):
            part = slice(start, {0: 4, 4: 8, 8: 10, 10: 11}[start])
            writer.add(
                {name: values[part] for name, values in maps.items()},
                samples=names[part],
                labels=np.arange(11)[part] % 3,
                logits=maps["vector"][part],
                views=[f"thing {k // 2}" for k in range(11)][part],
                layout={"a": "ndt"},
            )
        assert writer.layers == ("vector", "deep/z", "a")
    wanted = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    with open_activations(path) as file:
        assert [n for n in file.arrays if n in maps] == ["vector", "deep/z", "a"]
        assert {n: file.arrays[n].layout for n in maps} == {
            "vector": "nd",
            "deep/z": "nchw",
            "a": "ndt",
        }
        for name, values in maps.items():
            rounded = torch.from_numpy(values).to(torch.float32).to(wanted).float().numpy()
            np.testing.assert_array_equal(file.arrays[name].read(range(11)), rounded)
            assert file.arrays[name].note is None
        assert read_sample_ids(file, 11) == names
    assert [set(s) for s in read_labels(path).sets] == [{str(k % 3)} for k in range(11)]
    assert [set(s) for s in read_views(path).sets] == [{f"thing {k // 2}"} for k in range(11)]
    np.testing.assert_allclose(read_scores(f"{path}::logits").values, maps["vector"], rtol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["acts.h5"]


@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.sampled_from(list(FLOAT_TYPES)))
def test_numbers_are_rounded_as_torch_does(values: list[float], name: str) -> None:
    kind = FLOAT_TYPES[name]
    array = np.array(values, np.float32)
    finite = np.abs(array[np.isfinite(array)])
    if finite.size and float(finite.max()) >= kind.beyond:
        with pytest.raises(SemrsmError, match=f"more than {name} holds"):
            to_stored(array, kind)
        return
    stored = to_stored(array, kind)
    wanted = torch.from_numpy(array).to(getattr(torch, name))
    bits = torch.int32 if name == "float32" else torch.int16
    same = stored.view(np.int32 if name == "float32" else np.int16) == wanted.view(bits).numpy()
    assert (same | np.isnan(array)).all()
    assert np.isfinite(wanted.float().numpy())[np.isfinite(array)].all()


@pytest.mark.parametrize(("name", "largest"), [("float16", 65519.996), ("bfloat16", 3.3961e38)])
def test_the_largest_number_that_fits_is_stored(name: str, largest: float) -> None:
    kind = FLOAT_TYPES[name]
    below = np.nextafter(np.float32(kind.beyond), np.float32(0))
    assert below == pytest.approx(largest, rel=1e-4)
    assert torch.from_numpy(np.array([below])).to(getattr(torch, name)).isfinite().all()
    to_stored(np.array([below, -below]), kind)
    with pytest.raises(SemrsmError, match="sample 8: a value of"):
        to_stored(np.array([[1.0, np.nan], [-np.float64(kind.beyond), 0.0]]), kind, 7)


def a_batch(first: int, n: int = 2, **more: object) -> dict[str, object]:
    maps = {"x": np.full((n, 3, 2, 2), 1.0 + first), "y": np.full((n, 4), 0.5)}
    given = {"samples": [f"s{first + k}" for k in range(n)], "labels": ["c"] * n}
    return {"layers": maps, **given, **more}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"layers": {"x": np.ones((2, 3, 2, 2))}}, "'y' is missing in this batch"),
        ({"layers": {"x": np.ones((2, 3, 2, 3)), "y": np.ones((2, 4))}}, "had \\(3, 2, 2\\)"),
        ({"layers": {"x": np.ones((2, 3, 2, 2)), "y": np.ones((3, 4))}}, "'y' has 3 samples"),
        ({"layers": {"x": np.ones((2, 3, 2, 2)), "z": np.ones((2, 4))}}, "was in none before"),
        ({"layers": {"x": np.full((2, 3, 2, 2), 1e5), "y": np.ones((2, 4))}}, "sample 2: a value"),
        ({"layers": {"x": np.ones((2, 3, 2, 2), int), "y": np.ones((2, 4))}}, "not floats"),
        ({"layers": {}}, "holds no layers"),
        ({"samples": None}, "'samples' is missing"),
        ({"samples": ["s2", "s0"]}, "sample 's0' comes twice"),
        ({"samples": ["s2", "s2"]}, "sample 's2' comes twice"),
        ({"labels": [1, 2]}, "texts in some batches and numbers in others"),
        ({"labels": ["c"]}, "1 labels for 2 samples"),
        ({"views": [1, 2]}, "views come in this batch and in none before"),
        ({"logits": [1, 2]}, "logits have type"),
        ({"layers": {"x": np.ones((2,)), "y": np.ones((2, 4))}}, "give \\(n, channels"),
    ],
)
def test_a_wrong_batch_is_refused_and_leaves_nothing(
    tmp_path: Path, wrong: dict[str, object], sentence: str
) -> None:
    with ActivationWriter(tmp_path / "a.h5") as writer:
        writer.add(**a_batch(0))
        with pytest.raises(SemrsmError, match=sentence):
            writer.add(**(a_batch(2) | wrong))
        writer.add(**a_batch(2))
        assert writer.n_samples == 4
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: len(file[name]) for name in file} == dict.fromkeys(
            ("x", "y", "samples", "labels"), 4
        )
        np.testing.assert_array_equal(file["x"][:, 0, 0, 0], [1, 1, 3, 3])


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ({"samples": np.ones((2, 3))}, "cannot be called 'samples'"),
        ({"a": np.ones((2, 3)), "a/b": np.ones((2, 3))}, "'a/b' would lie in 'a'"),
        ({"a/b": np.ones((2, 3)), "a": np.ones((2, 3))}, "'a/b' would lie in 'a'"),
        ({"a/matched": np.ones((2, 3))}, "cannot be stored"),
        ({"": np.ones((2, 3))}, "cannot be stored"),
        ({"a": np.ones((0, 3))}, "the batch is empty"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, layers: dict[str, np.ndarray], sentence: str) -> None:
    writer = ActivationWriter(tmp_path / "a.h5")
    with pytest.raises(SemrsmError, match=sentence):
        writer.add(layers)
    writer.stop()
    assert not list(tmp_path.iterdir())


def write_and_die(path: Path, **options: object) -> None:
    """Write one batch and half of another."""
    with ActivationWriter(path, **options) as writer:
        writer.add(**a_batch(0))
        writer.write("x", np.ones((2, 3, 2, 2), "f2"))
        raise ZeroDivisionError


def write_until_full(path: Path) -> None:
    with ActivationWriter(path) as writer:
        for first in range(0, 40_000, 200):
            writer.add(**a_batch(first, 200))


def test_what_is_there_already_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("mine")
    with pytest.raises(SemrsmError, match="exists"):
        ActivationWriter(path)
    with pytest.raises(ZeroDivisionError):
        write_and_die(path, overwrite=True)
    assert path.read_text() == "mine"
    with ActivationWriter(path, overwrite=True) as writer:  # an unfinished one, too
        writer.add(**a_batch(5))
    with h5py.File(path) as file:
        assert len(file["x"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_an_unfinished_file_says_so_and_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(ZeroDivisionError) as raised:
        write_and_die(path, about={"model": 1})
    assert "2 samples are in" in raised.value.__notes__[0]
    with open_activations(tmp_path / "a.h5.unfinished") as file:
        assert file.arrays["x"].n_samples == 2
        assert "incomplete" in str(file.arrays["x"].note)
    with pytest.raises(SemrsmError, match="go on with it \\(resume=True\\)"):
        ActivationWriter(path)
    with pytest.raises(SemrsmError, match="recorded otherwise: model 1, not 2"):
        ActivationWriter(path, resume=True, about={"model": 2})
    with pytest.raises(SemrsmError, match="holds float16, not float32"):
        ActivationWriter(path, resume=True, about={"model": 1}, dtype="float32")
    with ActivationWriter(path, resume=True, about={"model": 1}) as writer:
        assert writer.n_samples == 2
        with pytest.raises(SemrsmError, match="'s1' comes twice"):
            writer.add(**a_batch(1))
        writer.add(**a_batch(2))
    with h5py.File(path) as file:
        assert list(file["samples"].asstr()) == ["s0", "s1", "s2", "s3"]
        assert bool(file.attrs["complete"])


def test_chunks_begin_at_pages_of_memory_also_when_a_recording_goes_on(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(45, 8, 29, 31)).astype(np.float16)  # 36 samples a chunk
    writer = ActivationWriter(tmp_path / "acts.h5")
    writer.add({"x": x[:7], "wide": x[:7].reshape(7, -1, 31)}, samples=[str(k) for k in range(7)])
    writer.stop()
    with ActivationWriter(tmp_path / "acts.h5", resume=True) as writer:
        writer.add(
            {"x": x[7:], "wide": x[7:].reshape(38, -1, 31)}, samples=[str(k) for k in range(7, 45)]
        )
    with h5py.File(tmp_path / "acts.h5") as file:
        for name in ("x", "wide"):
            stored = file[name].id
            places = [stored.get_chunk_info(k).byte_offset for k in range(stored.get_num_chunks())]
            assert len(places) == 2
            assert [place % recording_file.ALIGNMENT for place in places] == [0, 0]
        np.testing.assert_array_equal(file["x"], x)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_batches_that_are_whole_chunks_and_others_follow_each_other(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    x = rng.normal(size=(29, 3, 5)).astype(dtype)
    monkeypatch.setattr(recording_file, "CHUNK_BYTES", 4 * x[0].nbytes)
    ends = np.cumsum([8, 4, 3, 1, 4, 5, 4])  # whole chunks, then not, whole again, beside the grid
    with ActivationWriter(tmp_path / "a.h5", dtype=dtype) as writer:
        for batch in np.split(x, ends[:-1]):
            writer.add({"x": batch})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"].chunks == (4, 3, 5)
        np.testing.assert_array_equal(file["x"], x)


def test_nothing_recorded_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(SemrsmError, match="nothing was recorded"),
        ActivationWriter(tmp_path / "a.h5"),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.h5").symlink_to(tmp_path / "there" / "a.h5")
    with ActivationWriter(tmp_path / "link.h5") as writer:
        writer.add(**a_batch(0))
    assert (tmp_path / "link.h5").is_symlink()
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["a.h5"]


def test_a_full_disk_leaves_the_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "a.h5", os.pwrite

    def nearly_full(descriptor: int, data: bytes, offset: int) -> int:
        if offset + len(data) > 1_500_000:
            raise OSError(28, "No space left on device")
        return write(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(committed_file.os, "pwrite", nearly_full)
        with pytest.raises(SemrsmError, match="No space left") as raised:
            write_until_full(path)
    assert "samples are in" in raised.value.__notes__[0]
    with ActivationWriter(path, resume=True) as writer:
        n = writer.n_samples
        assert n
        writer.add(**a_batch(n, 200))
    with h5py.File(path) as file:
        assert len(file["x"]) == len(file["labels"]) == n + 200


def write_for_ever(path: Path, told: int) -> None:
    """Write batches, and tell of each before it is written."""
    writer = ActivationWriter(path, resume=True)
    while True:
        os.write(told, b".")
        writer.add(**a_batch(writer.n_samples, 7))


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_writes_it_has_the_whole_batches(tmp_path: Path, seed: int) -> None:
    path, moments = tmp_path / "a.h5", random.Random(seed)
    n = 0
    reader_end, writer_end = os.pipe()
    for _ in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            write_for_ever(path, writer_end)
        for _ in range(moments.randint(1, 20)):
            os.read(reader_end, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open_activations(tmp_path / "a.h5.unfinished") as file:
            found = {name: array.n_samples for name, array in file.arrays.items()}
        assert len(set(found.values())) <= 1
        assert max(found.values(), default=0) >= n
        n = max(found.values(), default=0)
    with ActivationWriter(path, resume=True) as writer:
        assert writer.n_samples == n
        assert n % 7 == 0
        writer.add(**a_batch(n, 1))
    with h5py.File(path) as file:
        assert list(file["samples"].asstr()) == [f"s{k}" for k in range(n + 1)]
        np.testing.assert_array_equal(file["x"][:n, 2, 1, 1], 1 + np.arange(n) // 7 * 7)
