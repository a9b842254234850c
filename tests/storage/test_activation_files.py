"""The same activations in every format, order and precision are the same layers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.formats import npz
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import to_stream, write_h5

X = np.random.default_rng(7).normal(size=(7, 3, 4, 5)).astype(np.float32)
CHUNKED = {"chunks": (2, 3, 2, 5), "compression": "gzip", "shuffle": True}


def chunked(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=array, **CHUNKED)


SAVERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "hdf5": lambda path, array: write_h5(path, a=array),
    "hdf5, chunked and compressed": chunked,
    "npz, stored": to_stream(lambda stream, array: np.savez(stream, a=array)),
    "npz, compressed": to_stream(lambda stream, array: np.savez_compressed(stream, a=array)),
    "npz, Fortran": to_stream(lambda stream, array: np.savez(stream, a=np.asfortranarray(array))),
    "npy": to_stream(np.save),
    "npy, Fortran": to_stream(lambda stream, array: np.save(stream, np.asfortranarray(array))),
}


@pytest.mark.parametrize("saver", list(SAVERS))
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_samples_are_read_as_they_were_saved(saver: str, dtype: str, tmp_path: Path) -> None:
    array = X.astype(dtype)
    path = tmp_path / "a"
    SAVERS[saver](path, array)
    with open_activations(path) as file:
        assert file.format == saver[:4].rstrip(",")
        layer = file.select()["a"]
        assert layer.shape == array.shape
        for samples in (range(7), range(2, 5), range(1, 7, 3), range(6, 7)):
            block = layer.read(samples)
            assert block.dtype == (np.float64 if dtype == "<f8" else np.float32)
            np.testing.assert_array_equal(block, array[list(samples)].astype(block.dtype))
            assert block.flags.writeable  # torch warns otherwise


@pytest.mark.parametrize("how", ["uint16", "2-byte void", "npz", "attribute"])
def test_bfloat16_is_read_bit_by_bit(how: str, tmp_path: Path) -> None:
    tensor = torch.from_numpy(X).bfloat16()
    bits = tensor.view(torch.int16).numpy().view(np.uint16)
    path = tmp_path / "a"
    if how == "npz":
        np.savez(tmp_path / "a.npz", a=bits)
        path = tmp_path / "a.npz"
    else:
        write_h5(path, a=bits.view("V2") if how == "2-byte void" else bits)
    if how == "attribute":
        with h5py.File(path, "r+") as file:
            file["a"].attrs["dtype"] = "bfloat16"
    with open_activations(path) as file:
        if how != "attribute":
            with pytest.raises(SemrsmError, match="`bfloat16=True` if that is what it holds"):
                file.select(("a",))
        layer = file.select(("a",), bfloat16=how != "attribute")["a"]
        np.testing.assert_array_equal(layer.read(range(7)), tensor.float().numpy())


def test_layers_are_found_in_nested_groups_and_by_globs(tmp_path: Path) -> None:
    flat = X.reshape(7, -1)
    path = write_h5(tmp_path / "a.h5", enc__1__conv=X, enc__2__conv=X, head=flat, n=np.float32(1))
    with open_activations(path) as file:
        assert list(file.arrays) == ["enc/1/conv", "enc/2/conv", "head"]
        assert list(file.select()) == ["enc/1/conv", "enc/2/conv"]
        assert list(file.select(("head", "enc/2*"))) == ["enc/2/conv", "head"]
        assert list(file.select(("/enc/1/conv/",))) == ["enc/1/conv"]
        assert list(file.select(("*",))) == ["enc/1/conv", "enc/2/conv", "head"]


def test_vectors_are_taken_where_there_are_no_maps(tmp_path: Path) -> None:
    with open_activations(write_h5(tmp_path / "a.h5", head=X[:, 0, 0], ids=np.arange(7))) as file:
        assert list(file.select()) == ["head"]


def test_a_compressed_archive_holds_one_member_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=X, b=X + 1)
    with open_activations(path) as file:
        a, b = file.select().values()
        assert a.loaded_bytes == a.n_bytes
        first, again = a.rows(slice(0, 2)), a.rows(slice(2, 4))
        assert first.base is again.base
        b.rows(slice(0, 2))
        assert a.rows(slice(0, 2)).base is not first.base
        freed = weakref.ref(a.rows(slice(0, 2)).base)
        del first, again
        read, still_held = npz.inflate_member, []

        def inflate(*args: object) -> np.ndarray:
            still_held.append(freed() is not None)
            return read(*args)

        monkeypatch.setattr(npz, "inflate_member", inflate)
        b.rows(slice(0, 2))
        assert still_held == [False]


@pytest.mark.parametrize(
    ("array", "ids"),
    [
        (np.array(["cat", "dög", "x"]), ["cat", "dög", "x"]),
        (np.array([b"cat", b"\xff", b"x"]), ["cat", "\ufffd", "x"]),
        (np.array([3, -1, 2]), ["3", "-1", "2"]),
        (np.array([0.5, 1.0, 2.0]), None),
        (np.array(["cat", "dog"]), None),
    ],
)
@pytest.mark.parametrize("name", ["samples", "sample_ids", "image", "other"])
def test_sample_ids(array: np.ndarray, ids: list[str] | None, name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{name: array})
    stored = array.astype(h5py.string_dtype()) if array.dtype.kind == "U" else array
    write_h5(tmp_path / "a.h5", **{name: stored})
    for path in (tmp_path / "a.npz", tmp_path / "a.h5"):
        with open_activations(path) as file:
            assert read_sample_ids(file, 3) == (None if name == "other" else ids)
