"""Names that a picture could take for formulas, markup or commands."""

from __future__ import annotations

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
