import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.data import digits_path

README = Path(digits_path()).with_name("README.md").read_text()
ROW = re.compile(r"^(/\S+) +\(([\d, ]+)\) +(u?int\d+|float\d+)(?: +(nchw|ntd)\b)?", re.MULTILINE)
TREE = {
    name: (tuple(int(size) for size in shape.rstrip(",").split(",")), dtype, layout or None)
    for name, shape, dtype, layout in ROW.findall(README)
}


@pytest.fixture(scope="module")
def file() -> Iterator[h5py.File]:
    with h5py.File(digits_path()) as file:
        yield file


def test_it_is_at_most_3_mb() -> None:
    assert digits_path().stat().st_size <= 3_000_000


def test_it_holds_what_the_readme_says_and_nothing_else(file: h5py.File) -> None:
    found = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found["/" + name] = (item.shape, str(item.dtype), item.attrs.get("layout"))

    file.visititems(note)
    assert found == TREE
    assert len(found) == 12


@pytest.mark.parametrize("name", [name for name in TREE if name.startswith(("/resnet", "/vit"))])
def test_activations_are_finite_and_no_two_samples_have_the_same(
    file: h5py.File, name: str
) -> None:
    values = file[name][:].reshape(80, -1)
    assert np.isfinite(values).all()
    assert len(np.unique(values, axis=0)) == 80


def test_resnet_maps_are_taken_after_relu(file: h5py.File) -> None:
    assert all(file[f"resnet/layer{k}"][:].min() == 0 for k in (1, 2, 3))


def test_every_digit_has_two_views_and_every_class_four_digits(file: h5py.File) -> None:
    views, labels = file["views"][:], file["labels"][:]
    assert np.bincount(views).tolist() == [2] * 40
    assert np.bincount(labels).tolist() == [8] * 10
    assert all(np.ptp(labels[views == digit]) == 0 for digit in range(40))


def test_views_are_one_digit_at_two_places(file: h5py.File) -> None:
    images, views = file["images"][:], file["views"][:]
    for digit in range(40):
        first, second = images[views == digit]
        assert np.array_equal(inked_part(first), inked_part(second))
        assert not np.array_equal(first, second)


def test_samples_are_sorted_neither_by_class_nor_by_view(file: h5py.File) -> None:
    views, labels = file["views"][:], file["labels"][:]
    assert (np.diff(labels) < 0).any()
    assert not np.array_equal(views[:40], views[40:])
    assert len(np.unique(views[:40])) < 40
    assert (views[::2] != views[1::2]).any()


@pytest.mark.parametrize("net", ["resnet", "vit"])
def test_logits_are_as_accurate_as_recorded(file: h5py.File, net: str) -> None:
    logits = file[net]["logits"]
    right = (logits[:].argmax(1) == file["labels"][:]).mean()
    assert logits.attrs["accuracy"] == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize(("net", "least"), [("resnet", 0.95), ("vit", 0.90)])
def test_accuracies_are_good_and_those_of_the_readme(
    file: h5py.File, net: str, least: float
) -> None:
    held_out, embedded = file.attrs[f"{net}_test_accuracy"], file[net]["logits"].attrs["accuracy"]
    assert held_out >= least
    row = next(line for line in README.lower().splitlines() if line.startswith(f"| {net} "))
    assert row.endswith(f"| {100 * held_out:.2f} % | {100 * embedded:.2f} % |")


def test_attributes_say_where_it_is_from_and_name_no_machine(file: h5py.File) -> None:
    assert file.attrs["made_by"] == "scripts/make_digits.py"
    assert {"description", "source", "license", "seed"} <= set(file.attrs)
    assert not any(re.search(r"(^|\s)/\w|\\", str(value)) for value in file.attrs.values())


def inked_part(image: np.ndarray) -> np.ndarray:
    """Return the smallest rectangle of an image outside of which it is 0."""
    rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
