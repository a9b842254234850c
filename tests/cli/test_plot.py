import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import semrsm
from semrsm.cli import app
from semrsm.plot.kinds import PLOTS, draw_plot
from semrsm.plot.request import PlotOptions
from tests.helpers import fail, succeed, write_rsm

MAGIC = {".png": b"\x89PNG\r\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}
N = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Activations of two layers with labels, views and images; RSMs; and tables of values."""
    rng = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("plot")
    maps = {name: rng.normal(size=(N, 3, 2, 2)).astype(np.float32) for name in ("l1", "l2")}
    arrays = {
        **maps,
        "labels": ["cat", "dog"] * (N // 2),
        "views": np.arange(N) // 2,
        "images": rng.integers(0, 255, (N, 5, 6), dtype=np.uint8),
    }
    with h5py.File(folder / "dump.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    for matcher in ("identity", "optimal"):
        out = folder / f"{matcher}.rsm.h5"
        semrsm.compute(
            folder / "dump.h5", out, layer=["l1", "l2"], matcher=matcher, kernel=["cosine", "rbf"]
        )
    rows = [
        {
            "a": "x",
            "layer_a": a,
            "b": "y",
            "layer_b": b,
            "kernel": "rbf",
            "measure": "cka",
            "value": v,
        }
        for a, b, v in (("l1", "l1", 0.9), ("l1", "l2", 0.5), ("l2", "l1", None), ("l2", "l2", 0.8))
    ]
    (folder / "table.json").write_text(json.dumps(rows))
    lines = [
        ",".join("" if v is None else str(v) for v in row.values())
        for row in (dict(rows[0]), *rows)
    ]
    lines[0] = ",".join(rows[0])
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    np.save(folder / "matrix.npy", rng.normal(size=(3, 5)))
    np.save(folder / "small.npy", np.arange(3))
    return folder


def run(folder: Path, arguments: str):
    words = [word.replace("@", f"{folder}/") for word in arguments.split()]
    result = CliRunner().invoke(app, ["plot", *words])
    return result.exit_code, result.stderr


PICTURES = {
    "heatmap": "@optimal.rsm.h5",
    "heatmap --order cluster --labels @dump.h5": "@identity.rsm.h5 @optimal.rsm.h5",
    "side-by-side -l l2 --views @dump.h5 -k rbf": "@identity.rsm.h5 @optimal.rsm.h5",
    "mds --views @dump.h5::views --labels @dump.h5::labels": "@optimal.rsm.h5::l1",
    "dendrogram -k linear": "@optimal.rsm.h5",
    "compare": "@table.csv",
    "curves": "@table.json",
    "retrieved --images @dump.h5 --queries 0,5 --neighbours 2": "@identity.rsm.h5::l1 @optimal.rsm.h5::l1",
}


@pytest.mark.parametrize("kind", PICTURES)
def test_each_kind_writes_a_picture(folder, tmp_path, kind):
    suffix = list(MAGIC)[len(kind) % 3]
    out = tmp_path / f"picture{suffix}"
    code, said = run(folder, f"{PICTURES[kind]} -o {out} --kind {kind} --title top")
    assert (code, said) == (0, f"wrote {out}\n")
    assert out.read_bytes().startswith(MAGIC[suffix])
    assert {word.split()[0] for word in PICTURES} == set(PLOTS)


def test_the_text_of_an_svg_says_layer_kernel_matcher_and_labels(folder, tmp_path):
    out = tmp_path / "a.svg"
    run(folder, f"@optimal.rsm.h5::l1 -o {out} -k rbf --labels @dump.h5")
    for text in (
        ">l1<",
        "semantic (optimal), rbf kernel",
        "rbf similarity",
        "ordered by label",
        "cat",
        "dog",
    ):
        assert text in out.read_text()


def svg(folder: Path, out: Path, arguments: str) -> str:
    code, said = run(folder, f"{arguments} -o {out} --overwrite")
    assert code == 0, said
    return out.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        "@optimal.rsm.h5 -k rbf",
        "@optimal.rsm.h5 -k rbf -l l2",
        "@optimal.rsm.h5 -k rbf --kind mds",
        "@optimal.rsm.h5 -k rbf --kind dendrogram --title top",
        "@identity.rsm.h5 @optimal.rsm.h5 -k rbf",
        "@identity.rsm.h5 @optimal.rsm.h5 -k rbf -l l1 --kind side-by-side",
        "@optimal.rsm.h5 -k rbf -l l1 --kind retrieved --images @dump.h5 --queries 1 --neighbours 2",
    ],
)
def test_every_title_names_kernel_and_matcher(folder, tmp_path, arguments):
    text = svg(folder, tmp_path / "o.svg", arguments)
    assert "rbf kernel" in text
    assert "semantic (optimal)" in text
    assert ("spatio-semantic (identity)" in text) == ("@identity" in arguments)


def drawn(folder: Path, *addresses: str, **options) -> list:
    return draw_plot("heatmap", [str(folder / a) for a in addresses], PlotOptions(**options)).axes


def test_heat_maps_of_one_kernel_share_their_colours_unless_asked_not_to(folder):
    def ends(count: int, **options) -> list[tuple[float, float]]:
        axes = drawn(folder, "identity.rsm.h5", "optimal.rsm.h5", **options)
        return [a.images[0].get_clim() for a in axes[:count]]

    assert len(set(ends(4, kernel="cosine"))) == 1
    assert len(set(ends(4, kernel="cosine", own_scales=True))) == 4
    first, second, third, fourth = ends(4, kernel="linear")  # l1, l2 of either file
    assert (first, second) == (third, fourth)
    assert first != second
    assert set(ends(4, kernel="linear", vmin=-1.0, vmax=2.0)) == {(-1, 2)}


def test_limits_are_options_of_the_command(folder, tmp_path):
    plain = svg(folder, tmp_path / "o.svg", "@optimal.rsm.h5")
    assert plain != svg(folder, tmp_path / "o.svg", "@optimal.rsm.h5 --vmin -0.5 --vmax 0.5")
    assert plain != svg(folder, tmp_path / "o.svg", "@optimal.rsm.h5 --own-scales")
    code, said = run(folder, f"@optimal.rsm.h5 -o {tmp_path}/p.png --vmin 1 --vmax 0")
    assert code == 1
    assert "from 1 to 0 holds nothing" in said
    code, said = run(folder, f"@optimal.rsm.h5 -o {tmp_path}/p.png --kind mds --vmin 1")
    assert "--vmin is not for mds but for: heatmap, side-by-side, compare" in said


def test_a_rectangular_map_names_the_files_of_both_axes(folder, tmp_path):
    with h5py.File(tmp_path / "few.h5", "w") as file:
        file["l1"] = np.random.default_rng(3).normal(size=(3, 3, 2, 2)).astype(np.float32)
    out = tmp_path / "r.rsm.h5"
    semrsm.compute(tmp_path / "few.h5", out, layer="l1", against=folder / "dump.h5")
    axes = drawn(tmp_path, "r.rsm.h5")[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("sample of few.h5", "sample of dump.h5")
    axes = drawn(folder, "matrix.npy")[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("row sample", "column sample")


def test_many_layers_are_drawn_without_a_warning(tmp_path, rng):
    x = rng.normal(size=(20, 4))
    layers = {f"vit.encoder.layer.{i}.attention.output.dense": x @ x.T for i in range(49)}
    rsm = write_rsm(tmp_path / "many.rsm.h5", layers, kernels=("cosine",))
    assert run(tmp_path, f"{rsm} -o {tmp_path}/o.png") == (0, f"wrote {tmp_path}/o.png\n")


def test_csv_and_json_tables_make_the_same_picture(folder, tmp_path):
    for name in ("csv", "json"):
        run(folder, f"@table.{name} -o {tmp_path}/{name}.svg --kind compare")
    assert (tmp_path / "csv.svg").read_bytes() == (tmp_path / "json.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("@missing.rsm.h5 -o OUT.png", "does not exist"),
        ("@optimal.rsm.h5 -o OUT.gif", "name it .png, .pdf, .svg"),
        ("@optimal.rsm.h5 -o OUT/a.png", "does not exist"),
        ("@optimal.rsm.h5 -o OUT.png --kind heatmaps", "did you mean 'heatmap'"),
        ("@optimal.rsm.h5 -o OUT.png -l l3", "did you mean 'l"),
        ("@optimal.rsm.h5 -o OUT.png -k cosin", "did you mean 'cosine'"),
        ("@optimal.rsm.h5 -o OUT.png --order label", "give --labels"),
        (
            "@optimal.rsm.h5 -o OUT.png --views @dump.h5",
            "--views is not for heatmap but for: side",
        ),
        ("@optimal.rsm.h5 -o OUT.png --labels @small.npy", "small.npy has 3 rows"),
        (
            "@optimal.rsm.h5 -o OUT.png --labels @dump.h5::images",
            "save labels (n,) as numbers or texts",
        ),
        ("@optimal.rsm.h5 -o OUT.png --labels @dump.h5::label", "did you mean 'labels'"),
        ("@identity.rsm.h5 @optimal.rsm.h5 -o OUT.png --kind side-by-side", "choose one layer"),
        ("@optimal.rsm.h5 @matrix.npy -o OUT.png", "of the same samples"),
        ("@matrix.npy -o OUT.png --kind mds", "is rectangular, 3 x 5"),
        ("@matrix.npy -o OUT.png --labels @small.npy", "no order and no labels"),
        ("@matrix.npy -o OUT.png -k rbf", "leave --kernel out"),
        ("@optimal.rsm.h5 -o OUT.png --kind retrieved", "--images FILE::name and --queries"),
        (
            "@optimal.rsm.h5 -o OUT.png --kind retrieved --images @dump.h5 --queries 1,x",
            "has no sample 'x', as it holds no ids",
        ),
        ("@optimal.rsm.h5 -o OUT.png --kind retrieved --images @dump.h5 --queries 8", "0 to 7"),
        (
            "@optimal.rsm.h5 -o OUT.png --kind retrieved --images @dump.h5 --queries 1 --neighbours 8",
            "1 to 7",
        ),
        ("@optimal.rsm.h5 -o OUT.png --kind retrieved --images @small.npy --queries 1", "N, H, W"),
        ("@optimal.rsm.h5 -o OUT.png --kind compare", "cannot be read as a table"),
        ("@missing.csv -o OUT.png --kind curves", "cannot be read as a table"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence_and_nothing_is_written(
    folder, tmp_path, arguments, said
):
    said = said.replace("N, H", f"{N}, H")
    code, error = run(folder, arguments.replace("OUT", str(tmp_path / "out")))
    assert code == 1
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "lacks layer_a"),
        ("", "empty"),
        ("a,layer_a,b,layer_b,kernel,measure,value\nx,l,y,l,rbf,cka,high\n", "no number"),
        ("[1, 2]", "no list of records"),
        ("[1, ", "no JSON"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    code, error = run(tmp_path, f"@t.csv -o {tmp_path}/o.png --kind compare")
    assert code == 1
    assert said in error


def test_a_picture_that_is_there_is_replaced_only_when_asked(folder, tmp_path):
    out = tmp_path / "a.png"
    out.write_bytes(b"older")
    code, error = run(folder, f"@optimal.rsm.h5 -o {out}")
    assert (code, out.read_bytes()) == (1, b"older")
    assert "--overwrite" in error
    code, _ = run(folder, f"@optimal.rsm.h5 -o {out} --overwrite")
    assert (code, out.read_bytes()[:4]) == (0, b"\x89PNG")


def test_rsms_of_other_samples_are_not_drawn_together(tmp_path, rng):
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"] = rng.normal(size=(4, 2, 3))
            file["samples"] = [f"{name}{i}" for i in range(4)]
        semrsm.compute(tmp_path / f"{name}.h5", tmp_path / f"{name}.rsm.h5")
    code, error = run(tmp_path, f"@a.rsm.h5 @b.rsm.h5 -o {tmp_path}/o.png")
    assert code == 1
    assert "hold different samples" in error


def test_the_help_lists_the_kinds_and_shows_an_example():
    text = CliRunner().invoke(app, ["plot", "--help"]).stdout
    assert "Example: semrsm plot" in text
    for kind in PLOTS:
        assert kind in text


def test_the_folder_that_was_recorded_shows_what_is_retrieved(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    names = [f"{kind}/{k}.png" for kind in ("cat", "dog") for k in range(3)]
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, size=(9, 7, 4 if "0" in name else 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    out, rsm = tmp_path / "found.png", tmp_path / "a.rsm.h5"
    with semrsm.ActivationWriter(tmp_path / "a.h5") as writer:
        writer.add({"x": rng.normal(size=(6, 3, 2, 2))}, samples=[*names[:5], f"{names[5]}@up"])
    succeed("compute", tmp_path / "a.h5", "-o", rsm)
    retrieve = ("plot", rsm, "--kind", "retrieved", "--queries", "0,5", "-o", out, "--overwrite")
    succeed(*retrieve, "--images", tmp_path / "photos")
    by_number = out.read_bytes()
    for queries in ("cat/0.png,dog/2.png@up", "0 dog/2.png@up"):
        words = [queries if word == "0,5" else word for word in retrieve]
        succeed(*words, "--images", tmp_path / "photos")
        assert out.read_bytes() == by_number
    words = ["dog/9.png" if word == "0,5" else word for word in retrieve]
    assert "there is no sample 'dog/9.png': did you mean 'dog/" in fail(
        *words, "--images", tmp_path / "photos"
    )
    with Image.open(out) as picture:
        assert picture.size[0] > 100
    pair = ("pair", tmp_path / "a.h5", names[1], names[5] + "@up", "--plot", out, "--overwrite")
    succeed(*pair, "--images", tmp_path / "photos")
    (tmp_path / "photos" / names[0]).write_bytes(b"no image")
    assert "cat/0.png cannot be read as an image" in fail(
        *retrieve, "--images", tmp_path / "photos"
    )
    (tmp_path / "photos" / names[0]).unlink()
    assert "holds no image of sample 0, 'cat/0.png'" in fail(
        *retrieve, "--images", tmp_path / "photos"
    )
