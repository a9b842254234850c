"""What must be in an RSM file: each thing that is missing, of another kind or elsewhere is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm.errors import SemrsmError
from semrsm.rsms import open_rsms
from semrsm.storage.check import faults_of
from semrsm.storage.rsm_checksums import record_of
from semrsm.storage.rsm_file import is_rsm_file, open_rsm
from tests.helpers import write_rsm

N = 6
LAYER = "layers/g/a"
Edit = Callable[[h5py.File], None]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """An RSM file of one layer with two kernels."""
    x = np.random.default_rng(5).standard_normal((N, 4))
    ids = [str(i) for i in range(N)]
    return write_rsm(tmp_path / "o.rsm.h5", {"g/a": x @ x.T}, ids, kernels=("cosine", "rbf"))


@pytest.fixture
def earlier(whole: Path) -> Path:
    """The same file as it was written before there were checksums."""
    path = whole.with_name("earlier.rsm.h5")

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            file[name] = item[()]
        target = file.require_group(name) if isinstance(item, h5py.Group) else file[name]
        for key in set(item.attrs) - {"crc32", "record"}:
            target.attrs[key] = item.attrs[key]

    with h5py.File(path, "w") as file, h5py.File(whole) as source:
        copy("/", source)
        source.visititems(copy)
    return path


def read(path: Path) -> list[np.ndarray]:
    return [rsm.values() for k in ("cosine", "rbf", "linear") for rsm in open_rsms(path, kernel=k)]


def refusal(path: Path, edit: Edit) -> str:
    """Edit a file, and return the sentence that reading it ends with."""
    with h5py.File(path, "r+") as file:
        edit(file)
    assert is_rsm_file(path)
    with pytest.raises(SemrsmError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def replaced(name: str, data: object, **options: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=data, **options)

    return edit


def attribute(place: str, name: str, value: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[place].attrs[name]
        if value is not None:
            file[place].attrs[name] = value

    return edit


def linked(name: str, target: object) -> Edit:
    def edit(file: h5py.File) -> None:
        if name in file:
            file.move(name, "elsewhere")
        file[name] = target

    return edit


def as_group(file: h5py.File) -> None:
    del file[f"{LAYER}/matched"]
    file.create_group(f"{LAYER}/matched")


def as_dataset(file: h5py.File) -> None:
    del file[LAYER]
    file[LAYER] = np.zeros((N, N))


def virtual(file: h5py.File) -> None:
    del file[f"{LAYER}/matched"]
    layout = h5py.VirtualLayout((N, N), np.float64)
    layout[:] = h5py.VirtualSource("no-such-file.h5", "x", (N, N))
    file.create_virtual_dataset(f"{LAYER}/matched", layout)


def external(file: h5py.File) -> None:
    del file[f"{LAYER}/matched"]
    file.create_dataset(f"{LAYER}/matched", (N, N), "f8", external="no-such-file.bin")


def unwritten(file: h5py.File) -> None:
    del file[f"{LAYER}/matched"]
    file.create_dataset(f"{LAYER}/matched", (N, N), "f8", chunks=(3, 3))[:3] = 1


def cyclic(file: h5py.File) -> None:
    del file[LAYER]
    file[LAYER] = file["layers"]


PLACES: dict[str, tuple[Edit, str]] = {
    "no matched": (lambda f: f.__delitem__(f"{LAYER}/matched"), "'matched' is missing"),
    "no norms": (lambda f: f.__delitem__(f"{LAYER}/squared_norm"), "'squared_norm' is missing"),
    "no layer": (lambda f: f.__delitem__(LAYER), "'layers/g/a' is missing"),
    "no layers": (lambda f: f.__delitem__("layers"), "'layers(/g/a)?' is missing"),
    "a group": (as_group, "'matched' is a group, no dataset"),
    "a dataset": (as_dataset, "'layers/g/a' is a dataset, no group"),
    "not square": (replaced(f"{LAYER}/matched", np.ones((N, N - 1))), r"\(6, 5\), not \(6, 6\)"),
    "a vector": (replaced(f"{LAYER}/matched", np.ones(N)), r"\(6,\), not \(6, 6\)"),
    "other norms": (replaced(f"{LAYER}/squared_norm", np.ones(N - 1)), r"\(5,\), not \(6,\)"),
    "other kernel": (replaced(f"{LAYER}/rsm/cosine", np.ones((N, 7), "f4")), r"\(6, 7\), not"),
    "whole numbers": (replaced(f"{LAYER}/rsm/cosine", np.ones((N, N), int)), "has type int64"),
    "single": (replaced(f"{LAYER}/matched", np.ones((N, N), "f4")), "type float32, not float64"),
    "samples": (replaced("samples", ["a", "b"]), r"6 samples|'record' is missing"),
    "soft link": (linked(f"{LAYER}/matched", h5py.SoftLink("/elsewhere")), "link to another place"),
    "dangling": (linked(f"{LAYER}/rsm/rbf", h5py.SoftLink("/nowhere")), "link to another place"),
    "external link": (linked(LAYER, h5py.ExternalLink("no.h5", "/")), "link to another place"),
    "cycle": (cyclic, "is missing"),
    "virtual": (virtual, "lies in another file"),
    "external storage": (external, "lies in another file"),
    "unwritten": (unwritten, "'matched' was never written in full"),
}

TEXTS: dict[str, tuple[Edit, str]] = {
    "no matcher": (attribute(LAYER, "matcher", None), "the attribute 'matcher' is missing"),
    "no mode": (attribute(LAYER, "storage_mode", None), "'storage_mode' is missing"),
    "odd mode": (attribute(LAYER, "storage_mode", "round"), "the storage mode 'round' is none of"),
    "other n": (attribute(LAYER, "n_samples", 5), r"has shape \(6, 6\), not \(5, 5\)"),
    "negative n": (attribute(LAYER, "n_samples", -6), "'n_samples' is -6"),
    "text n": (attribute(LAYER, "n_samples", "6"), "'n_samples' is no whole number but str"),
    "number": (attribute(LAYER, "matcher", 3), "'matcher' is no text but int"),
    "several": (attribute(LAYER, "matcher", ["a", "b"]), r"'matcher' has shape \(2,\)"),
    "sigma": (attribute(f"{LAYER}/rsm/rbf", "sigma", float("nan")), "'sigma' is nan"),
    "no sigma": (attribute(f"{LAYER}/rsm/rbf", "sigma", None), "has no sigma"),
    "text sigma": (attribute(f"{LAYER}/rsm/rbf", "sigma", "2"), "'sigma' is no number but str"),
    "no metadata": (attribute("/", "metadata", None), "'metadata' is missing"),
    "no JSON": (attribute("/", "metadata", "{"), "is no JSON"),
    "a list": (attribute("/", "metadata", "[]"), "no JSON object"),
    "no names": (attribute("/", "metadata", '{"layers": 3}'), "no names"),
    "no version": (attribute("/", "format_version", None), "'format_version' is missing"),
    "no format": (attribute("/", "format", None), "'format' is missing"),
    "other format": (attribute("/", "format", "semrsm-rsn"), "the format 'semrsm-rsn' is not"),
}


@pytest.mark.parametrize("fault", PLACES)
def test_a_dataset_that_is_not_as_it_should_be_is_named(fault: str, whole: Path) -> None:
    edit, sentence = PLACES[fault]
    assert re.search(sentence, refusal(whole, edit))


@pytest.mark.parametrize("fault", PLACES | TEXTS)
def test_so_is_any_fault_of_a_file_without_records(fault: str, earlier: Path) -> None:
    edit, sentence = (PLACES | TEXTS)[fault]
    assert re.search(sentence, refusal(earlier, edit))


@pytest.mark.parametrize("fault", TEXTS)
def test_texts_count_for_nothing_beside_records_but_a_check_compares_them(
    fault: str, whole: Path
) -> None:
    before = read(whole)
    assert list(faults_of(whole)) == []
    with h5py.File(whole, "r+") as file:
        TEXTS[fault][0](file)
    for a, b in zip(before, read(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    sentence = "; ".join(faults_of(whole))
    assert re.search(f"is not what its record says|{TEXTS[fault][1]}", sentence)


CHANGES: dict[str, tuple[Edit, str]] = {
    "a number": (lambda f: f[f"{LAYER}/matched"].__setitem__((0, 1), 5), "written in row 0"),
    "a norm": (
        lambda f: f[f"{LAYER}/squared_norm"].__setitem__(0, 5),
        "'squared_norm' is not what",
    ),
    "a name": (lambda f: f.move(f"{LAYER}/rsm/rbf", f"{LAYER}/rsm/linear"), "'rsm/linear' is not"),
    "a kernel": (lambda f: f.__delitem__(f"{LAYER}/rsm/rbf"), "'rsm/rbf' is missing"),
    "ids": (lambda f: f.__delitem__("samples"), "'samples' is missing"),
    "no crc32": (attribute(f"{LAYER}/matched", "crc32", None), "'crc32' is missing"),
    "crc32": (attribute(f"{LAYER}/matched", "crc32", np.zeros(N, "u4")), "'matched' is not what"),
    "crc32 type": (attribute(f"{LAYER}/matched", "crc32", "text"), r"'crc32' has shape \(\)"),
    "a layer": (lambda f: f.move(LAYER, "layers/b"), "'layers/g/a' is missing"),
    "no record": (attribute(LAYER, "record", None), "'record' is missing"),
    # Taken for a file of before there were records, whose numbers nobody checks.
    "no record of all": (attribute("/", "record", None), "the file has lost its own"),
    "a record": (
        attribute("/", "record", np.zeros(99, "u1")),
        "its record is not what was written",
    ),
    "another record": (attribute("samples", "record", record_of(["a"])), "is of another file"),
    "no digests": (attribute("/", "record", record_of({})), "cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_through_hdf5_is_noticed_too(change: str, whole: Path) -> None:
    edit, sentence = CHANGES[change]
    assert re.search(sentence, refusal(whole, edit))
    assert any(re.search(sentence, fault) for fault in faults_of(whole))


def test_layers_that_changed_places_are_noticed(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": np.eye(3), "b": 2 * np.eye(3)})
    with h5py.File(path, "r+") as file:
        for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
            file.move(f"layers/{old}", f"layers/{new}")
    for layer in "ab":
        with pytest.raises(SemrsmError, match=f"h5::{layer}: its record is of another file"):
            semrsm.read_rsm(path, layer)


def test_notes_that_others_leave_in_a_file_do_no_harm(whole: Path) -> None:
    before = read(whole)
    with h5py.File(whole, "r+") as file:
        file.attrs["seen by"] = ["me", "you"]
        file[LAYER].attrs["colour"] = 3
        file["drawings/one"] = np.zeros((3, 4))
        file[f"{LAYER}/more"] = np.zeros(5)
    for a, b in zip(before, read(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_before_is_read_as_the_one_of_now(whole: Path, earlier: Path) -> None:
    for a, b in zip(read(earlier), read(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    with open_rsm(earlier) as old, open_rsm(whole) as new:
        assert old.digests is None
        assert old.layers() == new.layers()
        assert old.samples() == new.samples()
        assert old.metadata == new.metadata


def test_a_plain_script_reads_the_file_of_now_as_the_one_of_before(
    whole: Path, earlier: Path
) -> None:
    def script(path: Path) -> list[object]:
        with h5py.File(path) as file:
            layer = file[LAYER]
            return [
                file.attrs["format"] == "semrsm-rsm",
                layer.attrs["matcher"],
                list(layer["rsm"]),
                file["samples"][:].tolist(),
                layer["matched"][:].tolist(),
                layer["squared_norm"][()].tolist(),
                {key: rsm.attrs.get("sigma") for key, rsm in layer["rsm"].items()},
                sorted(file["layers/g"]),
            ]

    assert script(whole) == script(earlier)
