"""Layers stand in the order of their file where it has one, else in natural order."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.names import natural_key
from semrsm.storage.activations import open_activations
from semrsm.storage.matrices import read_matrices
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import write_rsm

MADE = ["stem", "net/block2", "net/block10", "net/block1", "head"]  # as they are written
NATURAL = ["head", "net/block1", "net/block2", "net/block10", "stem"]


def write(path: Path, tracked: bool) -> Path:
    """Write square arrays in the order of MADE."""
    if path.suffix == ".npz":
        np.savez(path, **{name: np.eye(3, dtype=np.float32) for name in MADE})
        return path
    with h5py.File(path, "w", track_order=tracked) as file:
        for name in MADE:
            group, _, own = name.rpartition("/")
            if group and group not in file:
                file.create_group(group, track_order=tracked)
            place = file[group] if group else file
            place[own] = np.eye(3, dtype=np.float32)
    return path


@pytest.mark.parametrize(
    ("name", "tracked", "order"),
    [("a.h5", True, MADE), ("a.h5", False, NATURAL), ("a.npz", False, MADE)],
)
def test_arrays_stand_in_the_order_of_their_file(
    name: str, tracked: bool, order: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path / name, tracked)
    with open_activations(path) as file:
        assert list(file.arrays) == list(file.select()) == order
        assert list(file.select(("stem", "net/*"))) == [n for n in order if n != "head"]
    assert [matrix.name for matrix in read_matrices(path)] == order
    assert [m.name for m in read_matrices(path, "net/*")] == [n for n in order if "net" in n]


def test_order_is_kept_by_each_group_for_itself(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_group("b", track_order=True)
        for name in ("z10", "z2"):
            made[name] = np.zeros(2)
        file["a10"], file["a9"] = np.zeros(2), np.zeros(2)
    with open_activations(tmp_path / "a.h5") as opened:
        assert list(opened.arrays) == ["a9", "a10", "b/z10", "b/z2"]


def test_an_rsm_file_that_records_no_order_has_the_natural_one(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "a.rsm.h5", {name: np.eye(3) for name in MADE})
    with open_rsm(path) as file:
        assert file.layer_names() == MADE
    with h5py.File(path, "r+") as file:
        for item in (file, *(file["layers"][name] for name in MADE)):
            del item.attrs["record"]
        file.attrs["metadata"] = "{}"
    with open_rsm(path) as file:
        assert file.layer_names() == NATURAL


@given(st.lists(st.integers(0, 10**30), min_size=1, unique=True))
def test_numbers_in_names_are_ordered_as_numbers(numbers: list[int]) -> None:
    names = sorted((f"block{n}.conv" for n in numbers), key=natural_key)
    assert names == [f"block{n}.conv" for n in sorted(numbers)]


@given(st.lists(st.text("ab01/²", max_size=6), unique=True))
def test_the_order_does_not_depend_on_the_order_before(names: list[str]) -> None:
    turned = names[::-1]
    assert sorted(names, key=natural_key) == sorted(turned, key=natural_key)
