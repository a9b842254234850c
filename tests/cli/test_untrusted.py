"""`info`, and every command with --untrusted, has its files read by a child first."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.storage import whole_read
from semrsm.storage.activations import open_activations
from semrsm.storage.whole_read import read_whole
from tests.helpers import fail, succeed, write_h5, write_rsm

HOSTILE = "hostile"  # in the name of a file that is deadly to open, as no file of ours can be made


@pytest.fixture(autouse=True)
def deadly_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library crash over some files, but in a child only: here that is an error."""
    here = os.getpid()

    def open_file(path: Path) -> object:
        if HOSTILE in str(path):
            assert os.getpid() != here
            os.kill(os.getpid(), signal.SIGSEGV)
        return open_activations(path)

    for place in ("storage.whole_read", "cli.info", "storage.matrices", "compute.layers"):
        monkeypatch.setattr(sys.modules[f"semrsm.{place}"], "open_activations", open_file)


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(6, 3, 4, 4)).astype(np.float32)
    return write_h5(tmp_path / "dump.h5", layer=x, labels=np.arange(6) % 2, logits=x[:, 0, 0])


@pytest.fixture
def rsm(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(6, 5))
    return write_rsm(tmp_path / "a.rsm.h5", {"layer": x @ x.T})


def test_info_survives_what_the_library_does_not(dump: Path) -> None:
    hostile = dump.rename(dump.with_name(f"{HOSTILE}.h5"))
    message = fail("info", hostile)
    assert f"reading {hostile} ends the process that does it (SIGSEGV): it is damaged" in message


def commands(dump: object, other: object, rsm: object, labels: object) -> list[list[object]]:
    return [
        ["compute", dump, "-o", "OUT.rsm.h5", "--threads", 1],
        ["compute", dump, "--against", other, "-o", "OUT.rsm.h5", "--threads", 1],
        ["compute", f"{dump}::layer", "--dry-run"],
        ["compare", rsm, other, "--measure", "rsa-pearson"],
        ["evaluate", "retrieval", rsm, "--labels", f"{labels}::labels"],
        ["evaluate", "predictions", rsm, "--logits", f"{labels}::logits"],
        ["evaluate", "views", rsm, "--views", f"{labels}::labels"],
        ["plot", rsm, "-o", "OUT.png", "--labels", f"{labels}::labels"],
        ["report", rsm, "-o", "OUT.html", "--labels", f"{labels}::labels"],
        ["pair", dump, 0, 1, "-l", "layer", "--matching", "OUT.npy"],
        ["methods", "--on", f"{dump}::layer", "--pairs", 2, "-m", "identity", "-o", "OUT.csv"],
    ]


@pytest.mark.parametrize("which", range(11))
def test_each_command_reads_its_files_in_a_child_first(
    which: int, dump: Path, rsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = rsm if which == 3 else dump
    succeed(*commands(dump, other, rsm, dump)[which], "--untrusted")
    for path in tmp_path.glob("OUT*"):
        path.unlink()
    hostile = tmp_path / f"{HOSTILE}.h5"
    hostile.write_bytes(other.read_bytes())
    place = [0, 1, 0, 1, 3, 3, 3, 3, 3, 0, 0][which]
    files: list[object] = [dump, other, rsm, dump]
    files[place] = hostile
    message = fail(*commands(*files)[which], "--untrusted")
    assert f"reading {hostile} ends the process that does it (SIGSEGV)" in message
    assert not list(tmp_path.glob("OUT*"))


@pytest.mark.parametrize("kind", ["h5", "npz", "npy"])
def test_what_cannot_be_read_whole_is_refused_before_anything_is_done(
    kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(40, 3, 4, 4))
    path = tmp_path / f"a.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("layer", x.shape, "f4", chunks=(4, 3, 4, 4))[:8] = x[:8]
    elif kind == "npz":
        np.savez_compressed(path, layer=x)
        content = bytearray(path.read_bytes())
        content[-2000:-1900] = bytes(100)
        path.write_bytes(content)
    else:
        np.save(path, x)
        os.truncate(path, 3000)
    args = ("compute", path, "-o", tmp_path / "o.rsm.h5", "--samples", "0:4", "--threads", 1)
    message = fail(*args, "--untrusted")
    assert "hold no values" in message or "damaged or cut short" in message
    if kind == "h5":  # the samples that are meant are there
        succeed(*args)


def test_everything_is_read(
    dump: Path, rsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_read, "BLOCK_BYTES", 500)
    with h5py.File(dump, "r+") as file:
        file["texts"] = ["a", "b"]
        file["one"] = 3.0
        file["nothing"] = np.zeros((0, 3))
        file.create_dataset("references", (3,), h5py.ref_dtype)
    for path in (dump, rsm):
        read_whole(path)
    (tmp_path / "t.json").write_text("[]")
    read_whole(tmp_path / "t.json")
