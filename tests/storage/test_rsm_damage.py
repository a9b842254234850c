"""A damaged RSM file: whatever bytes are lost or changed, what is read is right or refused."""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm.errors import SemrsmError
from semrsm.rsms import open_rsms
from semrsm.storage.check import faults_of
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import write_rsm

N = 9
IDS = [f"image {i}" for i in range(N)]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A small RSM file of two layers, with ids of the samples."""
    x = np.random.default_rng(3).standard_normal((N, 4))
    layers = {"block/one": x @ x.T, "two": 4 * x @ x.T}
    return write_rsm(tmp_path / "o.rsm.h5", layers, IDS, kernels=("linear", "cosine"))


def everything(path: Path) -> dict[str, object]:
    """Return all that can be read of an RSM file: what is said of it, and every number."""
    found: dict[str, object] = {}
    for kernel in ("linear", "cosine", "rbf"):  # rbf is finished from the matched inner products
        for rsm in open_rsms(path, kernel=kernel):
            values = rsm.values()
            found[f"{rsm.layer} {rsm.kernel} {rsm.matcher}"] = values.dtype, values.tobytes()
            found["samples"] = rsm.samples
    with open_rsm(path) as file:
        found["about"] = file.metadata, file.created, file.generated_by, file.layers()
    return found


def outcome(path: Path, content: bytes) -> dict[str, object] | str:
    """Return what is read of some content, or the sentence it is refused with."""
    path.write_bytes(content)
    try:
        return everything(path)
    except SemrsmError as error:
        return str(error)


def flipped(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def overwritten(content: bytes, draw: random.Random) -> bytes:
    place, length = draw.randrange(len(content)), 2 ** draw.randrange(12)
    filling = draw.choice([b"\x00", b"\xff", draw.randbytes(1)])
    return content[:place] + filling * min(length, len(content) - place) + content[place + length :]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


@pytest.mark.parametrize("damage", [flipped, overwritten, cut])
def test_damaged_bytes_never_change_a_number(whole: Path, damage: object) -> None:
    content, expected = whole.read_bytes(), everything(whole)
    draw = random.Random(8)
    outcomes = [outcome(whole, damage(content, draw)) for _ in range(150)]
    sentences = [found for found in outcomes if isinstance(found, str)]
    assert len(sentences) > 50
    assert all(str(whole) in sentence and "\n" not in sentence for sentence in sentences)
    assert all(found == expected for found in outcomes if not isinstance(found, str))


def test_damaged_texts_are_not_even_read(whole: Path) -> None:
    """The global heap has no checksum, and libhdf5 reads some damaged ones without end."""
    content, expected = whole.read_bytes(), everything(whole)
    heap, draw = content.index(b"GCOL"), random.Random(9)
    assert content.find(b"GCOL", heap + 1) < 0
    for _ in range(60):
        place = heap + 4 + draw.randrange(4092)
        changed = content[:place] + draw.randbytes(1) + content[place + 1 :]
        assert outcome(whole, changed) == expected
    assert outcome(whole, content[:heap] + bytes(4096) + content[heap + 4096 :]) == expected


def test_a_check_of_damaged_texts_ends(whole: Path) -> None:
    content = whole.read_bytes()
    heap, draw = content.index(b"GCOL"), random.Random(10)
    assert list(faults_of(whole)) == []
    size = int.from_bytes(content[heap + 8 : heap + 16], "little")
    lengths, at = [], heap + 16  # where the length of each object stands
    while at < heap + size:
        index, length = content[at], int.from_bytes(content[at + 8 : at + 16], "little")
        lengths.append(at + 8)
        at += length if index == 0 else 16 + -(-length // 8) * 8
    damages = [(place, filling) for place in lengths[::4] for filling in (bytes(8), b"\xff" * 8)]
    damages += [(lengths[-1], bytes(8)), (heap + 8, bytes(8)), (heap, b"LOST")]
    damages += [(place + draw.randrange(-8, 40), draw.randbytes(1)) for place in lengths]
    faults = 0
    for place, filling in damages:
        whole.write_bytes(content[:place] + filling + content[place + len(filling) :])
        faults += bool(list(faults_of(whole)))
    assert faults > len(damages) / 3


def test_every_zero_word_of_the_numbers_that_becomes_ones_is_noticed(tmp_path: Path) -> None:
    """Fletcher-32, which HDF5 has, takes 0x0000 for 0xFFFF."""
    matched = np.ones((6, 6)) + np.eye(6)
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": matched}, kernels=())
    content = path.read_bytes()
    start = content.index(matched.tobytes())
    changed = content[:start] + b"\xff\xff" + content[start + 2 :]
    assert matched.tobytes().startswith(b"\x00\x00")
    path.write_bytes(changed)
    with h5py.File(path) as file:  # HDF5 itself reads it
        assert not np.array_equal(file["layers/a/matched"], matched)
    with pytest.raises(
        SemrsmError, match=r"o\.rsm\.h5::a: 'matched' is not what was written in row 0"
    ):
        semrsm.read_rsm(path, kernel="linear")


@pytest.mark.parametrize("rows", [slice(None), slice(3, 5)])
def test_a_damaged_row_is_named_and_the_others_are_read(tmp_path: Path, rows: slice) -> None:
    matched = np.ones((6, 6)) + np.eye(6)
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": matched}, kernels=())
    with h5py.File(path, "r+") as file:
        file["layers/a/matched"][4, 1] = 7
    [rsm] = open_rsms(path, kernel="linear")
    np.testing.assert_array_equal(rsm.rows(slice(0, 4)), matched[:4])
    with pytest.raises(SemrsmError, match="'matched' is not what was written in row 4"):
        rsm.rows(rows)


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": np.eye(6)})
    rsms = [*open_rsms(path), *open_rsms(path, kernel="cosine")]
    write_rsm(path, {"a": 2 * np.eye(6)})
    for rsm in rsms:
        with pytest.raises(SemrsmError, match=r"o\.rsm\.h5: it was replaced while it was read"):
            rsm.values()
