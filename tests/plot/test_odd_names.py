"""Names that a picture could take for formulas, markup or commands."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import run, write_rsm


@pytest.mark.parametrize(
    "name", ["$x", "a$b$c", r"$\frac$", "<b>&", "\x1b[2J", "%s{x}", "new\nline"]
)
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("kind", ["heatmap", "mds"])
def test_any_name_is_drawn(name: str, kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3))
    rsm, out = write_rsm(tmp_path / "r.rsm.h5", {name: x @ x.T}), tmp_path / "o.svg"
    done = run("plot", rsm, "-o", out, "--kind", kind, "--title", name)
    assert done.exit_code == 0, done.exception
    texts = ["".join(t.itertext()) for t in ET.parse(out).iter("{http://www.w3.org/2000/svg}text")]
    if name.isprintable():
        assert name in texts


LONG = "m" * 5000


@pytest.mark.parametrize("kind", ["compare", "curves"])
@pytest.mark.parametrize(("layer", "measure"), [("W" * 40, "cka"), ("\0" * 40 + "\ud800", LONG)])
def test_a_table_of_any_names_is_drawn(kind: str, layer: str, measure: str, tmp_path: Path) -> None:
    # A half of a surrogate pair ended the drawing; long names left no room for the axes.
    keys = ("a", "layer_a", "b", "layer_b", "kernel", "measure", "value")
    rows = [("a", layer + i, "b", layer + j, "linear", measure, 0.5) for i in "12" for j in "12"]
    table, out = tmp_path / "table.json", tmp_path / "o.png"
    table.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    done = run("plot", table, "-o", out, "--kind", kind, "--title", f"{layer} and {measure}")
    assert done.exit_code == 0, done.exception
    assert out.exists()
    assert "constrained_layout" not in done.stderr
