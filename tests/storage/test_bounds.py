"""What a header says is compared with what the file has, before any memory is taken for it."""

from __future__ import annotations

import io
import json
import math
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.formats.npz import read_arrays
from semrsm.storage.labels import read_labels, read_scores
from semrsm.storage.matrices import read_matrices
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import fail, write_h5

LITTLE = 20 << 20  # bytes; what is refused would take much more


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The test takes little memory, however much its file asks for."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LITTLE


def grant(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semrsm.storage.input_files.job_memory", lambda: n_bytes)


def npy(shape: object, dtype: str = "<f4", length: int | None = None) -> bytes:
    """Return a .npy header that says this, with a length of its own if one is given."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) if length is None else length) + text


def archive(path: Path, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a.npy", content)
    return path


def refused(path: Path, *says: str) -> None:
    with pytest.raises(SemrsmError) as error, open_activations(path):
        pass
    for text in (str(path), *says):
        assert text in str(error.value)


SHAPES = [(10**12, 3), (2**62, 2**62), (3, 2**70), (-1, 3), (True, 3), (10**5,) * 200]


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize("kind", ["npy", "stored", "deflated"])
def test_a_shape_that_the_file_cannot_hold(
    kind: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path, content = tmp_path / "a", npy(shape) + bytes(1000)
    if kind == "npy":
        path.write_bytes(content)
    else:
        archive(path, content, zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED)
    says = "says the shape" if math.prod(shape) < 10 else "1000 are there"
    refused(path, says, "damaged or cut short")


@pytest.mark.usefixtures("little_memory")
def test_a_header_of_gigabytes_in_an_archive_of_kilobytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as out:
        out.write(npy((2, 2), length=(64 << 20) + 60))
        for _ in range(64):
            out.write(b" " * (1 << 20))
    assert path.stat().st_size < 100_000
    refused(path, f"{(64 << 20) + 60} bytes", "at most 10000 are read")


@pytest.mark.parametrize("shape", ["(" * 900 + "1" + ")" * 900, "-" * 9000 + "1", "9" * 5000])
def test_a_header_that_no_parser_likes(shape: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(shape))
    refused(tmp_path / "a.npy", "damaged or cut short")


def forged(path: Path, **sizes: int) -> Path:
    """Change sizes in the central directory of an archive."""
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    for name, place in (("compressed", 20), ("size", 24)):
        if name in sizes:
            struct.pack_into("<I", content, central + place, sizes[name])
    path.write_bytes(content)
    return path


def test_a_member_that_is_said_to_be_larger_than_its_bytes_can_be(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy((10**9,)) + bytes(1000))
    refused(forged(path, size=4 * 10**9 + 200), "is said to have 4000000200 bytes, packed into")


def test_a_member_that_ends_before_what_its_header_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy((300, 300)) + np.random.default_rng(0).bytes(100_000))
    with (
        open_activations(forged(path, size=500_000)) as file,
        pytest.raises(SemrsmError, match="it ends at byte 100000 of 360000"),
    ):
        file.select()["a"].read(range(2))


def test_a_method_that_numpy_does_not_save_with(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy((2, 2)) + bytes(16), zipfile.ZIP_LZMA)
    refused(path, "neither stored nor deflated")


def test_a_tile_is_read_within_the_same_bounds(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.eye(3), made=np.array(json.dumps({"run": "ä"})))
    with (tmp_path / "t.npz").open("rb") as stream:
        found = read_arrays(stream)
    assert json.loads(str(found["made"])) == {"run": "ä"}
    np.testing.assert_array_equal(found["a"], np.eye(3))
    stream = io.BytesIO(archive(tmp_path / "t.npz", npy((10**12,)) + bytes(1000)).read_bytes())
    with pytest.raises(ValueError, match="4000000000000 bytes, and 1000 are there"):
        read_arrays(stream)


@pytest.mark.parametrize("read", [read_labels, read_scores])
def test_a_true_bomb_is_refused_by_its_size(
    read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1000, 1000), np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 5000
    grant(100_000, monkeypatch)
    says = r"takes \d+ bytes of memory and this job may take 100000; save"
    with pytest.raises(SemrsmError, match=says):
        read(tmp_path / "a.npz")  # type: ignore[operator]
    with (
        open_activations(tmp_path / "a.npz") as file,
        pytest.raises(SemrsmError, match="a, unpacked, takes 1000000 bytes"),
    ):
        file.arrays["a"].take(slice(0, 1))


def many_names_of_one_text(path: Path, n: int, length: int) -> Path:
    """Write n texts whose references all name one long text, which is in the file once."""
    with h5py.File(path, "w") as file:
        texts = file.create_dataset("samples", (n,), h5py.string_dtype())
        texts[:] = ["x" * length, *[""] * (n - 1)]
        offset = texts.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 16 * n] = content[offset : offset + 16] * n
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("little_memory")
def test_texts_that_are_one_text_many_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many_names_of_one_text(tmp_path / "a.h5", 5000, 50_000)
    assert path.stat().st_size < 300_000
    grant(4_000_000, monkeypatch)
    monkeypatch.setattr("semrsm.storage.formats.hdf5.TOGETHER", 4_000_000)
    says = r"a\.h5::samples: what it holds as text takes \d+ bytes of memory and this job may take"
    with open_activations(path) as file, pytest.raises(SemrsmError, match=says):
        read_sample_ids(file, 5000)


def test_many_texts_are_read_in_several_steps(tmp_path: Path) -> None:
    names = [f"image {i}" for i in range(9000)]
    write_h5(tmp_path / "a.h5", samples=np.array(names, object))
    with open_activations(tmp_path / "a.h5") as file:
        assert read_sample_ids(file, 9000) == names
        assert file.arrays["samples"].take(slice(8000, 9000, 500)).tolist() == [
            b"image 8000",
            b"image 8500",
        ]


def test_ids_that_are_wider_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(10**6, monkeypatch)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        width = h5py.string_dtype(length=10**4)
        file.create_dataset("samples", (500,), width, chunks=(1,), compression="gzip")
    with open_activations(tmp_path / "a.h5") as file, pytest.raises(SemrsmError, match="takes 5"):
        read_sample_ids(file, 500)


def test_a_few_ids_that_are_wider_than_any_name(tmp_path: Path) -> None:
    # Two megabytes of file took three gigabytes, whatever --memory granted.
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["layer"] = np.zeros((4, 2), np.float32)
        file.create_dataset("samples", (4,), "S100000", chunks=(1,), compression="gzip")[:] = b"a"
    message = fail("compute", tmp_path / "a.h5", "-o", tmp_path / "o.rsm.h5", "-m", "identity")
    assert "a.h5::samples holds texts of 100000 bytes each, and at most 65536 are read" in message


def test_references_are_no_texts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("labels", (3,), h5py.ref_dtype)[:] = file.ref
    with pytest.raises(SemrsmError, match="neither numbers nor texts"):
        read_labels(tmp_path / "a.h5")


@pytest.mark.parametrize("value", [["nchw"] * 1000, np.zeros(9000, np.int8), "n" * 5000])
def test_an_attribute_that_is_no_word(value: object, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", a=np.ones((4, 3, 2, 2), np.float32))
    with h5py.File(path, "r+") as file:
        file["a"].attrs["layout"] = value
    with open_activations(path) as file:
        assert len(file.select()["a"].layout or "") <= 4096
    message = fail("compute", path, "-o", tmp_path / "o.rsm.h5")
    assert "no layout '" in message


@pytest.mark.parametrize("value", [b"nhwc", "nhwc", ["nhwc"], np.array(["nhwc"], object)])
def test_an_attribute_that_is_a_word(value: object, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", a=np.ones((4, 3, 2, 2), np.float32))
    with h5py.File(path, "r+") as file:
        file["a"].attrs["layout"] = value
    with open_activations(path) as file:
        assert file.select()["a"].layout == "nhwc"


def test_a_chunk_that_is_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=np.zeros((100, 100)), chunks=(100, 100), compression="gzip")
    grant(50_000, monkeypatch)
    with open_activations(tmp_path / "a.h5") as file:
        says = r"a chunk \(100, 100\) of it takes 80000 bytes .* may take 50000; save it in smaller"
        with pytest.raises(SemrsmError, match=says):
            file.select()["a"].read(range(1))


def test_a_text_table_that_is_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("1,2\n" * 10_000)
    for granted in (50_000, 500_000):  # less than its text, less than its cells
        grant(granted, monkeypatch)
        with pytest.raises(SemrsmError, match=rf"a\.csv as text takes .* may take {granted}; save"):
            read_matrices(tmp_path / "a.csv")
    grant(3_000_000, monkeypatch)
    assert read_matrices(tmp_path / "a.csv")[0].shape == (10_000, 2)


@pytest.mark.parametrize("text", ["x" * 200_000, "a," * 3 + '"' + "b\n" * 100_000, "\0,1\n2"])
def test_a_text_table_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SemrsmError, match=r"a\.csv is no t"):
        read_matrices(tmp_path / "a.csv")


def test_a_run_that_is_nested_without_end(tmp_path: Path) -> None:
    (tmp_path / "o.rsm.h5.run").mkdir()
    (tmp_path / "o.rsm.h5.run" / "run.json").write_text("[" * 100_000)
    assert "run.json cannot be read" in fail("status", tmp_path / "o.rsm.h5")
    (tmp_path / "t.json").write_text("[" * 100_000)
    out = tmp_path / "p.png"
    assert "t.json is no JSON" in fail("plot", tmp_path / "t.json", "--kind", "curves", "-o", out)
