"""`semrsm compare`: known values, tables and files it writes, bad input in one sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.cli.compare import grids_of, list_of
from tests.helpers import fail, run, succeed, write_rsm

N = 12


def gram(rng: np.random.Generator, n: int = N) -> np.ndarray:
    x = rng.normal(size=(n, 5))
    return x @ x.T


def save(path: Path, matrix: np.ndarray) -> Path:
    np.save(path, matrix)
    return path


def records(*args: object) -> list[dict[str, object]]:
    return json.loads(succeed("compare", *args, "--json").stdout)


@pytest.fixture
def a(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_rsm(tmp_path / "a.rsm.h5", {"layer1": gram(rng), "layer2": gram(rng)})


@pytest.fixture
def b(tmp_path: Path, rng: np.random.Generator) -> Path:
    return save(tmp_path / "b.npy", gram(rng))


@pytest.fixture(scope="module")
def kornblith(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The matrices of Kornblith's notebook: X Xᵀ, and the rbf kernel of X, for two X."""
    draws = np.random.RandomState(1337)
    x = draws.randn(100, 10)
    y = draws.randn(100, 10) + x
    folder = tmp_path_factory.mktemp("kornblith")
    files: dict[str, list[Path]] = {"linear": [], "rbf": []}
    for name, features in (("x", x), ("y", y)):
        inner = features @ features.T
        d2 = inner.diagonal()[:, None] + inner.diagonal() - 2 * inner
        kernel = np.exp(-d2 / (2 * 0.5**2 * np.median(d2)))
        files["linear"].append(save(folder / f"{name}.npy", inner))
        files["rbf"].append(save(folder / f"{name}_rbf.npy", kernel))
    return files


def test_the_values_of_the_notebook_of_kornblith_et_al(kornblith: dict[str, list[Path]]) -> None:
    lines = succeed("compare", *kornblith["linear"]).stdout.splitlines()
    assert lines[0].split("\t") == [
        "a", "layer_a", "matcher_a", "b", "layer_b", "matcher_b", "kernel", "measure", "value",
        "reason",
    ]  # fmt: skip
    found = {line.split("\t")[7]: line.split("\t")[8] for line in lines[1:]}
    assert {m: f"{float(v):.5f}" for m, v in found.items()} == {
        "cka": "0.55761",
        "cka-debiased": "0.51346",
    }
    [record] = records(*kornblith["rbf"], "--measure", "cka")
    assert f"{record['value']:.5f}" == "0.65483"


def test_records_hold_what_is_documented_and_no_more(a: Path, b: Path) -> None:
    keys = ["a", "layer_a", "matcher_a", "b", "layer_b", "matcher_b", "kernel", "measure", "value"]
    keys.append("reason")
    found = records(a, b)
    assert [list(r) for r in found] == [keys] * 4
    assert found[0] | {"value": 0} == dict(
        zip(
            keys,
            (str(a), "layer1", "optimal", str(b), None, None, "linear", "cka", 0, None),
            strict=True,
        )
    )
    inference = ("--bootstrap", 30, "--permutations", 30, "--seed", 5)
    found = records(a, b, *inference)
    assert [list(r) for r in found] == [[*keys, "low", "high", "p", "seed"]] * 4
    assert all(r["low"] < r["high"] and 2 / 31 <= r["p"] <= 1 and r["seed"] == 5 for r in found)
    assert records(a, b, *inference) == found
    again = records(a, b, *inference[:-1], 6)
    assert [r["low"] for r in again] != [r["low"] for r in found]
    assert [r["value"] for r in again] == [r["value"] for r in found]


