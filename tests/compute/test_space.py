"""Room on the disk, asked for before a run starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import fail, snapshot, succeed, write_h5

N = 64
TILES, OUTPUT = 8 * N * N, (8 + 2 * 4) * N * N  # bytes, with two kernels


@pytest.fixture
def source(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_h5(tmp_path / "a.h5", layer=rng.normal(size=(N, 3, 2, 2)).astype(np.float32))


def free(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - n_bytes, n_bytes))


def command(source: Path, out: Path, *args: object) -> tuple[object, ...]:
    kernels = ("-k", "cosine", "-k", "rbf")
    return ("compute", source, "-o", out, *kernels, "-m", "identity", "--threads", 1, *args)


def test_a_run_without_room_is_refused_before_it_starts(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "o.rsm.h5"
    out.parent.mkdir()
    free(monkeypatch, TILES + OUTPUT - 1)
    message = fail(*command(source, out), out=out)
    assert f"{out} and the tiles" in message
    assert f"{TILES + OUTPUT:,} bytes are needed in {out.parent}" in message
    assert f"{TILES + OUTPUT - 1:,} are free" in message
    assert list(out.parent.iterdir()) == []
    free(monkeypatch, TILES + OUTPUT)
    succeed(*command(source, out))


def test_a_shard_needs_room_for_its_tiles_and_finishing_for_the_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.rsm.h5"
    free(monkeypatch, TILES - 1)
    assert "no room for the tiles" in fail(*command(source, out, "--shard", "1/1"))
    free(monkeypatch, TILES)
    succeed(*command(source, out, "--shard", "1/1"))
    free(monkeypatch, OUTPUT - 1)
    before = snapshot(tmp_path)
    assert f"no room for {out}" in fail("finish", out, "-k", "cosine", "-k", "rbf")
    assert snapshot(tmp_path) == before
    free(monkeypatch, OUTPUT)  # the tiles are there
    succeed(*command(source, out))


def test_a_file_system_that_says_nothing_refuses_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 0)
    succeed(*command(source, tmp_path / "o.rsm.h5"))

    def refuse(_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    succeed(*command(source, tmp_path / "p.rsm.h5"))
