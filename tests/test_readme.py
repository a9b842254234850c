"""The commands of README's "Large runs" do what stands there; scripts/slurm_check runs those of Slurm."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from semrsm.storage.rsm_file import is_rsm_file
from tests.conftest import ROOT
from tests.helpers import fail, succeed, write_h5

README = (ROOT / "README.md").read_text()
SECTION = README.split("\n## Large runs\n")[1].split("\n## ")[0]


def commands() -> list[list[str]]:
    """Return the command lines of semrsm in the section, as a shell would split them."""
    blocks = re.findall(r"^```\n(.*?)^```", SECTION, flags=re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "semrsm"]


def test_the_section_names_what_there_is() -> None:
    flags = {word for words in commands() for word in words if word.startswith("--")}
    assert flags >= {"--workers", "--device", "--shard", "--dask"}
    assert {words[0] for words in commands()} == {"compute", "status", "finish"}
    for script in re.findall(r"`(scripts/\w+(?:\.py)?)`", SECTION):
        assert (ROOT / script).exists()


@pytest.mark.slow
def test_every_command_of_the_section_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    write_h5(tmp_path / "dump.h5", layer=rng.normal(size=(40, 3, 4, 4)).astype(np.float32))
    out = tmp_path / "dump.rsm.h5"
    for words in commands():
        if "--device" in words:  # no GPU, as far as tests can tell
            assert "CUDA" in fail(*words, "--overwrite") or "torch" in fail(*words, "--overwrite")
            continue
        if any("tcp://" in word for word in words):  # tests/compute/test_dask.py has a scheduler
            continue
        if words[0] == "compute" and "--shard" not in words:
            words = [*words, "--overwrite"]
        if words[0] == "finish":
            out.unlink()
        succeed(*words)
    assert is_rsm_file(out)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["dump.h5", "dump.rsm.h5"]