def test_the_table_in_long_form_as_a_file(a: Path, b: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    result = succeed("compare", a, b, "-o", out, "--json")
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, record in zip(rows, json.loads(result.stdout), strict=True):
        assert {k: v or None for k, v in row.items()} == {
            k: None if v is None else str(v) for k, v in record.items()
        }
    assert f"wrote {out}" in result.stderr
    before = out.read_bytes()
    message = fail("compare", a, b, "-o", out, out=out)
    assert "--overwrite" in message
    succeed("compare", a, b, "-o", out, "--overwrite", "--measure", "cosine")
    assert out.read_bytes() != before


def test_the_table_as_a_picture_and_read_again_by_plot(a: Path, tmp_path: Path) -> None:
    table, direct, again = (tmp_path / name for name in ("t.csv", "direct.png", "again.png"))
    result = succeed("compare", a, a, "-o", table, "--plot", direct)
    assert f"wrote {direct}" in result.stderr
    succeed("plot", table, "--kind", "compare", "-o", again)
    assert direct.read_bytes() == again.read_bytes()
    assert "--overwrite" in fail("compare", a, a, "--plot", direct, out=direct)
    assert "no kind of picture" in fail("compare", a, a, "--plot", tmp_path / "x.gif", out=direct)


def test_matrices_from_everywhere(tmp_path: Path, rng: np.random.Generator) -> None:
    K = gram(rng)
    names = [f"img{i}" for i in range(N)]
    np.savez(tmp_path / "k.npz", other=gram(rng), k=K)
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["group/k"] = K
    np.savetxt(tmp_path / "bare.csv", K, delimiter=",", fmt="%.17g")
    with (tmp_path / "labelled.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["", *names])
        lines.writerows(
            [name, *map(repr, row.tolist())] for name, row in zip(names, K, strict=True)
        )
    npy = save(tmp_path / "k.npy", K.astype(np.float32))
    rsm = write_rsm(tmp_path / "k.rsm.h5", {"k": K}, samples=names)
    for other in ("k.npz::k", "k.h5::/group/k", "k.h5", "bare.csv", "labelled.csv", rsm.name):
        found = records(npy, f"{tmp_path}/{other}", "--measure", "cka", "--measure", "cosine")
        np.testing.assert_allclose([r["value"] for r in found], 1, atol=1e-6)


def test_one_file_with_itself_is_equal_to_itself(a: Path) -> None:
    same = [r for r in records(a, a, "--measure", "rsa-spearman") if r["layer_a"] == r["layer_b"]]
    assert [r["value"] for r in same] == pytest.approx([1, 1], abs=1e-12)
    found = records(a, "--kernel", "linear", "--kernel-b", "rbf", "--matched-layers")
    assert {r["kernel"] for r in found} == {"linear/rbf"}
    assert all(r["value"] < 1 for r in found)


def test_aligning_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    K, names = gram(rng), [f"s{i}" for i in range(N)]
    back = slice(None, None, -1)
    x = write_rsm(tmp_path / "x.rsm.h5", {"l": K}, samples=names)
    y = write_rsm(tmp_path / "y.rsm.h5", {"l": K[back, back]}, samples=names[::-1])
    assert "another order: sample 0 is 's0' and 's11'" in fail("compare", x, y)
    result = succeed("compare", x, y, "--align")
    assert f"aligned {N} samples" in result.stderr
    assert {line.split("\t")[8] for line in result.stdout.splitlines()[1:]} == {"1"}
    z = write_rsm(tmp_path / "z.rsm.h5", {"l": K}, samples=[*names[:-1], "new"])
    assert "different samples: sample 11 is 's11' and 'new'" in fail("compare", x, z)


def test_a_constant_layer_leaves_its_cells_empty(
    b: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    layers = {"layer2": gram(rng), "layer3": np.full((N, N), 0.25)}
    path = write_rsm(tmp_path / "c.rsm.h5", layers)
    result = succeed("compare", b, path, "--measure", "cka", "--json")
    assert "NaN" not in result.stdout
    values = {r["layer_b"]: r for r in json.loads(result.stdout)}
    assert values["layer3"]["value"] is None
    assert values["layer3"]["reason"].startswith(f"layer3 of {path} is constant")
    assert f"undefined: layer3 of {path} is constant" in result.stderr
    assert f"layer3 of {path} is constant" in fail("compare", b, f"{path}::layer3")


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.zeros((7, 7)), "has 12 samples and"),
        (np.zeros((N, 7)), "is rectangular (12 x 7)"),
        (np.ones((N, N)), "bad.npy is constant"),
        (np.full((N, N), np.nan), "bad.npy: wanted finite numbers, row 0 holds NaN"),
        (np.arange(N * N).reshape(N, N) ** 2.0, "bad.npy: wanted a symmetric RSM"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_bad_matrices(matrix: np.ndarray, says: str, first: bool, b: Path, tmp_path: Path) -> None:
    bad = save(tmp_path / "bad.npy", matrix)
    out = tmp_path / "table.csv"
    message = fail("compare", *((bad, b) if first else (b, bad)), "-o", out, out=out)
    assert "bad.npy" in message
    assert says.replace("has 12", "has 7" if first else "has 12") in message


def test_nan_in_one_layer_names_it(tmp_path: Path, b: Path, rng: np.random.Generator) -> None:
    bad = gram(rng)
    bad[4, 7] = bad[7, 4] = np.nan
    path = write_rsm(tmp_path / "bad.rsm.h5", {"good": gram(rng), "layer3": bad})
    assert f"layer3 of {path}: wanted finite numbers, row 4" in fail(
        "compare", f"{path}::layer3", b
    )
    assert [r["value"] is None for r in records(path, b)] == [False, False, True, True]


def test_rectangular_rsm_files_are_refused_for_every_measure(
    tmp_path: Path, b: Path, rng: np.random.Generator
) -> None:
    path = write_rsm(tmp_path / "r.rsm.h5", {"layer1": rng.normal(size=(N, 5))})
    for measure in ("cka", "rsa-spearman", "mutual-knn"):
        assert "rectangular (12 x 5)" in fail("compare", path, b, "--measure", measure)


def test_a_value_that_copies_change_has_no_interval_unless_samples_are_left_out(
    a: Path, b: Path
) -> None:
    for measure in (["nbs"], ["mutual-knn", "--neighbours", 3]):
        flags = ("-l", "layer1", "--bootstrap", 20, "--measure", *measure)
        [record] = records(a, b, *flags)
        assert (record["low"], record["high"]) == (None, None)
        assert "drawn twice change what it is" in record["reason"]
        [record] = records(a, b, *flags, "--interval", "jackknife")
        assert record["low"] <= record["value"] <= record["high"]


def test_a_difference_to_itself_is_none_and_one_to_another_is_that_of_the_values(
    a: Path, b: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "clusters.npy", np.arange(N) // 2)
    flags = ("--measure", "cka", "--bootstrap", 20, "--clusters", tmp_path / "clusters.npy")
    first, second = records(a, b, *flags, "--baseline", f"{a}::layer1")
    assert (first["difference"], first["difference_p"], first["seed"]) == (0, 1, 0)
    assert second["difference"] == pytest.approx(second["value"] - first["value"])
    assert second["difference_low"] < second["difference"] < second["difference_high"]


def test_there_is_no_estimate_from_batches(a: Path, b: Path) -> None:
    flags = ("--measure", "cka-debiased", "--minibatch", 5)
    assert run("compare", a, b, "-l", "layer1", *flags).exit_code == 2


def test_too_few_samples_for_the_estimator(tmp_path: Path, rng: np.random.Generator) -> None:
    path = save(tmp_path / "three.npy", gram(rng, 3))
    message = fail("compare", path, path, "--measure", "cka-debiased")
    assert "three.npy: wanted at least 4 samples, got 3" in message
    both = records(path, path)
    assert [r["value"] is None for r in both] == [False, True]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--measure", "cka-debaised"], "did you mean 'cka-debiased'?"),
        (["--measure", "CKA"], "did you mean 'cka'?"),
        (["--kernel", "cosin"], "did you mean 'cosine'?"),
        (["--layer", "layr1"], "no layer 'layr1': did you mean 'layer1'?"),
        (["--matched-layers"], "leave --matched-layers out"),
        (["--align"], "holds no sample ids"),
        (["--memory", "lots"], "memory must be a size"),
        (["--memory", "50MiB"], "--memory grants 50 MiB"),
    ],
)
def test_wrong_options_get_one_sentence(args: list[str], says: str, a: Path, b: Path) -> None:
    assert says in fail("compare", a, b, *args)


def test_options_for_other_inputs(a: Path, b: Path) -> None:
    assert "leave --kernel out" in fail("compare", b, b, "--kernel", "linear")
    assert "leave --kernel-b out" in fail("compare", b, b, "--kernel-b", "linear")
    assert "use --kernel" in fail("compare", a, b, a, "--kernel-b", "linear")
    assert "--distance is for plain matrices" in fail("compare", a, a, "--distance")
    assert "--bootstrap is '-1', not at least 0; change it" in fail(
        "compare", a, b, "--bootstrap", -1
    )
    assert run("compare").exit_code == 2


def test_a_missing_file(a: Path, tmp_path: Path) -> None:
    message = fail("compare", a, tmp_path / "no.rsm.h5")
    assert "no.rsm.h5 does not exist" in message
    assert "no.npz" in fail("compare", f"{tmp_path / 'no.npz'}::k", a)


def test_people_see_layers_by_layers(a: Path, b: Path, tmp_path: Path) -> None:
    [grid, _] = grids_of(records(a))
    title, columns, rows = grid
    assert (title, columns) == ("cka, linear", ["", "layer1", "layer2"])
    assert [row[0] for row in rows] == ["layer1", "layer2"]
    assert rows[0][2] == rows[1][1] < rows[0][1] == pytest.approx(1)
    assert grids_of(records(a, b, a))[0][1][1:] == [
        f"{a}::layer1",
        f"{a}::layer2",
        str(b),
    ]
    assert grids_of(records(a, "--matched-layers")) == []
    assert grids_of(records(a, b)) == []
    assert grids_of(records(a, "--permutations", 3)) == []


def test_people_read_once_what_all_rows_share(a: Path, b: Path) -> None:
    title, columns, rows = list_of(records(a, b, "--permutations", 3, "--seed", 8))
    assert title == f"a {a}, matcher_a optimal, b {b}, kernel linear, seed 8"
    assert columns == ["layer_a", "measure", "value", "p"]
    assert [row[:2] for row in rows][:2] == [["layer1", "cka"], ["layer1", "cka-debiased"]]
    assert list_of(records(a, "--measure", "cka"))[1] == ["layer_a", "layer_b", "measure", "value"]


def test_methods_lists_the_measures() -> None:
    rows = json.loads(succeed("methods", "--json").stdout)
    [row] = [r for r in rows if r["name"] == "angular-cka"]
    assert row["kind"] == "measure"
    assert row["facts"] == "larger = less similar, 0 to 3.142"
    assert "doi:10.48550" in row["reference"]
