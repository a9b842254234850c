"""Folders of samples, batches or layers are read as what they are; those that do not fit are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.rsm_file import open_rsm
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import fail, succeed, write_h5

X = np.random.default_rng(7).normal(size=(12, 3, 4, 5)).astype(np.float32)
Y = X[:, :2, :2, :2].copy()
NAMES = [f"image_{k}.png" for k in range(1, 13)]  # in natural order, which is not that of texts

Arrays = dict[str, np.ndarray]


def save_npz(path: Path, arrays: Arrays) -> None:
    np.savez_compressed(path, **arrays)


def save_pt(path: Path, arrays: Arrays) -> None:
    torch.save({name: torch.from_numpy(a.copy()) for name, a in arrays.items()}, path)


SAVERS: dict[str, Callable[[Path, Arrays], object]] = {
    ".npz": save_npz,
    ".h5": lambda path, arrays: write_h5(path, **arrays),
    ".pt": save_pt,
}


def read(path: Path) -> Arrays:
    with open_activations(path) as file:
        return {name: layer.read(range(layer.n_samples)) for name, layer in file.select().items()}


def notes(path: Path) -> str:
    with open_activations(path) as file:
        return "; ".join(file.contents.notes)


def ids(path: Path) -> list[str] | None:
    with open_activations(path) as file:
        return read_sample_ids(file, 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acts").mkdir()
    return tmp_path / "acts"


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_file_for_each_sample(suffix: str, folder: Path) -> None:
    for k, name in enumerate(NAMES):
        SAVERS[suffix](folder / f"{name}{suffix}", {"a": X[k : k + 1], "b": Y[k : k + 1]})
    (folder / "README.txt").write_text("not an activation file")
    with open_activations(folder) as file:
        assert file.format == "folder"
        a, b = file.select().values()
        for samples in (range(12), range(2, 5), range(1, 12, 4), range(11, 12)):
            np.testing.assert_array_equal(a.read(samples), X[list(samples)])
            np.testing.assert_array_equal(b.read(samples), Y[list(samples)])
    assert ids(folder) == NAMES
    assert notes(folder) == (
        f"12 files are read as one sample each, in this order: {NAMES[0]}{suffix}, {NAMES[1]}{suffix},"
        f" {NAMES[2]}{suffix}, … {NAMES[11]}{suffix}"
    )


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_file_for_each_batch(suffix: str, folder: Path) -> None:
    for k, start in enumerate(range(0, 12, 5)):
        part = slice(start, start + 5)
        beside = {"labels": np.arange(12)[part]}
        SAVERS[suffix](folder / f"batch{k + 8}{suffix}", {"a": X[part], "b": Y[part], **beside})
    np.testing.assert_array_equal(read(folder)["a"], X)
    np.testing.assert_array_equal(read(folder)["b"], Y)
    with open_activations(folder) as file:
        assert file.arrays["labels"].take(slice(None)).tolist() == list(range(12))
    assert "3 files are read as batches, 12 samples in all, in this order: batch8" in notes(folder)


def test_a_file_for_each_layer(folder: Path) -> None:
    for name, array in (("conv10", X), ("conv2", Y), ("fc", X[:, 0, 0])):
        np.save(folder / f"{name}.npy", array)
    with open_activations(folder) as file:
        assert list(file.arrays) == ["conv2", "conv10", "fc"]
    assert list(read(folder)) == ["conv2", "conv10"]
    assert "3 files are read as a layer each, in this order: conv2, conv10, fc" in notes(folder)


def test_layers_of_one_shape_are_no_batches(folder: Path) -> None:
    for k in range(3):
        np.save(folder / f"blocks.{k}.npy", X + k)
    found = read(folder)
    assert list(found) == ["blocks.0", "blocks.1", "blocks.2"]
    np.testing.assert_array_equal(found["blocks.2"], X + 2)


def test_batches_of_one_size_and_their_single_ones(folder: Path) -> None:
    for k in range(3):
        np.save(folder / f"acts_{k}.npy", X[4 * k : 4 * k + 4])
    np.testing.assert_array_equal(read(folder)["acts"], X)
    with open_activations(folder) as file:
        assert list(file.select(("acts_1",))) == ["acts_1"]
        np.testing.assert_array_equal(file.select(("acts_1",))["acts_1"].read(range(4)), X[4:8])


@pytest.mark.parametrize("backend", ["npy", "pt"])
def test_what_thingsvision_writes(backend: str, folder: Path) -> None:
    """Its extract_features(output_dir=…): a folder for each module, files numbered by samples."""
    for module, array in (("layer10", X), ("layer2", Y)):
        (folder / module).mkdir()
        for start, stop in ((0, 5), (5, 10), (10, 12)):
            path = folder / module / f"features_{start}-{stop}.{backend}"
            part = array[start:stop]
            np.save(path, part) if backend == "npy" else torch.save(torch.from_numpy(part), path)
    found = read(folder)
    assert list(found) == ["layer2", "layer10"]
    np.testing.assert_array_equal(found["layer10"], X)
    np.testing.assert_array_equal(found["layer2"], Y)
    (folder / "layer10" / f"features_5-10.{backend}").unlink()
    with pytest.raises(
        SemrsmError, match="between features_0-5 and features_10-12 a batch is missing"
    ):
        read(folder)


@pytest.mark.parametrize("form", ["npy", "pt", "hdf5"])
@pytest.mark.parametrize("split", [False, True])
def test_what_the_functions_of_thingsvision_write(form: str, split: bool, folder: Path) -> None:
    storing = pytest.importorskip(
        "thingsvision.utils.storing.helpers", reason="thingsvision is not installed"
    )
    if not split:
        storing.store_features(str(folder), torch.from_numpy(X) if form == "pt" else X, form)
    elif form == "pt":
        pytest.skip("thingsvision splits no tensors")
    else:
        storing.split_features(str(folder), X, form, n_splits=5)
    np.testing.assert_array_equal(read(folder)["features"], X)


@pytest.mark.parametrize("writer", ["one file", "splits"])
def test_what_thingsvision_saves_as_hdf5(writer: str, folder: Path) -> None:
    """Its save_features: one dataset, or several where memory runs out."""
    with h5py.File(folder / "features.h5", "w") as file:
        if writer == "one file":
            file.create_dataset("features", data=X)
        else:
            for k, part in enumerate(np.array_split(X, 5), start=1):
                file.create_dataset(f"features_{k:02d}", data=part)
    for path in (folder, folder / "features.h5"):
        np.testing.assert_array_equal(read(path)["features"], X)


def test_what_dnnbrain_writes(folder: Path) -> None:
    """Its .act.h5: layers (n, channels, rows, columns), those of a linear layer with 1 x 1 positions."""
    path = write_h5(folder / "a.act.h5", conv5=X, fc3=X[:, :, :1, :1])
    for place in (path, folder):
        found = read(place)
        np.testing.assert_array_equal(found["conv5"], X)
        assert found["fc3"].shape == (12, 3, 1, 1)


@pytest.mark.parametrize("leading", [True, False])
def test_what_net2brain_consolidates(leading: bool, folder: Path) -> None:
    """A file for each layer, with an array for each image."""
    for layer, array in (("layer1", X), ("layer2", Y)):
        images = {name: array[k : k + 1] for k, name in enumerate(NAMES)}
        save_npz(folder / f"{'consolidated_' * leading}{layer}.npz", images)
    found = read(folder)
    assert list(found) == ["layer1", "layer2"]
    np.testing.assert_array_equal(found["layer1"], X)
    np.testing.assert_array_equal(found["layer2"], Y)
    assert ids(folder) == NAMES
    one = folder / f"{'consolidated_' * leading}layer2.npz"
    np.testing.assert_array_equal(read(one)[one.stem], Y)
    assert ids(one) == NAMES


def test_samples_without_an_axis_of_samples(folder: Path) -> None:
    square = X[:, :, :, :4]
    for k, name in enumerate(NAMES):
        save_pt(folder / f"{name}.pt", {"map": square[k], "vector": X[k, 0, 0]})
    with open_activations(folder) as file:
        assert file.arrays["map"].shape == (12, 3, 4, 4)
        np.testing.assert_array_equal(file.arrays["map"].read(range(1, 9, 3)), square[1:9:3])
        assert file.arrays["vector"].shape == (12, 5)
    assert "maps without an axis of samples" in notes(folder)


# Lists of batches in one file.


def test_a_list_of_batches_in_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", *np.array_split(X, 11), ids=np.arange(12))
    np.testing.assert_array_equal(read(tmp_path / "a.npz")["arr"], X)
    assert (
        "11 arrays are read as batches of one layer, joined to 'arr' in this order: arr_0"
        in notes(tmp_path / "a.npz")
    )
    with open_activations(tmp_path / "a.npz") as file:
        assert list(file.arrays) == ["arr", "ids"]
        assert file.select(("arr_10",))["arr_10"].shape == (1, 3, 4, 5)


def test_what_is_no_list_of_batches(tmp_path: Path) -> None:
    np.savez(tmp_path / "layers.npz", layer1=X, layer2=X + 1)
    assert list(read(tmp_path / "layers.npz")) == ["layer1", "layer2"]
    np.savez(tmp_path / "others.npz", X, Y)
    assert list(read(tmp_path / "others.npz")) == ["arr_0", "arr_1"]
    np.savez(tmp_path / "matrices.npz", X[:, 0, :3, 0], X[:, 1, :3, 0])
    assert list(read(tmp_path / "matrices.npz")) == ["arr_0", "arr_1"]


def test_a_list_that_lacks_a_batch(tmp_path: Path) -> None:
    parts = {f"batch_{k}": X[k : k + 2] for k in (0, 1, 3)}
    np.savez(tmp_path / "a.npz", **parts)
    assert "between batch_1 and batch_3 a batch is missing" in fail("info", tmp_path / "a.npz")


# Sets that are refused, with the file named.


def spoil_shape(folder: Path) -> None:
    save_npz(folder / "image_7.png.npz", {"a": X[:1, :, :3], "b": Y[:1]})


def spoil_type(folder: Path) -> None:
    save_npz(folder / "image_7.png.npz", {"a": X[:1].astype(np.float16), "b": Y[:1]})


def spoil_layers(folder: Path) -> None:
    save_npz(folder / "image_7.png.npz", {"a": X[:1]})


def add_layer(folder: Path) -> None:
    save_npz(folder / "image_7.png.npz", {"a": X[:1], "b": Y[:1], "c": Y[:1]})


def add_kind(folder: Path) -> None:
    np.save(folder / "image_99.npy", X)


def add_rdm(folder: Path) -> None:
    save_npz(folder / "rdm.npz", {"a": X[0, 0], "b": X[0, 0]})


def cut(folder: Path) -> None:
    os.truncate(folder / "image_7.png.npz", 500)


def empty(folder: Path) -> None:
    (folder / "image_7.png.npz").write_bytes(b"")


def be_pipe(folder: Path) -> None:
    os.mkfifo(folder / "z.npz")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            spoil_shape,
            "image_7.png.npz has a of shape (1, 3, 3, 5) and image_1.png.npz of (1, 3, 4, 5)",
        ),
        (spoil_type, "image_7.png.npz has a of type float16 and image_1.png.npz of float32"),
        (spoil_layers, "image_7.png.npz lacks the layer 'b' that image_1.png.npz holds"),
        (add_layer, "image_7.png.npz holds 'c', which image_1.png.npz lacks"),
        (add_kind, "files of several kinds, image_1.png.npz and image_99.npy"),
        (add_rdm, "rdm.npz has a of shape (4, 5) and image_1.png.npz of (1, 3, 4, 5)"),
        (cut, "image_7.png.npz cannot be opened as npz"),
        (empty, "image_7.png.npz is none of hdf5"),
        (be_pipe, "z.npz is a pipe"),
    ],
    ids=lambda p: p.__name__ if callable(p) else "",
)
def test_sets_that_do_not_fit(
    spoil: Callable[[Path], None], says: str, folder: Path, tmp_path: Path
) -> None:
    for k, name in enumerate(NAMES):
        save_npz(folder / f"{name}.npz", {"a": X[k : k + 1], "b": Y[k : k + 1]})
    spoil(folder)
    message = fail("compute", folder, "-o", tmp_path / "o.rsm.h5")
    assert says in message
    assert str(folder) in message


def test_batches_of_which_one_is_missing(folder: Path) -> None:
    for k in (0, 1, 2, 4, 5):
        np.save(folder / f"batch_{k}.npy", X[2 * k : 2 * k + 2])
    assert "between batch_2 and batch_4 a batch is missing" in fail("info", folder)


def test_batches_numbered_by_their_first_sample(folder: Path) -> None:
    for k in range(0, 12, 4):
        np.save(folder / f"batch_{k}.npy", X[k : k + 4])
    np.testing.assert_array_equal(read(folder)["batch"], X)


def test_one_odd_file_among_numbered_ones(folder: Path) -> None:
    for k in range(6):
        np.save(folder / f"acts{k}.npy", X[2 * k : 2 * k + 2, :, : 4 - (k == 4)])
    assert "acts4.npy has acts of shape (2, 3, 3, 5) and acts0.npy of (2, 3, 4, 5)" in fail(
        "info", folder
    )


def test_a_layer_with_fewer_samples(folder: Path) -> None:
    for name, array in (("conv1", X), ("conv2", Y[:11])):
        np.save(folder / f"{name}.npy", array)
    assert "conv2.npy and conv1.npy hold different numbers of samples" in fail("info", folder)


def test_layers_of_one_sample_are_layers(tmp_path: Path) -> None:
    np.savez(tmp_path / "query.npz", block0=X[:1], block1=X[1:2])
    assert list(read(tmp_path / "query.npz")) == ["block0", "block1"]


def test_batches_with_as_many_tokens_as_channels(folder: Path) -> None:
    for k in range(3):
        np.save(folder / f"batch{k}.npy", X[:, 0, :, :4] + k)
    assert read(folder)["batch"].shape == (36, 4, 4)


def test_two_sets_of_samples_are_no_layers(folder: Path) -> None:
    np.save(folder / "train.npy", X)
    np.save(folder / "test.npy", X[:4])
    message = fail("info", folder)
    assert "test.npy and train.npy hold different numbers of samples" in message


def test_folders_that_hold_no_activations(folder: Path, tmp_path: Path) -> None:
    assert "holds no activation files (.h5, .hdf5" in fail("info", folder)
    (folder / "run.json").write_text("{}")
    assert "is the folder of a run" in fail("compute", folder, "-o", tmp_path / "o.rsm.h5")


# Runs over folders.


def test_a_run_over_a_folder_is_that_over_one_file(folder: Path, tmp_path: Path) -> None:
    for k in range(0, 12, 3):
        save_npz(folder / f"part{k}.npz", {"a": X[k : k + 3]})
    whole = write_h5(tmp_path / "whole.h5", a=X)
    matched = []
    for path in (folder, f"{folder}::a", whole):
        out = tmp_path / f"{len(matched)}.rsm.h5"
        said = succeed("compute", path, "-o", out, "--threads", 1).stderr
        assert ("files are read as batches" in said) == (path != whole)
        with h5py.File(out) as file:
            matched.append(file["layers/a/matched"][:])
        with open_rsm(out) as rsm:
            assert rsm.metadata["activations"]["bytes"] > 0
    np.testing.assert_array_equal(matched[0], matched[2])
    np.testing.assert_array_equal(matched[1], matched[2])


@pytest.mark.parametrize("name", ["part3.npz", "new.rsm.h5"])
def test_nothing_is_written_into_a_folder_that_is_read(name: str, folder: Path) -> None:
    for k in range(0, 12, 3):
        save_npz(folder / f"part{k}.npz", {"a": X[k : k + 3]})
    message = fail("compute", folder, "-o", folder / name, "--overwrite", out=folder / name)
    assert "which this command reads; write it to another folder" in message


def test_a_file_that_changes_is_named(folder: Path) -> None:
    for k in range(0, 12, 3):
        save_npz(folder / f"part{k}.npz", {"a": X[k : k + 3]})
    with open_activations(folder) as file:
        layer = file.select()["a"]
        np.testing.assert_array_equal(layer.read(range(6)), X[:6])
        save_npz(folder / "part9.npz", {"a": X[:3]})
        np.testing.assert_array_equal(layer.read(range(6)), X[:6])
        with pytest.raises(SemrsmError, match=r"part9\.npz: the file .* since it was opened"):
            layer.read(range(8, 12))


def test_samples_without_values_are_named_by_their_file(folder: Path, tmp_path: Path) -> None:
    for k in range(3):
        with h5py.File(folder / f"batch{k}.h5", "w") as file:
            data = file.create_dataset("a", (4, 3, 4, 5), np.float32, chunks=(1, 3, 4, 5))
            data[: 4 if k != 1 else 2] = X[4 * k : 4 * k + (4 if k != 1 else 2)]
    message = fail("compute", folder, "-o", tmp_path / "o.rsm.h5")
    assert "samples 6 to 7 hold no values: batch1.h5: they were never written" in message
    assert "--exclude 6:8" in message


def test_more_files_than_a_process_may_open(folder: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of open files")
    for k in range(120):
        np.save(folder / f"image{k}.npy", np.full((1, 2), k, np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
    try:
        found = read(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    np.testing.assert_array_equal(found["image"][:, 0], np.arange(120))


def test_images_of_net2brain(shared_data: Path, folder: Path) -> None:
    """Files that the tool itself wrote."""
    images = sorted((shared_data / "net2brain").glob("image_*.npz"))
    for image in images:
        (folder / image.name).symlink_to(image)
    found = read(folder)
    for k, image in enumerate(images):
        with np.load(image) as arrays:
            assert list(found) == list(arrays)
            for name in arrays:
                np.testing.assert_array_equal(found[name][k], arrays[name][0])


@pytest.mark.slow
def test_rdms_of_net2brain(shared_data: Path, tmp_path: Path) -> None:
    """Its cosine dissimilarities of 24 images, from its format: a compressed .npz for each image."""
    acts = tmp_path / "acts"
    acts.mkdir()
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        layers = {n: file[n][:].astype(np.float32) for n in file if n.startswith("layer")}
    for k in range(24):
        image = {name: array[k : k + 1] for name, array in layers.items()}
        real = shared_data / "net2brain" / f"image_{k + 1:02d}.npz"
        if real.exists():  # as the tool wrote it; the others are its activations in float16
            with np.load(real) as its_own:
                image = dict(its_own)
        np.savez_compressed(acts / f"image_{k + 1:02d}.npz", **image)
    out = tmp_path / "o.rsm.h5"
    succeed("compute", acts, "-o", out, "-m", "identity", "-k", "cosine", "--threads", 1)
    with (
        h5py.File(out) as ours,
        np.load(shared_data / "net2brain/rdm_cosine_first24.npz") as theirs,
    ):
        assert sorted(ours["layers"]) == sorted(theirs)
        for name in theirs:
            rsm = ours[f"layers/{name}/rsm/cosine"][:]
            np.testing.assert_allclose(1 - rsm, theirs[name], atol=1e-4)
    assert json.loads(succeed("info", out, "--json").stdout)["sample_ids"]["first"] == "image_01"


def test_a_folder_of_net2brain_with_its_rdm_is_refused(shared_data: Path) -> None:
    assert "rdm_cosine_first24.npz has layer1 of shape (24, 24)" in fail(
        "info", shared_data / "net2brain"
    )
