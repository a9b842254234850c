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
        """# From a model to a figure

How similar do two images look to a network? This notebook records what the layers of a torch model put
out, computes RSMs, looks at them, compares them with those of another network, measures what they are
good for, and hands them on: everything that the commands do, from Python.

The images are handwritten digits, 40 of them at two random places each. A trained ResNet, whose
activations come with semrsm, stands beside a small network with random weights, made here.""",
    ),
    (
        CODE,
        """import h5py
import numpy as np
import torch
from torch import nn

import semrsm
from semrsm.data import digits_path

digits = str(digits_path())
with h5py.File(digits) as file:
    images, labels, views = (file[name][:] for name in ("images", "labels", "views"))""",
    ),
    (
        TEXT,
        """## Record

Name the modules whose output you want, run the model as always, and say after each batch what is known
of its samples. The file grows batch by batch.""",
    ),
    (
        CODE,
        """torch.manual_seed(0)
model = nn.Sequential()
for name, inputs, outputs in (("conv1", 1, 32), ("conv2", 32, 64), ("conv3", 64, 128)):
    model.add_module(name, nn.Conv2d(inputs, outputs, 5, stride=2, padding=2))
    model.add_module(f"{name}_relu", nn.ReLU())
model.eval()

with semrsm.record(model, ["conv2_relu", "conv3_relu"], "random.h5") as recorder, torch.no_grad():
    for start in range(0, len(images), 32):
        batch = slice(start, start + 32)
        model(torch.from_numpy(images[batch, None]) / 255)
        recorder.add(labels=labels[batch], views=views[batch])
print(recorder.n_samples, "samples recorded")""",
    ),
    (
        TEXT,
        """## Compute

Once with the same positions compared, the usual RSM, and once with the positions of every pair of
images matched first, the semantic RSM. Nothing is printed on the way: `on_progress` and `on_note` take
functions that are told how it goes. What comes back are records; `pandas.DataFrame(report)` takes them
as they are.""",
    ),
    (
        CODE,
        """networks = {"random": "random.h5", "trained": digits}
for network, activations in networks.items():
    layers = ["conv*"] if network == "random" else ["resnet/layer2", "resnet/layer3"]
    for matcher in ("identity", "optimal"):
        out = f"{network}.{matcher}.rsm.h5"
        for record in semrsm.compute(activations, out, layer=layers, matcher=matcher):
            print(f"{out}: {record['layer']}, {record['pairs']} pairs, {record['n_positions']} positions")""",
    ),
    (
        TEXT,
        """## Look

A figure is matplotlib's. A notebook shows it when a cell ends with it; `figure.show()` does so elsewhere
in a cell, `figure.savefig(...)` or `out="figure.pdf"` writes it. Left: same positions; right: matched.
The diagonals beside the main one are the same digits at their second place.""",
    ),
    (
        CODE,
        """semrsm.plot(
    "trained.identity.rsm.h5",
    "trained.optimal.rsm.h5",
    kind="side-by-side",
    layer="resnet/layer2",
    labels=labels,
    views=views,
)""",
    ),
    (
        TEXT,
        """## Compare

Every layer of the one network with every layer of the other, by debiased CKA, and the table as a
picture. The files name no ids of their samples, so `by_position` says that row i of both is one image.""",
    ),
    (
        CODE,
        """table = semrsm.compare(
    "random.optimal.rsm.h5", "trained.optimal.rsm.h5", measure="cka-debiased", by_position=True
)
for record in table:
    print(f"{record['layer_a']} and {record['layer_b']}: {record['value']:.2f}")

semrsm.plot(table, kind="compare")""",
    ),
    (
        TEXT,
        """## What is it good for?

Do the nearest neighbours of a digit show the same class? Labels are arrays, or addresses in a file.""",
    ),
    (
        CODE,
        """found = semrsm.evaluate_retrieval(
    [f"{network}.{matcher}.rsm.h5" for network in networks for matcher in ("identity", "optimal")],
    labels=labels,
    views=views,
    at=1,
)
for record in found:
    if record["metric"] == "f1@1":
        print(f"{record['layer']:14} {record['matcher']:8} F1@1 {record['value']:.2f}")""",
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
        """for record in semrsm.export("trained.optimal.rsm.h5", "optimal.npz", to="npz", labels=labels):
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
