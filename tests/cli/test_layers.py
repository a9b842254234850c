"""Layers in every command: their order, and globs in addresses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import fail, succeed, write_rsm

MADE = ["stem", "block2", "block10", "block1"]  # as a network runs through them


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    with h5py.File(tmp_path / "dump.h5", "w", track_order=True) as file:
        for name in MADE:
            file[name] = rng.normal(size=(8, 3, 2, 2)).astype(np.float32)
        file["labels"] = np.arange(8) % 2
    return tmp_path / "dump.h5"


def test_the_order_of_the_file_goes_into_rsm_file_tables_and_report(
    dump: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.rsm.h5"
    done = succeed("compute", dump, "-o", out, "--threads", 1, "--json")
    assert [layer["layer"] for layer in json.loads(done.stdout)["layers"]] == MADE
    [found] = [json.loads(succeed("info", out, "--json").stdout)]
    assert [layer["layer"] for layer in found["layers"]] == MADE
    rows = json.loads(succeed("compare", out, "--measure", "cka", "--json").stdout)
    assert [(r["layer_a"], r["layer_b"]) for r in rows] == [(a, b) for a in MADE for b in MADE]
    rows = csv.DictReader(
        succeed("evaluate", "retrieval", out, "--labels", dump, "--at", 1).stdout.splitlines(),
        delimiter="\t",
    )
    assert [row["layer"] for row in rows] == MADE
    page = tmp_path / "page.html"
    succeed("report", out, "-o", page)
    text = page.read_text()
    places = [text.index(f"<td>{name}</td>") for name in MADE]
    assert places == sorted(places)


def test_what_is_named_stands_in_the_order_of_the_file_too(dump: Path, tmp_path: Path) -> None:
    args = ("-l", "block1", "-l", "block2", "-o", tmp_path / "o.rsm.h5", "--json", "--threads", 1)
    layers = json.loads(succeed("compute", dump, *args).stdout)["layers"]
    assert [layer["layer"] for layer in layers] == ["block2", "block1"]


@pytest.fixture
def two(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    def some(*names: str) -> dict[str, np.ndarray]:
        x = {name: rng.normal(size=(9, 4)) for name in names}
        return {name: v @ v.T for name, v in x.items()}

    a = write_rsm(tmp_path / "a.rsm.h5", some("layer1", "layer3", "layer4", "odd[34]", "odd3"))
    return a, write_rsm(tmp_path / "b.rsm.h5", some("block1", "block2", "head"))


def test_globs_in_addresses_choose_layers_of_each_side(two: tuple[Path, Path]) -> None:
    a, b = two
    done = succeed("compare", f"{a}::layer[34]", f"{b}::block*", "--measure", "cka", "--json")
    assert [(r["layer_a"], r["layer_b"]) for r in json.loads(done.stdout)] == [
        (i, j) for i in ("layer3", "layer4") for j in ("block1", "block2")
    ]
    done = succeed("compare", f"{a}::odd[34]", b, "--measure", "cka", "--json")
    assert {r["layer_a"] for r in json.loads(done.stdout)} == {"odd[34]"}  # a name before a glob


def test_globs_of_address_and_option_must_both_fit(two: tuple[Path, Path]) -> None:
    a, _ = two
    done = succeed("compare", f"{a}::layer*", "-l", "*4", "--measure", "cka", "--json")
    assert {r["layer_b"] for r in json.loads(done.stdout)} == {"layer4"}
    message = fail("compare", f"{a}::blok*", a)
    assert f"{a}: no layer matches 'blok*'" in message
    assert "There are: layer1, layer3" in message


def test_globs_in_addresses_of_plain_matrices(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(9, 4))
    np.savez(tmp_path / "m.npz", k1=x @ x.T, k2=2 * x @ x.T, other=x @ x.T)
    done = succeed("compare", f"{tmp_path / 'm.npz'}::k*", "--measure", "cka", "--json")
    assert [(r["layer_a"], r["layer_b"]) for r in json.loads(done.stdout)] == [
        (i, j) for i in ("k1", "k2") for j in ("k1", "k2")
    ]
