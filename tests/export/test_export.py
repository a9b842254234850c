"""Exports are read again by the tools that they are for, with every value, id and label."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.spatial.distance import squareform

import semrsm
from semrsm.export import content, libraries
from semrsm.export.targets import TARGETS
from semrsm.rsms import open_rsms
from tests.helpers import fail, succeed, write_rsm

IDS = ["a.png", "größe", "c,d", "e", "f", "g", "h"]
LABELS = ["cat", "dog", "cat", "owl", "owl", "dog", "cat"]
LAYERS = ("block/1", "block/2")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(41)


@pytest.fixture
def file(tmp_path: Path, rng: np.random.Generator) -> Path:
    """An RSM file of two layers, with ids, cosine and linear stored."""
    layers = {}
    for name in LAYERS:
        x = rng.normal(size=(7, 5))
        layers[name] = x @ x.T
    return write_rsm(tmp_path / "a.rsm.h5", layers, IDS, kernels=("cosine", "linear"))


@pytest.fixture
def rectangular(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_rsm(tmp_path / "r.rsm.h5", {"l": rng.normal(size=(4, 6))}, kernels=("linear",))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two rows, of which the last one has one."""
    monkeypatch.setattr("semrsm.rsms.BLOCK", 15)


def similarities(file: Path, layer: str, kernel: str = "cosine") -> np.ndarray:
    return semrsm.read_rsm(file, layer, kernel)[0]


def distances(file: Path, layer: str) -> np.ndarray:
    [rsm] = open_rsms(f"{file}::{layer}", kernel="cosine", stored=False)
    far = 1 - rsm.values()
    np.fill_diagonal(far, 0)
    return far


def out_of(tmp_path: Path, to: str) -> Path:
    return tmp_path / f"out{TARGETS[to].suffixes[0]}"


def needs(to: str) -> None:
    if library := TARGETS[to].library:
        pytest.importorskip(library, reason=f"{library} is not installed (extra export)")


@pytest.mark.usefixtures("small_blocks")
def test_npy(file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "npy")
    found = semrsm.export(file, out, to="npy", layer="block/2")
    np.testing.assert_array_equal(np.load(out), similarities(file, "block/2"))
    assert found[0]["values"] == "cosine"
    assert "keeps no ids" in found.notes[0]


@pytest.mark.usefixtures("small_blocks")
def test_npz_is_read_by_numpy_and_by_this_tool(file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "npz")
    semrsm.export(file, out, to="npz", labels=LABELS)
    with np.load(out, allow_pickle=False) as arrays:
        assert set(arrays) == {*LAYERS, "samples", "labels"}
        assert arrays["samples"].tolist() == IDS
        assert arrays["labels"].tolist() == LABELS
        for layer in LAYERS:
            np.testing.assert_array_equal(arrays[layer], similarities(file, layer))
    [again] = open_rsms(f"{out}::block/1")
    assert again.samples == IDS
    np.testing.assert_array_equal(again.values(), similarities(file, "block/1"))
    assert semrsm.evaluate_retrieval(f"{out}::block/1", labels=f"{out}::labels")


@pytest.mark.usefixtures("small_blocks")
def test_csv_is_read_by_this_tool_and_by_pandas(file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "csv")
    semrsm.export(file, out, to="csv", layer="block/1", kernel="linear")
    [again] = open_rsms(out)
    assert again.samples == IDS
    expected = similarities(file, "block/1", "linear")
    np.testing.assert_array_equal(again.values().astype(np.float32), expected)
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.read_csv(out, index_col=0)
    assert list(table.index) == list(table.columns) == IDS
    np.testing.assert_array_equal(table.to_numpy(np.float32), expected)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
