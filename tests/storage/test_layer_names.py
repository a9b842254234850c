"""Names of layers that no RSM file can hold: refused before anything is matched."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import fail, succeed


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(4, 3, 2, 2)).astype(np.float32)


def write_npz(path: Path, x: np.ndarray, *names: str) -> Path:
    """Write one array under several names, as np.savez does, whatever they are."""
    content = io.BytesIO()
    np.save(content, x)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", content.getvalue())
    return path


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["."], "a dot"),
        (["b", "a/."], "a dot"),
        (["./a"], "a dot"),
        ([""], "nothing"),
        (["a//b"], "nothing"),
        (["/a"], "nothing"),
        (["a/"], "nothing"),
        (["a", "a/matched"], "'/matched', which is part of another layer"),
        (["a/matched", "b"], "'/matched'"),
        (["a", "a/rsm/cosine"], "'/rsm'"),
    ],
)
def test_a_name_that_no_rsm_file_can_hold(
    names: list[str], says: str, x: np.ndarray, tmp_path: Path
) -> None:
    source = write_npz(tmp_path / "a.npz", x, *names)
    out = tmp_path / "out" / "o.rsm.h5"
    out.parent.mkdir()
    message = fail("compute", source, "-o", out, "-m", "identity", out=out)
    assert says in message
    assert "a.npz: the layer '" in message
    assert list(out.parent.iterdir()) == []


def test_a_name_of_bytes_that_are_no_text(x: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "a.h5"
    with h5py.File(source, "w") as file:
        file[b"\xff"] = x
    message = fail("compute", source, "-o", tmp_path / "o.rsm.h5", "-m", "identity")
    assert message.isascii()
    assert "a.h5" in message


@pytest.mark.parametrize(
    "name", ["..", "../x", "a b", "*", "[x]", "a\nb", "语", "matched", "rsm/a"]
)
def test_other_names_are_stored(name: str, x: np.ndarray, tmp_path: Path) -> None:
    source, out = write_npz(tmp_path / "a.npz", x, name), tmp_path / "o.rsm.h5"
    succeed("compute", source, "-o", out, "-m", "identity", "--threads", 1)
    succeed("compare", out, out, "--measure", "cka")
    with h5py.File(out) as file:
        assert f"layers/{name}/matched" in file
