"""Pipes, sockets and devices as input: refused at once, in one sentence, where reading would never end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import fail, write_h5, write_rsm


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: activations, an RSM, and a pipe into which nobody writes, by several names."""
    monkeypatch.chdir(tmp_path)
    write_h5(tmp_path / "a.h5", layer=rng.normal(size=(6, 3, 4, 4)).astype(np.float32))
    x = rng.normal(size=(6, 5))
    write_rsm(tmp_path / "a.rsm.h5", {"layer": x @ x.T})
    for name in ("pipe", "pipe.csv", "pipe.json", "pipe.toml", "pipe.h5"):
        os.mkfifo(tmp_path / name)
    return tmp_path


COMMANDS = [
    "info pipe",
    "info pipe.h5",
    "compute pipe.h5 -o o.rsm.h5",
    "compute a.h5 --against pipe -o o.rsm.h5",
    "compute a.h5 --config pipe.toml -o o.rsm.h5",
    "pair pipe.h5 0 1",
    "pair a.h5 0 1 --plot o.png --images pipe",
    "methods --on pipe",
    "compare pipe a.rsm.h5",
    "compare a.rsm.h5 pipe.csv",
    "evaluate retrieval a.rsm.h5 --labels pipe.csv",
    "evaluate retrieval a.rsm.h5 --labels pipe::labels",
    "evaluate predictions a.rsm.h5 --logits pipe",
    "evaluate views pipe.h5 --views pipe.csv",
    "plot pipe.h5 -o o.png",
    "plot pipe.json --kind curves -o o.png",
    "plot a.rsm.h5 --labels pipe.csv -o o.png",
    "report pipe.h5 -o o.html",
    "report a.rsm.h5 -o o.html --table pipe.csv",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused_by_every_command(command: str, folder: Path) -> None:
    message = fail(*command.split())
    assert "is a pipe, not a file; save what it gives and name that file" in message
    assert not list(folder.glob("o.*"))


def test_what_a_shell_substitutes_is_a_pipe(folder: Path) -> None:
    reader, writer = os.pipe()
    try:
        assert "is a pipe" in fail("info", f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(name: str, folder: Path) -> None:
    (folder / "l.csv").symlink_to(name)
    assert f"{name} is a device" in fail("info", name)
    assert "l.csv is a device" in fail("evaluate", "views", "a.rsm.h5", "--views", "l.csv")


def test_a_socket_is_refused(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert "s is a socket" in fail("info", "s")


def test_a_run_folder_with_a_pipe_in_it_is_refused(folder: Path) -> None:
    (folder / "o.rsm.h5.run").mkdir()
    os.mkfifo(folder / "o.rsm.h5.run" / "run.json")
    assert "run.json is a pipe" in fail("status", "o.rsm.h5")
