"""Zarr stores of both versions: values, missing chunks, changes, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.formats import zarr_chunks
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import fail, succeed

zarr = pytest.importorskip("zarr", reason="zarr is not installed")

X = np.random.default_rng(7).normal(size=(10, 3, 4, 5)).astype(np.float32)
FORMS = [
    *(
        {"zarr_format": v, "chunks": c}
        for v in (2, 3)
        for c in ((10, 3, 4, 5), (1, 3, 4, 5), (4, 2, 4, 2))
    ),
    {"zarr_format": 3, "chunks": (1, 3, 4, 5), "shards": (4, 3, 4, 5)},
    {"zarr_format": 3, "chunks": (2, 3, 2, 5), "shards": (4, 3, 4, 5)},
    {"zarr_format": 2, "chunks": (4, 3, 4, 5), "compressors": None, "order": "F"},
    {
        "zarr_format": 2,
        "chunks": (4, 3, 4, 5),
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    {
        "zarr_format": 3,
        "chunks": (4, 3, 4, 5),
        "chunk_key_encoding": {"name": "default", "separator": "."},
    },
]


def group(path: Path, version: int = 3) -> Any:
    return zarr.open_group(str(path), mode="w", zarr_format=version)


def put(where: Any, name: str, array: np.ndarray, **form: Any) -> Any:
    form.pop("zarr_format", None)
    made = where.create_array(name, shape=array.shape, dtype=array.dtype, **form)
    made[...] = array
    return made


def read(path: Path) -> dict[str, np.ndarray]:
    with open_activations(path) as file:
        return {name: layer.read(range(layer.n_samples)) for name, layer in file.select().items()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "acts.zarr"


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_samples_are_read_as_they_were_saved(form: dict, dtype: str, store: Path) -> None:
    array = X.astype(dtype)
    put(group(store, form["zarr_format"]), "a", array, **form)
    with open_activations(store) as file:
        assert file.format == "zarr"
        layer = file.select()["a"]
        assert list(layer.gaps) == []
        for samples in (range(10), range(2, 5), range(1, 10, 3), range(9, 10)):
            block = layer.read(samples)
            np.testing.assert_array_equal(block, array[list(samples)].astype(block.dtype))
            assert block.flags.writeable


@pytest.mark.parametrize("version", [2, 3])
def test_groups_attributes_and_ids(version: int, store: Path) -> None:
    root = group(store, version)
    names = [f"image {k}" for k in range(10)]
    put(root, "enc/l10", X).attrs["layout"] = "nchw"
    put(root, "enc/l2", np.moveaxis(X, 1, -1).copy()).attrs["layout"] = "nhwc"
    root.create_array("samples", shape=(10,), dtype=str)[:] = np.array(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a type that Zarr 3 has no word for yet
        put(root, "fixed", np.array(names))
    root.create_array("one", shape=(), dtype="f4")
    bits = (X.view(np.uint32) >> 16).astype(np.uint16)
    put(root, "bf", bits).attrs["dtype"] = "bfloat16"
    with open_activations(store) as file:
        assert list(file.arrays) == ["bf", "enc/l2", "enc/l10", "fixed", "samples"]
        assert file.arrays["enc/l2"].layout == "nhwc"
        assert read_sample_ids(file, 10) == names
        assert file.arrays["fixed"].take(slice(1, 3)).tolist() == names[1:3]
        np.testing.assert_allclose(file.arrays["bf"].read(range(10)), X, rtol=2**-7)


def test_an_array_without_a_group_and_a_folder_of_stores(tmp_path: Path) -> None:
    for name in ("layer2", "layer10"):
        made = zarr.create_array(str(tmp_path / "all" / f"{name}.zarr"), shape=X.shape, dtype="f4")
        made[...] = X
    np.testing.assert_array_equal(read(tmp_path / "all" / "layer2.zarr")["layer2"], X)
    assert list(read(tmp_path / "all")) == ["layer2", "layer10"]


@pytest.mark.parametrize("form", [FORMS[1], FORMS[4], FORMS[6], FORMS[7]], ids=str)
def test_missing_chunks_are_missing_data(form: dict, store: Path, tmp_path: Path) -> None:
    form = dict(form)
    root = group(store, form.pop("zarr_format"))
    made = root.create_array("a", shape=X.shape, dtype="f4", **form)
    for part in (slice(0, 4), slice(6, 10)):
        made[part] = X[part]
    with open_activations(store) as file:
        np.testing.assert_array_equal(file.arrays["a"].read(range(4)), X[:4])
        np.testing.assert_array_equal(file.arrays["a"].read(range(6, 10)), X[6:])
        with pytest.raises(
            SemrsmError, match="samples 4 to 5 hold no values: their chunks are not"
        ):
            file.arrays["a"].read(range(3, 5))
    assert "no: samples 4 to 5 hold no values" in succeed("info", store).stdout
    assert "--exclude 4:6" in fail("compute", store, "-o", tmp_path / "o.rsm.h5")
    succeed("compute", store, "-o", tmp_path / "o.rsm.h5", "--exclude", "4:6", "--threads", 1)


def test_a_chunk_of_zeros_that_was_left_out_is_said_to_be_missing(store: Path) -> None:
    array = X.copy()
    array[3] = 0
    root = group(store)
    put(root, "a", array, chunks=(1, 3, 4, 5))
    put(root, "b", array, chunks=(1, 3, 4, 5), config={"write_empty_chunks": True})
    with open_activations(store) as file:
        with pytest.raises(SemrsmError, match="write_empty_chunks=True has Zarr write them"):
            file.arrays["a"].read(range(10))
        np.testing.assert_array_equal(file.arrays["b"].read(range(10)), array)


@pytest.mark.parametrize("change", ["written", "removed", "cut"])
def test_a_store_that_changes(change: str, store: Path) -> None:
    put(group(store), "a", X, chunks=(5, 3, 4, 5))
    with open_activations(store) as file:
        layer = file.arrays["a"]
        np.testing.assert_array_equal(layer.read(range(10)), X)
        chunk = store / "a" / "c" / "1" / "0" / "0" / "0"
        if change == "removed":
            chunk.unlink()
        else:
            content = chunk.read_bytes()
            chunk.write_bytes(content[:-9] if change == "cut" else content + b"more")
        np.testing.assert_array_equal(layer.read(range(5)), X[:5])
        with pytest.raises(SemrsmError, match="samples 4 to 6"):
            layer.read(range(4, 7))


def edited(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm-was-done"),))


def test_objects_are_never_unpickled(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = group(store, 2)
    put(root, "a", X)
    put(root, "bad", np.zeros(4))
    edited(store / "bad" / ".zarray", dtype="|O", filters=[{"id": "pickle"}], compressor=None)
    (store / "bad" / "0").write_bytes(pickle.dumps(np.array([Harm()] * 4, object)))
    assert list(read(store)) == ["a"]
    succeed("info", store, "--check")
    message = fail("compute", f"{store}::bad", "-o", tmp_path / "o.rsm.h5")
    assert "holds object" in message
    with open_activations(store) as file, pytest.raises(SemrsmError, match="packed with 'pickle'"):
        file.arrays["bad"].take(slice(None))
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"shape": [10**15, 3, 4, 5]}, "hold no values"),
        ({"shape": [-1, 3, 4, 5]}, "cannot be opened as zarr"),
        ({"shape": "wide"}, "cannot be opened as zarr"),
        ({"data_type": "no such"}, "cannot be opened as zarr"),
        ({"codecs": [{"name": "no such"}]}, "no layer"),
        ({"zarr_format": 9}, "cannot be opened as zarr"),
        ({"attributes": {"layout": "x" * 5000}}, "no layout 'x"),
    ],
    ids=str,
)
def test_metadata_that_does_not_fit(entries: dict, says: str, store: Path, tmp_path: Path) -> None:
    put(group(store), "a", X, chunks=(5, 3, 4, 5))
    edited(store / "a" / "zarr.json", **entries)
    assert says in fail("compute", store, "-o", tmp_path / "o.rsm.h5", "--threads", 1)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[" * 100_000, b"\xff", b" " * (2 << 20)], ids=len
)
def test_metadata_that_is_none(content: bytes, store: Path) -> None:
    put(group(store), "a", X)
    (store / "a" / "zarr.json").write_bytes(content)
    with pytest.raises(SemrsmError, match=r"acts\.zarr cannot be opened as zarr"):
        read(store)


@pytest.mark.parametrize("packing", ["gzip", "blosc", "zstd", "zstd in a shard"])
def test_a_chunk_that_unpacks_to_more_than_a_chunk(
    packing: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zarr import codecs

    codec = {"gzip": codecs.GzipCodec, "blosc": codecs.BloscCodec, "zstd": codecs.ZstdCodec}[
        packing.split()[0]
    ]
    root = group(store)
    shards = {"shards": (5, 3, 4, 5)} if "shard" in packing else {}
    put(root, "a", X, chunks=(5, 3, 4, 5), compressors=[codec()], **shards)
    large = np.zeros((100, 100, 100), np.float32)
    shards = {"shards": large.shape} if "shard" in packing else {}
    put(root, "large", large, chunks=large.shape, compressors=[codec()], fill_value=1, **shards)
    chunk = store / "a" / "c" / "1" / "0" / "0" / "0"
    shutil.copy(store / "large" / "c" / "0" / "0" / "0", chunk)
    monkeypatch.setattr("semrsm.storage.formats.zarr_chunks.job_memory", lambda: 10**6)
    with open_activations(store) as file:
        np.testing.assert_array_equal(file.arrays["a"].read(range(5)), X[:5])
        with pytest.raises(SemrsmError, match=r"unpacks to \d+ bytes or more, and a chunk"):
            file.arrays["a"].read(range(4, 6))


def test_a_frame_that_does_not_tell_its_size() -> None:
    """As writers of streams make them: what its blocks unpack to at most counts."""
    size_of = zarr_chunks.PACKINGS["zstd"].size_of
    header = bytes.fromhex("28b52ffd") + bytes(
        [0x00, 0x58]
    )  # neither size nor dictionary, a window
    repeated = int.to_bytes(100_000 << 3 | 1 << 1, 3, "little") + b"\0"
    raw = int.to_bytes(1000 << 3 | 1, 3, "little") + bytes(1000)
    assert size_of(header + repeated + raw, 0) == 100_000 + 1000
    assert size_of(header + repeated, 0) == 100_000  # cut short
    packed = int.to_bytes(10 << 3 | 2 << 1 | 1, 3, "little") + bytes(10)
    assert size_of(header + packed, 0) == 2**17


def test_a_chunk_that_is_larger_than_memory(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(group(store), "a", X, chunks=(10, 3, 4, 5))
    monkeypatch.setattr("semrsm.storage.input_files.job_memory", lambda: 1000)
    with (
        open_activations(store) as file,
        pytest.raises(SemrsmError, match="save it in smaller chunks"),
    ):
        file.arrays["a"].read(range(1))


def test_damaged_chunks_are_sentences(store: Path) -> None:
    put(group(store), "a", X, chunks=(5, 3, 4, 5))
    chunk = store / "a" / "c" / "1" / "0" / "0" / "0"
    for content in (b"", b"x", zlib.compress(b"0" * 100), chunk.read_bytes()[:20]):
        chunk.write_bytes(content)
        with open_activations(store) as file, pytest.raises(SemrsmError, match="cannot be read"):
            file.arrays["a"].read(range(6))


def test_a_run_over_a_store_and_where_it_writes(store: Path, tmp_path: Path) -> None:
    put(group(store), "a", X)
    succeed("compute", store, "-o", tmp_path / "o.rsm.h5", "--threads", 1)
    assert "which this command reads" in fail("compute", store, "-o", store / "a" / "o.rsm.h5")


def test_without_the_package(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(group(store), "a", X)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(SemrsmError, match=r"pip install 'semrsm\[zarr\]'"):
        read(store)
