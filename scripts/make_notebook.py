"""Makes docs/from_model_to_figure.ipynb: the cells below, executed in an empty folder.

    python scripts/make_notebook.py        needs nbclient and ipykernel (pip install nbclient ipykernel)

tests/test_notebook.py runs the code of the cells without them, and says when the notebook is stale.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from_model_to_figure.ipynb"

TEXT, CODE = "markdown", "code"
CELLS = [
    (
        TEXT,
        """# From activations to a figure

How similar do two images look to a network? This notebook goes from saved activations to RSMs,
compares them, measures what they are good for, draws them and hands them on: everything that the
commands do, from Python.

The embedded example holds activations of two small networks for 80 images of handwritten digits:
each of 40 digits at two random places. Your own file works the same way; an array in memory needs
no file at all (last section).""",
    ),
    (
        CODE,
        """import numpy as np

import semrsm
from semrsm.data import digits_path

digits = str(digits_path())""",
    ),
    (
        TEXT,
        """## Compute

Once with the same positions compared, the usual RSM, and once with the positions of every pair of
images matched first, the semantic RSM. Nothing is printed on the way: `on_progress` and `on_note`
take functions that are told how it goes. What comes back are records; `pandas.DataFrame(report)`
takes them as they are.""",
    ),
    (
        CODE,
        """for matcher in ("identity", "optimal"):
    report = semrsm.compute(digits, f"{matcher}.rsm.h5", layer="resnet/layer*", matcher=matcher)
    for record in report:
        print(matcher, record["layer"], record["pairs"], "pairs of", record["n_positions"], "positions")""",
    ),
    (
        TEXT,
        """## Look

A figure is matplotlib's. A notebook shows it when a cell ends with it; `figure.show()` does so
elsewhere in a cell, `figure.savefig(...)` or `out="figure.pdf"` writes it. Left: same positions;
right: matched. The diagonals beside the main one are the same digits at their second place.""",
    ),
    (
        CODE,
        """semrsm.plot(
    "identity.rsm.h5",
    "optimal.rsm.h5",
    kind="side-by-side",
    layer="resnet/layer2",
    labels=f"{digits}::labels",
    views=f"{digits}::views",
)""",
    ),
    (
        TEXT,
        """## Compare

Every layer with every layer, by debiased CKA, and the table as a picture.""",
    ),
    (
        CODE,
        """table = semrsm.compare("identity.rsm.h5", "optimal.rsm.h5", measure="cka-debiased")
for record in table:
    if record["layer_a"] == record["layer_b"]:
        print(f"{record['layer_a']}: identity and optimal {record['value']:.2f}")

semrsm.plot(table, kind="compare")""",
    ),
    (
        TEXT,
        """## What is it good for?

Do the nearest neighbours of a digit show the same class? Labels are addresses in a file, or arrays.""",
    ),
    (
        CODE,
        """found = semrsm.evaluate_retrieval(
    "identity.rsm.h5",
    "optimal.rsm.h5",
    labels=f"{digits}::labels",
    views=f"{digits}::views",
    at=1,
)
for record in found:
    if record["metric"] == "f1@1":
        print(f"{record['layer']} {record['matcher']:8} F1@1 {record['value']:.2f}")""",
    ),
    (
        TEXT,
        """## Two images

What one entry of the RSM is made of: sample 0 and sample 10 are one digit at two places.""",
    ),
    (
        CODE,
        """pair = semrsm.pair(digits, 0, 10, layer="resnet/layer3")
for record in pair:
    if record["kernel"] == "cosine":
        print(f"same positions {record['identity']:.2f}, matched {record['matched']:.2f}")
pair.permutation  # the position of sample 10 that belongs with each position of sample 0""",
    ),
    (
        TEXT,
        """## Arrays in memory

`(n, c, h, w)` or `(n, t, d)`, numpy or torch. With `against` the columns are other samples. RSMs in
memory go wherever files go.""",
    ),
    (
        CODE,
        """rng = np.random.default_rng(0)
maps = rng.normal(size=(12, 8, 4, 4)).astype("float32")
shifted = np.roll(maps, 1, axis=3)

rsm = semrsm.rsm(maps)
moved = semrsm.rsm(maps, against=shifted)
print(f"a map and itself, shifted: {moved.diagonal().min():.3f}")
print(f"CKA of the two: {semrsm.compare(rsm, moved, measure='cka')[0]['value']:.3f}")""",
    ),
    (
        TEXT,
        """## Hand it on

To NumPy, MATLAB, pandas, rsatoolbox and others: [export.md](export.md).""",
    ),
    (
        CODE,
        """for record in semrsm.export("optimal.rsm.h5", "optimal.npz", to="npz", labels=f"{digits}::labels"):
    print(record["output"], record["layer"], record["values"], record["rows"], "x", record["columns"])""",
    ),
]


def main() -> None:
    """Execute the cells and write the notebook."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    for number, (kind, source) in enumerate(CELLS):
        make = nbformat.v4.new_markdown_cell if kind == TEXT else nbformat.v4.new_code_cell
        notebook.cells.append(make(source, id=f"cell-{number}"))
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, resources=resources, record_timing=False).execute()
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, PAGE)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
