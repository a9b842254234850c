"""Addresses, where names of folders and files hold "::" themselves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from semrsm.storage.address import address_of
from tests.helpers import fail, succeed, write_h5


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file in a folder, and a file, whose names hold "::"."""
    (tmp_path / "a::b").mkdir()
    for name in ("a::b/x.h5", "y::z.h5", "y"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "path", "layer"),
    [
        ("a::b/x.h5", "a::b/x.h5", None),
        ("a::b/x.h5::layer", "a::b/x.h5", "layer"),
        ("a::b/x.h5::g/layer::1", "a::b/x.h5", "g/layer::1"),
        ("a::b/x.h5::/g/layer/", "a::b/x.h5", "g/layer"),
        ("a::b/x.h5::", "a::b/x.h5", None),
        ("y::z.h5", "y::z.h5", None),
        ("y::z.h5::layer", "y::z.h5", "layer"),
        ("y::layer", "y", "layer"),
        # Nothing is there: the layer begins behind the innermost folder.
        ("no.h5", "no.h5", None),
        ("no.h5::layer", "no.h5", "layer"),
        ("no.h5::g/layer::1", "no.h5", "g/layer::1"),
        ("a::b/no.h5::g/layer", "a::b/no.h5", "g/layer"),
        ("a::b/no.h5", "a::b/no.h5", None),
        ("a::b", "a::b", None),
        ("a::c/no.h5::layer", "a", "c/no.h5::layer"),
    ],
)
def test_the_longest_path_with_a_file_is_meant(
    address: str, path: str, layer: str | None, here: Path
) -> None:
    assert address_of(address) == (Path(path), layer)
    assert address_of(f"{here}{os.sep}{address}") == (here / path, layer)


@pytest.mark.parametrize("address", ["", "::", "::layer", "a\0b::c", "a" * 9000, "::" * 500])
def test_no_address_is_too_odd(address: str) -> None:
    assert isinstance(address_of(address)[0], Path)


def test_every_command_reads_files_in_such_folders(
    here: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    dump = write_h5(here / "a::b" / "dump.h5", g__layer=x, other=x, labels=np.arange(4) % 2)
    out = here / "a::b" / "o.rsm.h5"
    succeed("compute", f"{dump}::g/layer", "-o", out, "--threads", 1, "-m", "identity")
    succeed("compare", f"{out}::g/layer", f"{out}::g/layer", "--measure", "cka")
    succeed("evaluate", "retrieval", out, "--labels", f"{dump}::labels", "--at", 1)
    succeed("pair", f"{dump}::other", 0, 1)
    against = ("--against", f"{dump}::other", "-m", "identity", "--overwrite")
    succeed("compute", f"{dump}::g/layer", "-o", out, *against)
    message = fail("compute", f"{dump.parent}/no.h5::layer", "-o", out, "--overwrite")
    assert f"{dump.parent}/no.h5 does not exist" in message