def test_csv_of_a_matrix_without_ids(
    shape: tuple[int, int], tmp_path: Path, rng: np.random.Generator
) -> None:
    matrix = rng.normal(size=shape) * 1e-30
    semrsm.export(matrix, tmp_path / "m.csv", to="csv")
    [again] = open_rsms(tmp_path / "m.csv")
    np.testing.assert_array_equal(again.values(), matrix)
    assert again.samples is None


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layers", [LAYERS, LAYERS[:1]])
def test_mat(layers: tuple[str, ...], file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "mat")
    semrsm.export(file, out, to="mat", layer=layers, labels=LABELS)
    found = loadmat(out)
    expected = np.stack([similarities(file, layer) for layer in layers], axis=2)
    np.testing.assert_array_equal(found["rsm"].reshape(expected.shape), expected)
    texts = {k: [str(c[0]) for c in found[k].ravel()] for k in ("layers", "samples", "labels")}
    assert texts == {"layers": list(layers), "samples": IDS, "labels": LABELS}


@pytest.mark.usefixtures("small_blocks")
def test_parquet(file: Path, tmp_path: Path) -> None:
    needs("parquet")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    out = out_of(tmp_path, "parquet")
    semrsm.export(file, out, to="parquet", labels=LABELS)
    table = pandas.read_parquet(out)
    assert len(table) == 2 * 28
    for row in table.itertuples():
        assert row.value == similarities(file, row.layer)[row.i, row.j]
        assert (row.sample_i, row.sample_j) == (IDS[row.i], IDS[row.j])
        assert (row.label_i, row.label_j) == (LABELS[row.i], LABELS[row.j])
    assert set(zip(table.i, table.j, strict=True)) == set(
        itertools.combinations_with_replacement(range(7), 2)
    )
    assert set(table.matcher) == {"optimal"}


def test_parquet_of_a_rectangular_rsm_has_every_entry(rectangular: Path, tmp_path: Path) -> None:
    needs("parquet")
    from pyarrow import parquet

    semrsm.export(rectangular, tmp_path / "r.parquet", to="parquet")
    table = parquet.read_table(tmp_path / "r.parquet")
    values = table["value"].to_numpy().reshape(4, 6)
    np.testing.assert_array_equal(values, semrsm.read_rsm(rectangular, kernel="linear")[0])


@pytest.mark.usefixtures("small_blocks")
def test_rsatoolbox(file: Path, tmp_path: Path) -> None:
    load_rdm = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed").load_rdm
    out = out_of(tmp_path, "rsatoolbox")
    semrsm.export(file, out, to="rsatoolbox", labels=LABELS)
    found = load_rdm(str(out))
    assert found.n_rdm == 2
    assert list(found.rdm_descriptors["layer"]) == list(LAYERS)
    assert list(found.pattern_descriptors["sample"]) == IDS
    assert list(found.pattern_descriptors["label"]) == LABELS
    assert found.dissimilarity_measure == "1 - cosine"
    for layer, matrix in zip(LAYERS, found.get_matrices(), strict=True):
        np.testing.assert_allclose(matrix, distances(file, layer), atol=1e-12)
    subset = found.subset_pattern("label", "cat")
    assert subset.n_cond == 3


def test_rsatoolbox_as_its_file_is_documented(file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "rsatoolbox")
    semrsm.export(file, out, to="rsatoolbox")
    with h5py.File(out) as found:
        assert found["dissimilarities"].shape == (2, 21)
        np.testing.assert_allclose(
            squareform(found["dissimilarities"][1]), distances(file, "block/2"), atol=1e-12
        )
        assert found["pattern_descriptors"].attrs["sample"].tolist() == IDS  # not all are ASCII
        assert [t.decode() for t in found["rdm_descriptors/layer"]] == list(LAYERS)


@pytest.mark.usefixtures("small_blocks")
def test_net2brain(file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "net2brain")
    semrsm.export(file, out, to="net2brain", layer="block/1")
    with np.load(out, allow_pickle=False) as found:
        assert set(found) == {"rdm", "stimuli_name", "layer_name"}
        np.testing.assert_allclose(squareform(found["rdm"]), distances(file, "block/1"), atol=1e-12)
        assert found["stimuli_name"].tolist() == IDS
        assert found["layer_name"].item() == "block/1"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kernel", ["cosine", "linear", "rbf"])
