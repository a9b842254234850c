"""docs/from_model_to_figure.ipynb: its cells are those of the script, were executed, and run."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from semrsm.errors import SemrsmError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "make_notebook.py"
    spec = importlib.util.spec_from_file_location("make_notebook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_what_the_script_makes(script: ModuleType) -> None:
    cells = json.loads(script.PAGE.read_text())["cells"]
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    assert found == script.CELLS, "give: python scripts/make_notebook.py"
    outputs = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert sum(bool(part) for part in outputs) == len(outputs) - 1  # the imports say nothing
    assert all(out["output_type"] != "error" for part in outputs for out in part)
    pictures = [o for part in outputs for o in part if "image/png" in o.get("data", {})]
    assert len(pictures) == 2
    assert "/tmp" not in script.PAGE.read_text()


@pytest.mark.slow
def test_every_cell_runs(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for kind, source in script.CELLS:
        if kind == script.CODE:
            last = run_cell(source, names)
            if hasattr(last, "_repr_png_"):
                assert last._repr_png_()[:4] == b"\x89PNG"
    np.testing.assert_allclose(names["moved"].diagonal(), 1, atol=1e-6)
    assert all(record["value"] is not None for record in names["found"])


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; return the value of its last line if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_a_cell_that_fails_would_be_seen() -> None:
    with pytest.raises(SemrsmError):
        run_cell("import semrsm\nsemrsm.rsm(5)", {})
    assert run_cell("x = 2\nx + 1", {}) == 3
