"""A file that is written to, cut short or replaced while it is open gives its old values or an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.labels import read_labels, read_scores
from semrsm.storage.matrices import read_matrices
from tests.helpers import to_stream, write_h5

X = np.random.default_rng(5).normal(size=(40, 3, 8, 8)).astype(np.float32)


def chunked(path: Path, array: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=array, chunks=(1, 3, 8, 8), compression="gzip")


WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    "hdf5": lambda path, array: write_h5(path, a=array),
    "hdf5, chunked": chunked,
    "npz": to_stream(lambda stream, array: np.savez(stream, a=array)),
    "npz, compressed": to_stream(lambda stream, array: np.savez_compressed(stream, a=array)),
    "npy": to_stream(np.save),
    "npy, Fortran": to_stream(lambda stream, array: np.save(stream, np.asfortranarray(array))),
}


def overwrite(path: Path, other: Path) -> None:
    """Write other values into the same file, a second later by its clock."""
    with path.open("r+b") as stream:
        stream.write(other.read_bytes())
    later(path)


def cut(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)
    later(path)


def replace(path: Path, other: Path) -> None:
    os.replace(other, path)


def later(path: Path) -> None:
    moment = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(moment, moment))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("change", [overwrite, cut, replace])
def test_a_layer_is_read_as_it_was_or_not_at_all(
    change: Callable, writer: str, tmp_path: Path
) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    WRITERS[writer](path, X)
    WRITERS[writer](other, X + 1)
    with open_activations(path) as file:
        [layer] = file.select().values()
        np.testing.assert_array_equal(layer.read(range(2)), X[:2])
        change(path, other)
        if change is replace:
            np.testing.assert_array_equal(layer.read(range(30, 40)), X[30:])
            return
        with pytest.raises(SemrsmError, match="samples 30 to 39 cannot be read"):
            layer.read(range(30, 40))


@pytest.mark.parametrize("writer", ["npz", "npy", "npy, Fortran"])
def test_a_file_that_is_cut_ends_no_process_and_gives_no_zeros(writer: str, tmp_path: Path) -> None:
    WRITERS[writer](tmp_path / "a", X)
    with open_activations(tmp_path / "a") as file:
        [layer] = file.select().values()
        cut(tmp_path / "a", tmp_path)
        with pytest.raises(SemrsmError, match="it ends at byte"):
            layer.read(range(30, 40), checked=False)


@pytest.mark.parametrize("change", [overwrite, cut, replace])
@pytest.mark.parametrize("writer", ["hdf5", "npz", "npz, compressed", "npy"])
def test_a_matrix_that_changes_between_two_blocks_is_refused(
    writer: str, change: Callable, tmp_path: Path
) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    values = X.reshape(40, -1)
    WRITERS[writer](path, values)
    WRITERS[writer](other, values + 1)
    [matrix] = read_matrices(path)
    np.testing.assert_array_equal(matrix.rows(slice(0, 3)), values[:3])
    change(path, other)
    with pytest.raises(SemrsmError, match=r"written to|cut short|bytes, and had"):
        matrix.rows(slice(30, 33))


@pytest.mark.parametrize("change", [overwrite, cut])
@pytest.mark.parametrize("read", [read_labels, read_scores])
@pytest.mark.parametrize("writer", ["hdf5", "npz", "npz, compressed", "npy"])
def test_labels_and_logits_that_change_while_they_are_read_are_refused(
    writer: str,
    read: Callable,
    change: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    values = (X.reshape(40, -1) > 0).astype(np.float32)
    WRITERS[writer](path, values)
    WRITERS[writer](other, 1 - values)
    for module in ("sample_ids", "labels"):  # what both ask before they read
        place = f"semrsm.storage.{module}.refuse_more_than_memory"
        monkeypatch.setattr(place, lambda *_: change(path, other))
    with pytest.raises(SemrsmError, match=r"written to|cut short|bytes, and had"):
        read(path)
