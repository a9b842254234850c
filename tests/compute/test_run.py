"""From a file to a file: options, tiles, sides, layouts, and what is recorded."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm import SemrsmError
from semrsm.compute import grid
from semrsm.engine.matchers import MATCHERS
from semrsm.storage.activations import open_activations
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import scipy_matched, succeed, vectors, write_h5


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.4, 1, size=(9, 5, 4, 6)).astype(np.float32)


def computed(path: Path, **options: object) -> dict[str, np.ndarray]:
    """Return every matrix of the RSM file of a run."""
    out = path.with_suffix(".rsm.h5")
    semrsm.compute(path, out, overwrite=True, **{"threads": 1, **options})
    found: dict[str, np.ndarray] = {}
    with h5py.File(out) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("matcher", ["identity", "optimal"])
@pytest.mark.parametrize("against", [False, True])
def test_many_tiles_and_threads_give_what_one_gives(
    matcher: str, against: bool, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_h5(tmp_path / "a.h5", a=x, b=x[:, :2])
    other = write_h5(tmp_path / "b.h5", a=x[:4] + 1, b=x[3:7, :2])
    options = {"matcher": matcher, "kernel": ["linear", "cosine", "rbf"], "dtype": "float64"}
    if against:
        options["against"] = str(other)
    one = computed(path, **options)
    for block in (1, 2, 4, 8):
        monkeypatch.setattr(grid, "LARGEST_EDGE", block)
        assert_same(computed(path, **options), one, 1e-12)
    assert_same(computed(path, **options, threads=2), one, 1e-12)
    assert_same(computed(path, **options | {"dtype": "float32"}), one, 2e-5)


def test_little_memory_makes_the_same_tiles_and_the_same_file(
    x: np.ndarray, tmp_path: Path
) -> None:
    path = write_h5(tmp_path / "a.h5", a=np.tile(x, (5, 1, 1, 1)))
    one = computed(path, matcher="identity", dtype="float64")
    needed = []
    for memory in ("1MB", "200kB", "80kB"):
        args = ("-m", "identity", "--memory", memory, "--dtype", "float64", "--json")
        [layer] = json.loads(succeed("compute", path, "--dry-run", *args).stdout)["layers"]
        assert layer["tiles"] == 1
        needed.append(layer["bytes_needed"])
        assert_same(computed(path, matcher="identity", dtype="float64", memory=memory), one, 1e-12)
    assert needed[0] <= 1_000_000
    assert needed[1] <= 200_000
    assert needed[2] <= 80_000


@pytest.mark.parametrize("matcher", ["identity", "optimal"])
def test_a_file_against_itself_and_another(matcher: str, x: np.ndarray, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", a=x)
    symmetric = computed(path, matcher=matcher)["layers/a/matched"]
    itself = computed(path, matcher=matcher, against=str(path))
    np.testing.assert_allclose(itself["layers/a/matched"], symmetric, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(
        itself["layers/a/row_squared_norm"], itself["layers/a/column_squared_norm"]
    )
    other = write_h5(tmp_path / "b.h5", c=x[2:5])
    rows = computed(path, matcher=matcher, against=f"{other}::c")
    np.testing.assert_allclose(rows["layers/a/matched"], symmetric[:, 2:5], rtol=1e-5, atol=1e-4)
    assert rows["layers/a/rsm/cosine"].shape == (9, 3)


def test_a_npy_against_another_needs_no_name(x: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x[2:5])
    found = computed(tmp_path / "a.npy", matcher="identity", against=str(tmp_path / "b.npy"))
    flat = x.reshape(9, -1).astype(np.float64)
    np.testing.assert_allclose(found["layers/a/matched"], flat @ flat[2:5].T, rtol=1e-6)


def test_the_median_of_a_rectangular_rsm_is_over_all_entries(x: np.ndarray, tmp_path: Path) -> None:
    path, other = write_h5(tmp_path / "a.h5", a=x[:4]), write_h5(tmp_path / "b.h5", a=x[4:7])
    out = tmp_path / "o.rsm.h5"
    for against, pairs in ((None, 6), (str(other), 12)):
        report = semrsm.compute(path, out, against=against, kernel="rbf", overwrite=True, threads=1)
        y = vectors(x)
        columns = y[4:7] if against else y[:4]
        d2 = [
            (a**2).sum() + (b**2).sum() - 2 * scipy_matched(a, b)
            for i, a in enumerate(y[:4])
            for b in (columns if against else columns[i + 1 :])
        ]
        assert report.layers[0].pairs == len(d2) == pairs
        assert report.layers[0].sigma == pytest.approx(np.sqrt(np.sort(d2)[(pairs - 1) // 2]))


LAYOUTS = {
    "nchw": lambda x: x,
    "nhwc": lambda x: x.transpose(0, 2, 3, 1),
    "ntd": lambda x: vectors(x).astype(np.float32),
    "ndt": lambda x: x.reshape(*x.shape[:2], -1),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("told", ["flag", "attribute"])
@pytest.mark.parametrize("matcher", ["identity", "optimal"])
def test_layouts_are_transposes(
    layout: str, told: str, matcher: str, x: np.ndarray, tmp_path: Path
) -> None:
    path = write_h5(tmp_path / "a.h5", a=LAYOUTS[layout](x))
    if told == "attribute":
        with h5py.File(path, "r+") as file:
            file["a"].attrs["layout"] = layout
    given = {"layout": layout} if told == "flag" else {}
    found = computed(path, matcher=matcher, kernel="linear", **given)
    expected = semrsm.rsm(x, matcher, "linear", threads=1)
    np.testing.assert_allclose(found["layers/a/matched"], expected, rtol=1e-12)
    with open_rsm(tmp_path / "a.rsm.h5") as rsm:
        info = rsm.layer()
        assert (info.layout, info.n_positions, info.n_channels) == (layout, 24, 5)


VOLUMES = {
    "ncdhw": lambda x: x,
    "ndhwc": lambda x: x.transpose(0, 2, 3, 4, 1),
}


@pytest.mark.parametrize("layout", list(VOLUMES))
@pytest.mark.parametrize("matcher", [m.name for m in MATCHERS.values() if not m.needs_plane])
def test_positions_of_a_volume_are_matched_as_those_of_a_plane(
    layout: str, matcher: str, x: np.ndarray, tmp_path: Path
) -> None:
    path = write_h5(tmp_path / "a.h5", a=VOLUMES[layout](x.reshape(9, 5, 2, 2, 6)))
    given = {"layout": layout} if layout != "ncdhw" else {}
    found = computed(path, matcher=matcher, kernel="linear", **given)
    expected = semrsm.rsm(x.reshape(9, 5, 4, 6), matcher, "linear", threads=1)
    np.testing.assert_allclose(found["layers/a/matched"], expected, rtol=1e-12)
    with open_rsm(tmp_path / "a.rsm.h5") as rsm:
        assert (rsm.layer().layout, rsm.layer().n_positions) == (layout, 24)


def test_volumes_are_pooled_and_planes_are_what_shift_needs(x: np.ndarray, tmp_path: Path) -> None:
    volumes = x.reshape(9, 5, 2, 2, 6)
    path = write_h5(tmp_path / "a.h5", a=volumes)
    found = computed(path, pool="2x1x3", kernel="linear")["layers/a/matched"]
    pooled = volumes.reshape(9, 5, 2, 2, 3, 2).mean((3, 5)).reshape(9, 5, 2, 3)
    np.testing.assert_allclose(found, semrsm.rsm(pooled, kernel="linear"), rtol=1e-5, atol=1e-5)
    says = r"a\.h5::a: the matcher shift needs a grid of positions in a plane and layout 'ncdhw' has none"
    with pytest.raises(SemrsmError, match=says):
        semrsm.compute(path, tmp_path / "s.rsm.h5", matcher="shift")


def test_a_vector_is_one_position(x: np.ndarray, tmp_path: Path) -> None:
    flat = x.reshape(9, -1)
    found = computed(write_h5(tmp_path / "a.h5", a=flat), kernel="linear")["layers/a/matched"]
    np.testing.assert_allclose(found, flat.astype("f8") @ flat.T.astype("f8"), rtol=1e-6, atol=1e-4)


def test_pooling_is_the_mean_over_parts_of_the_grid(x: np.ndarray, tmp_path: Path) -> None:
    pooled = x.reshape(9, 5, 2, 2, 3, 2).mean(axis=(3, 5))
    found = computed(write_h5(tmp_path / "a.h5", a=x), pool="2x3", kernel="linear")
    expected = semrsm.rsm(pooled, kernel="linear")
    np.testing.assert_allclose(found["layers/a/matched"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["ntd", "ndt"])
def test_skipped_tokens_do_not_count(layout: str, x: np.ndarray, tmp_path: Path) -> None:
    tokens = vectors(x).astype(np.float32)
    stored = tokens if layout == "ntd" else tokens.transpose(0, 2, 1)
    path = write_h5(tmp_path / "a.h5", a=stored)
    exact = {"kernel": "linear", "dtype": "float64"}
    found = computed(path, skip_tokens=3, layout=layout, **exact)["layers/a/matched"]
    np.testing.assert_allclose(found, semrsm.rsm(tokens[:, 3:], **exact), rtol=1e-12)


@pytest.mark.parametrize("samples", ["2:8", "::3", "-4:", "1:-2:2", ":1"])
def test_samples_are_chosen_as_slices_are(samples: str, x: np.ndarray, tmp_path: Path) -> None:
    ids = np.arange(100, 109)
    path = write_h5(tmp_path / "a.h5", a=x, samples=ids)
    chosen = slice(*(int(p) if p else None for p in samples.split(":")))
    found = computed(path, samples=samples, kernel="linear", matcher="identity", memory="60kB")
    expected = semrsm.rsm(x[chosen], "identity", "linear")
    np.testing.assert_allclose(found["layers/a/matched"], expected, rtol=1e-12)
    assert [int(i) for i in found["samples"]] == ids[chosen].tolist()


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed"])
def test_numpy_files_give_what_hdf5_gives(kind: str, x: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / ("a.npy" if kind == "npy" else "a.npz")
    if kind == "npy":
        np.save(path, np.asfortranarray(x))
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, a=x)
    found = computed(path, kernel="linear")
    assert_same(found, computed(write_h5(tmp_path / "b.h5", a=x), kernel="linear"), 1e-12)


def test_bfloat16_by_flag(x: np.ndarray, tmp_path: Path) -> None:
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    path, out = write_h5(tmp_path / "a.h5", a=bits), tmp_path / "o.rsm.h5"
    succeed("compute", path, "-o", out, "--bfloat16", "-k", "linear", "--threads", 1)
    cut = (bits.astype(np.uint32) << 16).view(np.float32)
    stored = semrsm.read_rsm(out, kernel="linear")[0]
    np.testing.assert_allclose(stored, semrsm.rsm(cut, kernel="linear"), rtol=1e-6)


def test_a_run_file_is_as_good_as_flags_and_flags_win(x: np.ndarray, tmp_path: Path) -> None:
    path, run_file = write_h5(tmp_path / "a.h5", a=x, b=x[:, :2]), tmp_path / "run.toml"
    run_file.write_text(
        'layer = ["a"]\nmatcher = "identity"\nkernel = "rbf"\nsigma = 3\npool = "2x2"\nthreads = 1\n'
    )
    one, two, three = (tmp_path / f"{i}.rsm.h5" for i in "123")
    succeed("compute", path, "-o", one, "--config", run_file)
    flags = ("-l", "a", "-m", "identity", "-k", "rbf", "--sigma", 3, "--pool", "2x2")
    succeed("compute", path, "-o", two, *flags, "--threads", 1)
    succeed("compute", path, "-o", three, "--config", run_file, "-m", "optimal", "-l", "b")
    (a, told), (b, flagged), (_, won) = (
        semrsm.read_rsm(p, kernel="rbf") for p in (one, two, three)
    )
    np.testing.assert_array_equal(a, b)
    assert told["metadata"]["options"] == flagged["metadata"]["options"]
    assert told["metadata"]["options"] == {
        **told["metadata"]["options"],
        **{"layer": ["a"], "matcher": "identity", "kernel": ["rbf"], "sigma": 3, "pool": [2, 2]},
    }
    assert (won["layer"], won["matcher"], won["sigma"]) == ("b", "optimal", 3)
    assert flagged["metadata"]["command"].startswith("semrsm ")


def test_every_option_may_stand_in_a_run_file() -> None:
    from semrsm.compute.options import FIELDS, options_of

    text = """
    layer = "a"
    kernel = ["rbf"]
    matcher = "optimal"
    sigma = "median"
    layout = "nchw"
    skip_tokens = 0
    pool = [2, 2]
    samples = "0:4"
    exclude = [1, 2]
    seed = 3
    against = "b.h5"
    device = "cpu"
    threads = 1
    memory = "1GiB"
    dtype = "float64"
    precision = "exact"
    certify = true
    topk = 64
    window = 64
    epsilon = 0.1
    group = 4
    workers = 2
    dask = "local:2"
    shard = "1/2"
    run_folder = "tiles"
    restart = true
    bfloat16 = false
    overwrite = true
    """
    values = tomllib.loads(text)
    assert set(values) == set(FIELDS)
    again = options_of(values).as_json()
    assert options_of(again).as_json() == again


def test_nothing_of_the_input_is_changed(x: np.ndarray, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", a=x)
    before = path.read_bytes()
    computed(path)
    assert path.read_bytes() == before
    kept = x.copy()
    semrsm.rsm(x)
    np.testing.assert_array_equal(x, kept)
    with open_activations(path) as file:
        assert file.select()["a"].n_samples == 9


def test_arrays_of_every_kind_in_memory(x: np.ndarray) -> None:
    import torch

    expected = semrsm.rsm(x, threads=1)
    readonly = x.copy()
    readonly.flags.writeable = False
    for array in (
        x[::-1][::-1],
        np.asfortranarray(x),
        readonly,
        torch.from_numpy(x),
        x.astype("f8"),
    ):
        np.testing.assert_allclose(semrsm.rsm(array, threads=1), expected, atol=1e-6)
    half = torch.from_numpy(x).bfloat16()
    np.testing.assert_allclose(semrsm.rsm(half), semrsm.rsm(half.float().numpy()), rtol=1e-12)
    leaf = torch.from_numpy(x).requires_grad_()
    np.testing.assert_allclose(semrsm.rsm(leaf, threads=1), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "options", "says"),
    [
        (np.zeros((2, 3), np.int16), {}, "holds int16"),
        (np.zeros(3, np.float32), {}, "has 1 dimensions"),
        (np.full((2, 3), np.nan), {}, "the array: samples 0:2 hold NaN"),
        (np.zeros((2, 3)), {}, "samples 0:2 are zero everywhere"),
        (np.ones((2, 3)), {"against": "b.h5"}, "the array against it is the path 'b.h5'"),
        (
            np.ones((2, 3)),
            {"against": np.ones((2, 4))},
            "has 3 channels and the array against it has 4",
        ),
        (np.ones((2, 3)), {"matcher": "optimum"}, "did you mean 'optimal'"),
        (np.ones((2, 3)), {"samples": "5:"}, "leaves none of 2 samples"),
    ],
)
def test_a_wrong_array_in_memory(array: np.ndarray, options: dict, says: str) -> None:
    import torch

    for given in (array, torch.from_numpy(array)):
        with pytest.raises(semrsm.SemrsmError, match=says):
            semrsm.rsm(given, **options)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (5, "the array is of type int, no array"),
        (None, "the array is of type NoneType, no array"),
        ("dump.h5", "the array is the path 'dump.h5'; give an array, or take semrsm.compute"),
        ([np.ones((2, 3)), np.ones((2, 3))], "a list of 2 arrays; join them"),
        ([np.ones((2, 3)), np.ones((1, 3))], "a list of 2 arrays; join them"),
        ([[1.0, 2.0], [1.0]], "is of type list and makes no array"),
        ({"a": np.ones((2, 3))}, "is of type dict, no array"),
        (np.array(["a", "b"]), "holds <U1, not float16"),
    ],
)
def test_what_is_no_array_gets_a_sentence(given: object, says: str) -> None:
    with pytest.raises(semrsm.SemrsmError, match=says):
        semrsm.rsm(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("matcher", ["optimal", "identity", "maxsim"])
@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_columns_of_another_array(matcher: str, kernel: str, x: np.ndarray, tmp_path: Path) -> None:
    if matcher == "maxsim" and kernel != "linear":
        pytest.skip("a bound has no other kernel")
    y = x[::-2] * 1.5 + 0.1
    found = semrsm.rsm(x, matcher, kernel, against=y, threads=1)
    a, b = write_h5(tmp_path / "a.h5", a=x), write_h5(tmp_path / "b.h5", a=y)
    out = tmp_path / "o.rsm.h5"
    semrsm.compute(a, out, matcher=matcher, kernel=kernel, against=b, threads=1)
    stored, about = semrsm.read_rsm(out, kernel=kernel)
    assert about["storage_mode"] == "rectangular"
    np.testing.assert_allclose(found, stored, rtol=1e-5, atol=1e-6)


def test_an_array_against_itself_is_its_rsm(x: np.ndarray) -> None:
    np.testing.assert_allclose(semrsm.rsm(x, against=x.copy()), semrsm.rsm(x), atol=1e-6)


def test_the_memory_of_a_dry_run_counts_what_is_loaded_whole(x: np.ndarray, tmp_path: Path) -> None:
    needed = {}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=x)
        shown = succeed("compute", tmp_path / "a.npz", "--dry-run", "--threads", 1, "--json")
        needed[save] = json.loads(shown.stdout)["layers"][0]["bytes_needed"]
    assert needed[np.savez_compressed] - needed[np.savez] == x.nbytes


def test_a_list_of_lists_is_an_array() -> None:
    np.testing.assert_allclose(semrsm.rsm([[3.0, 4.0], [4.0, 3.0]]), [[1, 0.96], [0.96, 1]])
