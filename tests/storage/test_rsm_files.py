"""The RSM file: what is written is what FORMAT.md says, and is read back."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm.errors import SemrsmError
from semrsm.storage import rsm_writer
from semrsm.storage.rsm_file import LayerInfo, is_rsm_file, open_rsm
from semrsm.storage.rsm_writer import Stream, writing
from tests.helpers import write_h5, write_rsm

FORMAT = (Path(semrsm.__file__).parent / "storage" / "FORMAT.md").read_text()
TREE = FORMAT.split("```")[1]


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """A symmetric and a rectangular RSM file with everything that one may hold."""
    x = rng.normal(size=(5, 3, 2, 2)).astype(np.float32)
    source = write_h5(tmp_path / "a.h5", g__layer=x, samples=np.arange(5))
    kernels = ["linear", "cosine", "rbf"]
    semrsm.compute(source, tmp_path / "s.rsm.h5", kernel=kernels, threads=1, certify=True)
    semrsm.compute(source, tmp_path / "r.rsm.h5", kernel=kernels, against=str(source), threads=1)
    return tmp_path / "s.rsm.h5", tmp_path / "r.rsm.h5"


def written(paths: tuple[Path, ...]) -> dict[str, set[str]]:
    """Return every attribute and dataset of the files by what kind of thing it is in."""
    found: dict[str, set[str]] = {"root": set(), "layer": set(), "kernel": set(), "dataset": set()}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            kernel = "/rsm/" in name
            found["dataset"].add("<kernel>" if kernel else name.rpartition("/")[2])
            found["kernel"] |= set(item.attrs)
        else:
            found["layer"] |= set(item.attrs)

    for path in paths:
        with h5py.File(path) as file:
            found["root"] |= set(file.attrs)
            file.visititems(visit)
    return found


def test_what_is_written_is_what_the_format_says(files: tuple[Path, Path]) -> None:
    found = written(files)
    attributes = re.findall(r"^[│ ]*(\w+) +attribute", TREE, re.MULTILINE)
    names = re.findall(r"[├└]─ (.+?)  +\(", TREE)
    datasets = [name for listed in names for name in listed.split(", ")]
    assert sorted(attributes) == sorted([*found["root"], *found["layer"], *found["kernel"]])
    assert sorted(datasets) == sorted(found["dataset"])


def test_the_metadata_is_what_the_format_says(files: tuple[Path, Path]) -> None:
    said = set(
        re.findall(r"`(\w+)`", FORMAT.split("`metadata` is a JSON object:")[1].split("\n\n")[0])
    )
    for path in files:
        with open_rsm(path) as file:
            activations = set(file.metadata["activations"])
            taken = set(file.metadata["taken"])
            assert set(file.metadata) | activations | taken == said
            against = file.metadata["against"]
            assert against is None or set(against) == activations
            parameters = file.layer().parameters
            assert set(parameters) >= {"solver", "device", "seconds", "pairs", "fingerprint"}


def test_shapes_types_and_the_diagonal(files: tuple[Path, Path]) -> None:
    with h5py.File(files[0]) as file:
        layer = file["layers/g/layer"]
        assert layer["matched"].dtype == np.float64
        assert layer["rsm/rbf"].dtype == np.float32
        np.testing.assert_array_equal(layer["matched"][:], layer["matched"][:].T)
        np.testing.assert_array_equal(layer["matched"][:].diagonal(), layer["squared_norm"][:])
        assert (layer["rsm/rbf"][:].diagonal() == 1).all()
        assert list(file["samples"].asstr()) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("matcher", ["identity", "optimal"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_diagonal_is_exactly_the_squared_norm_in_any_tiling(
    matcher: str, dtype: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    source = write_h5(tmp_path / "a.h5", layer=rng.normal(size=(9, 61, 5, 7)).astype(dtype))
    for memory in ("1GB", "300kB"):
        out = tmp_path / f"{memory}.rsm.h5"
        options = {"kernel": ["rbf", "cosine"], "threads": 1, "matcher": matcher, "memory": memory}
        semrsm.compute(source, out, **options)
        with open_rsm(out) as file:
            diagonal = file.matched("layer")[:].diagonal()
            np.testing.assert_array_equal(diagonal, file.squared_norms("layer")[0])
            for kernel in ("rbf", "cosine"):
                stored = file.kernel("layer", kernel)
                assert stored is not None
                assert (stored[:].diagonal() == 1).all()


@pytest.mark.parametrize(
    ("matcher", "certify"), [("pool", False), ("pool", True), ("maxsim", False)]
)
def test_the_diagonal_of_a_bound_is_its_own_in_any_tiling(
    matcher: str, certify: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(9, 61, 5, 7)).astype(np.float32)
    source = write_h5(tmp_path / "a.h5", layer=x)
    for memory in ("1GB", "300kB"):
        out = tmp_path / f"{memory}.rsm.h5"
        options = {"kernel": ["linear"], "threads": 1, "matcher": matcher, "memory": memory}
        semrsm.compute(source, out, certify=certify, **options)
        with open_rsm(out) as file:
            m, norms = file.matched("layer")[:], file.squared_norms("layer")[0]
            affinity = np.einsum("ics,ict->ist", *(x.reshape(9, 61, 35).astype(np.float64),) * 2)
            own = {"pool": affinity.mean((1, 2)) * 35, "maxsim": affinity.max(2).sum(1)}[matcher]
            np.testing.assert_allclose(m.diagonal(), own, rtol=1e-4)
            np.testing.assert_allclose(norms, (x.astype(np.float64) ** 2).sum((1, 2, 3)))
            kept = file.kernel("layer", "linear")
            assert kept is not None
            np.testing.assert_allclose(kept[:].diagonal(), own, rtol=1e-4)
            if certify:
                bound = file.matrices("layer")["upper_bound"][:]
                assert (bound >= m).all()
                np.testing.assert_array_equal(bound.diagonal(), norms)


def test_a_fingerprint_names_the_content(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3, 2, 2)).astype(np.float32)

    def fingerprint(array: np.ndarray, **options: object) -> str:
        source, out = write_h5(tmp_path / "a.h5", layer=array), tmp_path / "o.rsm.h5"
        semrsm.compute(source, out, overwrite=True, matcher="identity", **options)
        return semrsm.read_rsm(out)[1]["metadata"]["activations"]["fingerprint"]

    assert fingerprint(x) == fingerprint(x, memory="20kB")
    assert len({fingerprint(a) for a in (x, x + 1, x.reshape(5, 3, 4), x.astype("f8"), x[:4])}) == 5


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_a_kernel_that_is_not_stored_is_finished_the_same(
    kernel: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(6, 3, 2, 2)).astype(np.float32)
    source = write_h5(tmp_path / "a.h5", layer=x)
    stored = {}
    for name in ("linear", "cosine", "rbf"):
        semrsm.compute(source, tmp_path / f"{name}.rsm.h5", kernel=name, threads=1)
        stored[name] = semrsm.read_rsm(tmp_path / f"{name}.rsm.h5", kernel=kernel)
    for rsm, about in stored.values():
        np.testing.assert_allclose(rsm, stored[kernel][0], rtol=1e-6)
        assert about["sigma"] == stored[kernel][1]["sigma"]
    assert stored[kernel][0].dtype == np.float32


def test_another_sigma_finishes_rbf_anew(files: tuple[Path, Path]) -> None:
    for path in files:
        median, about = semrsm.read_rsm(path, kernel="rbf")
        wide, other = semrsm.read_rsm(path, kernel="rbf", sigma=2 * about["sigma"])
        assert other["sigma"] == 2 * about["sigma"]
        np.testing.assert_allclose(wide**4, median, rtol=1e-5)


def test_names_that_are_not_there(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SemrsmError, match=r"no layer 'g/layr': did you mean 'g/layer'"):
        semrsm.read_rsm(files[0], "g/layr")
    with pytest.raises(SemrsmError, match="no kernel 'cosin'"):
        semrsm.read_rsm(f"{files[0]}::g/layer", kernel="cosin")
    with pytest.raises(SemrsmError, match=r"is HDF5 but no RSM file"):
        semrsm.read_rsm(tmp_path / "a.h5")
    with pytest.raises(SemrsmError, match="does not exist"):
        semrsm.read_rsm(tmp_path / "no.h5")


def test_a_folder_is_no_rsm_file(tmp_path: Path) -> None:
    # The library's own words for it take two lines, and name an address in memory.
    with pytest.raises(SemrsmError, match=r"^\S+ is a folder; name an RSM file in it$"):
        semrsm.read_rsm(tmp_path, "layer")


def test_a_file_of_a_newer_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "o.rsm.h5"
    monkeypatch.setattr(rsm_writer, "FORMAT_VERSION", "2")
    write_rsm(path, {"a": np.eye(3)})
    with pytest.raises(SemrsmError, match=r"version 2 and this semrsm reads 1; update"):
        semrsm.read_rsm(path)


INFO = LayerInfo("a", "identity", "nd", 1, 1, 3, 3, "symmetric")


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail_within() -> None:
        with writing(tmp_path / "o.rsm.h5") as writer:
            writer.layer(INFO).write_matched(0, np.zeros((3, 3)))
            [partial] = tmp_path.iterdir()
            assert partial.name.endswith(".partial")
            assert not is_rsm_file(partial)
            raise ValueError("the block failed")

    with pytest.raises(ValueError, match="the block failed"):
        fail_within()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails_at", range(11))
def test_a_write_that_fails_is_told_and_leaves_nothing(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at one call after another, closing included."""
    calls = iter(range(1000))

    class Full(Stream):
        def check(self) -> None:
            if next(calls) >= fails_at and self.failure is None:
                self.failure = OSError(28, "No space left on device")
            super().check()

    def write() -> None:
        with writing(tmp_path / "o.rsm.h5") as writer:
            layer = writer.layer(INFO)
            for row in range(3):
                layer.write_matched(row, np.zeros((1, 3)))
            layer.write_squared_norms(np.zeros(3), np.zeros(3))
            layer.create_kernel("linear", None)
            layer.write_kernel("linear", 0, np.zeros((3, 3)))

    monkeypatch.setattr(rsm_writer, "Stream", Full)
    if fails_at < 7:
        with pytest.raises(SemrsmError, match=r"cannot be written \(No space left on device\)"):
            write()
        assert list(tmp_path.iterdir()) == []
    else:
        write()
        assert is_rsm_file(tmp_path / "o.rsm.h5")
