"""No command writes over one of its inputs, whatever name it is given by."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.storage.run_folder import read_run, run_folder_of
from tests.helpers import fail, run, write_h5, write_rsm


@pytest.fixture
def here(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every kind of input, which the tests run in."""
    x = rng.normal(size=(6, 3, 4, 4)).astype(np.float32)
    write_h5(tmp_path / "dump.png", layer=x, labels=np.arange(6) % 2, images=x)
    write_rsm(tmp_path / "rsm.png", {"layer": (y := x.reshape(6, -1)) @ y.T})
    keys = "a,layer_a,b,layer_b,kernel,measure,value\n"
    (tmp_path / "table.png").write_text(f"{keys}x,1,y,1,linear,cka,0.5\n")
    (tmp_path / "labels.csv").write_text("".join(f"{i % 2}\n" for i in range(6)))
    (tmp_path / "run.toml").write_text('matcher = "identity"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "compute dump.png -o OUT": "dump.png",
    "compute dump.png::layer -o OUT": "dump.png",
    "compute dump.png --against rsm.png -o OUT": "rsm.png",
    "compute dump.png --config run.toml -o OUT": "run.toml",
    "compare rsm.png rsm.png -o OUT": "rsm.png",
    "compare rsm.png rsm.png::layer --plot OUT": "rsm.png",
    "evaluate retrieval rsm.png --labels labels.csv -o OUT": "labels.csv",
    "evaluate predictions rsm.png --logits labels.csv -o OUT": "rsm.png",
    "evaluate views rsm.png --views dump.png::labels -o OUT": "dump.png",
    "plot rsm.png -o OUT": "rsm.png",
    "plot rsm.png -o OUT --labels dump.png::labels": "dump.png",
    "plot table.png -o OUT --kind compare": "table.png",
    "plot rsm.png -o OUT --kind retrieved --images dump.png::images --queries 0": "dump.png",
    "report rsm.png -o OUT": "rsm.png",
    "report rsm.png -o OUT --table table.png": "table.png",
    "report rsm.png -o OUT --views dump.png::labels": "dump.png",
    "export rsm.png --to npz -o OUT": "rsm.png",
    "export rsm.png --to npz -o OUT --labels dump.png::labels": "dump.png",
    "pair dump.png 0 1 --matching OUT": "dump.png",
    "pair dump.png 0 1 --plot OUT --images rsm.png": "rsm.png",
    "methods --on dump.png -o OUT": "dump.png",
    "methods --on dump.png::layer --plot OUT": "dump.png",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_an_input_is_refused(command: str, here: Path) -> None:
    source = here / COMMANDS[command]
    before = source.read_bytes()
    link, hard = (here / f"{name}{source.suffix}" for name in ("link", "hard"))
    link.symlink_to(source.name)
    os.link(source, hard)
    for out, overwrite in ((source, []), *((o, ["--overwrite"]) for o in (source, link, hard))):
        words = command.replace("OUT", out.name).split()
        assert f"{out.name} is an input of this command" in fail(*words, *overwrite, out=out)
    assert source.read_bytes() == before


def test_a_part_of_a_virtual_dataset_is_an_input(here: Path) -> None:
    with h5py.File(here / "dump.png") as file, h5py.File(here / "v.h5", "w") as virtual:
        layout = h5py.VirtualLayout(file["layer"].shape, file["layer"].dtype)
        layout[:] = h5py.VirtualSource(file["layer"])
        virtual.create_virtual_dataset("layer", layout)
    before = (here / "dump.png").read_bytes()
    args = ("v.h5", "-o", "dump.png", "--overwrite")
    assert "dump.png is an input of this command" in fail("compute", *args, out=here / "dump.png")
    assert (here / "dump.png").read_bytes() == before


def test_finishing_shards_keeps_the_activations_and_the_tiles(here: Path) -> None:
    assert run("compute", "dump.png", "-o", "o.h5", "--shard", "1/1").exit_code == 0
    before, folder = (here / "dump.png").read_bytes(), run_folder_of(Path("o.h5"))
    for out, why in (
        (Path("dump.png"), "is an input of this command"),
        (folder / "run.json", "would hold the output"),
    ):
        assert why in fail("finish", out, folder, "--overwrite", out=here / out)
    assert (here / "dump.png").read_bytes() == before
    assert read_run(folder) is not None


def test_two_outputs_are_two_files(here: Path) -> None:
    (here / "link.svg").symlink_to("one.svg")
    args = ("compare", "rsm.png", "rsm.png", "-o", "one.svg", "--plot", "link.svg")
    assert "one.svg and link.svg are one file" in fail(*args, out=here / "one.svg")