def test_condensed(kernel: str, file: Path, tmp_path: Path) -> None:
    out = out_of(tmp_path, "condensed")
    semrsm.export(file, out, to="condensed", layer="block/1", kernel=kernel)
    s = similarities(file, "block/1", kernel).astype(np.float64)
    norms = s.diagonal()
    expected = norms[:, None] + norms - 2 * s if kernel == "linear" else 1 - s
    np.testing.assert_allclose(squareform(np.load(out)), expected, rtol=1e-5, atol=1e-5)
    semrsm.export(
        *(file, out), to="condensed", layer="block/1", values="similarities", overwrite=True
    )
    expected = similarities(file, "block/1")[np.triu_indices(7, 1)]
    np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.usefixtures("small_blocks")
def test_zarr(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("zarr")
    import zarr

    monkeypatch.setattr(libraries, "CHUNK", 90)  # three rows
    out = out_of(tmp_path, "zarr")
    for _ in range(2):
        semrsm.export(file, out, to="zarr", labels=LABELS, overwrite=True)
    group = zarr.open_group(out, mode="r")
    assert dict(group.attrs) == {"samples": IDS, "labels": LABELS}
    for layer in LAYERS:
        np.testing.assert_array_equal(group[layer][:], similarities(file, layer))
        assert group[layer].attrs["kernel"] == "cosine"
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    with pytest.raises(semrsm.SemrsmError, match="exists; replace it"):
        semrsm.export(file, out, to="zarr")
    other = tmp_path / "home.zarr"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(semrsm.SemrsmError, match="folder of something else"):
        semrsm.export(file, other, to="zarr", overwrite=True)
    assert (other / "thesis.tex").exists()


@pytest.mark.parametrize("to", [t.name for t in TARGETS.values() if t.rectangular])
def test_rectangular_rsms(to: str, rectangular: Path, tmp_path: Path) -> None:
    needs(to)
    out = out_of(tmp_path, to)
    [record] = semrsm.export(rectangular, out, to=to)
    assert (record["rows"], record["columns"]) == (4, 6)
    if to in ("npy", "npz", "csv"):
        [again] = open_rsms(out)
        assert again.shape == (4, 6)


@pytest.mark.parametrize("to", TARGETS)
def test_equal_content_is_equal_bytes(to: str, file: Path, tmp_path: Path) -> None:
    needs(to)
    if TARGETS[to].folder or to in ("rsatoolbox", "mat"):
        pytest.skip("its library writes the time")
    out = out_of(tmp_path, to)
    semrsm.export(file, out, to=to, layer="block/1")
    first = out.read_bytes()
    semrsm.export(file, out, to=to, layer="block/1", overwrite=True)
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": "parqet"}, "did you mean 'parquet'"),
        ({"to": "npy"}, r"holds one RSM and there are 2 layers: block/1, block/2"),
        ({"to": "npz", "out": "out.npy"}, r"npz is read from \.npz"),
        ({"to": "rsatoolbox", "values": "similarities"}, "rsatoolbox holds distances"),
        ({"to": "npz", "values": "angles"}, "holds similarities or distances, not 'angles'"),
        ({"to": "csv", "layer": "block/1", "labels": LABELS}, "csv keeps no labels"),
        ({"to": "npz", "labels": LABELS[:3]}, "3 rows and .* has 7"),
        ({"to": "npz", "layer": "block/3"}, "there is no layer 'block/3'"),
        ({"to": "npz", "kernel": "cosin"}, "did you mean 'cosine'"),
        ({"to": "npz", "out": "no/out.npz"}, "does not exist"),
        ({"to": "mat", "memory": 1024}, r"writing 2 RSMs of 7 x 7 as mat needs \d+ KiB"),
        ({"to": "npz", "memory": 1024}, r"needs \d+ KiB and `memory` grants"),
    ],
)
def test_what_cannot_be_written(
    options: dict[str, Any], says: str, file: Path, tmp_path: Path
) -> None:
    options = dict(options)
    to = options.pop("to")
    suffix = TARGETS[to].suffixes[0] if to in TARGETS else ".npy"
    out = tmp_path / options.pop("out", f"out{suffix}")
    with pytest.raises(semrsm.SemrsmError, match=says):
        semrsm.export(file, out, to=to, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.rsm.h5"]


def test_rectangular_or_plain_without_distances(rectangular: Path, tmp_path: Path) -> None:
    for given, says in (
        (rectangular, "need the norms"),
        (np.ones((3, 3)) * 2, "diagonal is not 1"),
    ):
        with pytest.raises(semrsm.SemrsmError, match=says):
            semrsm.export(given, tmp_path / "x.npy", to="npy", values="distances")
    for to in ("rsatoolbox", "net2brain", "condensed"):
        with pytest.raises(semrsm.SemrsmError, match="is rectangular, 4 x 6"):
            semrsm.export(rectangular, out_of(tmp_path, to), to=to)


def test_a_mat_file_has_a_largest_size(file: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from semrsm.export.run import _check_rsms

    small = replace(TARGETS["mat"], most_bytes=500)
    with pytest.raises(semrsm.SemrsmError, match="take up to 784 bytes and mat holds 500"):
        _check_rsms(small, open_rsms(file))


def test_a_missing_library_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for to in ("parquet", "zarr"):
        with pytest.raises(
            semrsm.SemrsmError, match=rf"{to} needs .* pip install 'semrsm\[export\]'"
        ):
            semrsm.export(file, out_of(tmp_path, to), to=to)


@pytest.mark.parametrize("to", TARGETS)
def test_a_failure_leaves_what_was_there(
    to: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(to)
    out = out_of(tmp_path, to)
    semrsm.export(file, out, to=to, layer="block/1")
    before = sorted(p for p in tmp_path.rglob("*"))

    def fails(self: object) -> Callable:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(content.ExportedRsm, "blocks", fails)
    monkeypatch.setattr(content.ExportedRsm, "condensed", fails)
    with pytest.raises(semrsm.SemrsmError, match="cannot be written"):
        semrsm.export(file, out, to=to, layer="block/2", overwrite=True)
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_the_command(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    done = succeed("export", file, "--to", "npz", "-o", out, "--json")
    records = json.loads(done.stdout)
    assert [r["layer"] for r in records] == list(LAYERS)
    assert f"wrote {out}" in done.stderr
    assert "exists; replace it with --overwrite" in fail("export", file, "--to", "npz", "-o", out)
    assert "is an input" in fail("export", out, "--to", "npz", "-o", out, "--overwrite")
    assert "choose one with --layer" in fail(
        "export", file, "--to", "npy", "-o", tmp_path / "o.npy"
    )
    table = succeed("export", file, "--to", "csv", "-o", tmp_path / "o.csv", "-l", "block/1").stdout
    assert table.splitlines()[0] == "output\tlayer\tmatcher\tkernel\tvalues\trows\tcolumns"


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_page_has_every_target(target: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    assert f"`{target.name}`" in page
    assert target.read_by in page


def test_many_ids_of_any_letters(tmp_path: Path) -> None:
    load_rdm = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed").load_rdm
    from semrsm.storage.rdm_file import write_rdms

    ids = [f"größe {i}" for i in range(5000)]
    write_rdms(tmp_path / "many.h5", [], 5000, "x", {}, {"sample": ids})
    assert list(load_rdm(str(tmp_path / "many.h5")).pattern_descriptors["sample"]) == ids
