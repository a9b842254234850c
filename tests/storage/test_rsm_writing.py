"""How an RSM file is written: checksums on everything, whole chunks once, any number of layers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm.errors import SemrsmError
from semrsm.storage import rsm_writer
from semrsm.storage.rsm_checksums import row_checksums
from semrsm.storage.rsm_file import open_rsm
from semrsm.storage.rsm_layer import CHUNK, LayerInfo, row_blocks
from semrsm.storage.rsm_writer import Stream, writing
from tests.helpers import write_rsm


def test_everything_that_hdf5_can_check_has_its_checksum(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": np.eye(4), "b": np.ones((4, 3))}, list("wxyz"))
    assert path.read_bytes()[8] == 3  # the version of the superblock in HDF5 1.10

    def check(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and name != "samples":
            assert item.fletcher32
            np.testing.assert_array_equal(item.attrs["crc32"], row_checksums(item[:]))

    with h5py.File(path) as file:
        file.visititems(check)


class Counted(Stream):
    """A file that counts the bytes that are read and written."""

    read_bytes = written_bytes = 0

    def readinto(self, buffer: memoryview) -> int:
        n = super().readinto(buffer)
        Counted.read_bytes += n
        return n

    def write(self, data: memoryview) -> int:
        Counted.written_bytes += len(data)
        return super().write(data)


def test_whole_chunks_are_written_once_and_never_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsm_writer, "Stream", Counted)
    Counted.read_bytes = Counted.written_bytes = 0
    n, path = 5 * CHUNK + 7, tmp_path / "o.rsm.h5"
    matched = np.random.default_rng(4).standard_normal((n, n))
    with writing(path) as writer:
        layer = writer.layer(LayerInfo("a", "optimal", "nd", 1, 1, n, n, "symmetric"))
        layer.write_squared_norms(matched[0], matched[0])
        layer.create_kernel("linear", None)
        for row in range(0, n, CHUNK):
            layer.write_matched(row, matched[row : row + CHUNK])
            layer.write_kernel("linear", row, matched[row : row + CHUNK])
    assert Counted.written_bytes < 1.05 * path.stat().st_size
    assert Counted.read_bytes < 1e5
    with open_rsm(path) as file:
        np.testing.assert_array_equal(file.matched("a")[:], matched)
        blocks = list(row_blocks(file.matched("a")))
        assert all(row % CHUNK == 0 for row, _ in blocks)
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), matched)


@pytest.mark.parametrize("height", [1, 100, 300])
def test_strips_of_any_height_have_the_checksums_of_their_rows(height: int, tmp_path: Path) -> None:
    n, path = 301, tmp_path / "o.rsm.h5"
    matched = np.random.default_rng(4).standard_normal((n, n))
    with writing(path) as writer:
        layer = writer.layer(LayerInfo("a", "optimal", "nd", 1, 1, n, n, "symmetric"))
        layer.write_squared_norms(matched[0], matched[0])
        for row in range(0, n, height):
            layer.write_matched(row, matched[row : row + height])
    with open_rsm(path) as file:
        np.testing.assert_array_equal(file.matched("a")[:], matched)


def test_texts_may_be_long_and_layers_many(tmp_path: Path) -> None:
    path, names = tmp_path / "o.rsm.h5", [f"block{i % 7}/layer{i}" for i in range(120)]
    command = "x" * 300_000
    with writing(path) as writer:
        writer.metadata = {"layers": names, "command": command}
        for name in names:
            layer = writer.layer(LayerInfo(name, "optimal", "nd", 1, 1, 2, 2, "symmetric"))
            layer.write_squared_norms(np.ones(2), np.ones(2))
            layer.write_matched(0, np.ones((2, 2)))
            layer.write_parameters({"note": command[:1000]})
    with open_rsm(path) as file:
        assert file.layer_names() == names
        assert file.metadata["command"] == command
        assert all(info.parameters == {"note": command[:1000]} for info in file.layers().values())
    with h5py.File(path) as plain:
        assert command in plain.attrs["metadata"]


@pytest.mark.parametrize("names", [("a", "a/rsm"), ("b/matched/x", "b"), ("c", "c/rsm/cosine")])
def test_layers_whose_datasets_would_lie_in_each_other_are_refused(
    names: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SemrsmError, match="cannot be in one RSM file; compute each alone"):
        write_rsm(tmp_path / "o.rsm.h5", {name: np.eye(2) for name in names})
    assert list(tmp_path.iterdir()) == []


def test_layers_may_lie_in_each_other(tmp_path: Path) -> None:
    path = write_rsm(tmp_path / "o.rsm.h5", {"a": np.eye(2), "a/b": 2 * np.eye(2)}, kernels=())
    for name, factor in (("a", 1), ("a/b", 2)):
        rsm, _ = semrsm.read_rsm(path, name, "linear")
        np.testing.assert_array_equal(rsm, factor * np.eye(2))
