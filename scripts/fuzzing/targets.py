"""What is mutated, and the commands that read it."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from fuzzing.array_file_edits import edit_npy, edit_npz
from fuzzing.byte_edits import mutate_bytes
from fuzzing.folder_edits import edit_a_file, edit_activations, edit_layout
from fuzzing.hdf5_edits import edit_hdf5
from fuzzing.mutation import Mutator
from fuzzing.text_edits import edit_csv, edit_json, edit_toml

HAS_ZARR = importlib.util.find_spec("zarr") is not None


@dataclass(frozen=True)
class Target:
    """A valid file, and what reads it.

    Attributes:
        file: Its name among the valid files.
        edit: What changes its structure.
        commands: Command lines; {f} is the mutated file and {v} the folder of valid ones.
        numbers: No mutation of it may change a number that comes out.
        foreign: HDF5 that others wrote: what libhdf5 does to damaged bytes of it is counted apart,
            unless a command reads it in a child first.
        weight: How often it is taken.
    """

    file: str
    edit: Mutator
    commands: tuple[str, ...]
    numbers: bool = False
    foreign: bool = False
    weight: int = 1

    @property
    def is_folder(self) -> bool:
        """Say whether it is a folder, by its name."""
        return self.file.endswith((".run", ".images", ".zarr"))


ACTIVATIONS = (
    "info {f}",
    "info {f} --json",
    "compute {f} -o out.rsm.h5 -m identity --threads 1",
    "compute {f} -o out.rsm.h5 -k cosine -k rbf --json --threads 1",
    "compute {f} -o out.rsm.h5 -m greedy --certify -k linear --threads 1 --samples 1:9",
)
LAYERS = (
    *ACTIVATIONS,
    "compute {f} -o out.rsm.h5 -l 'block/*' --pool 1x2 --dtype float64 --threads 1",
    "compute {v}/acts.h5 -o out.rsm.h5 --against {f} -m identity -l layer2 --threads 1",
    "pair {f} 0 5 -l block/layer1 --json",
    "pair {f} 0 5 -l layer2 -m greedy --sigma 2",
    "methods --on {f} --pairs 3 --seconds 1 -m identity -m greedy -l layer2 --json",
    "evaluate retrieval {v}/optimal.rsm.h5 --labels {f}::labels -k cosine",
    "evaluate views {v}/optimal.rsm.h5 --views {f}::views --json -k linear",
    "evaluate predictions {v}/identity.rsm.h5 --logits {f}::logits",
    "plot {v}/identity.rsm.h5 -o out.png -l layer2 --kind retrieved --images {f}::images --queries 0",
    "plot {v}/identity.rsm.h5 -o out.svg -l layer2 --labels {f}::labels",
)
UNTRUSTED = (
    "compute {f} -o out.rsm.h5 -m identity --threads 1 --untrusted",
    "evaluate retrieval {v}/identity.rsm.h5 --labels {f}::labels --untrusted",
    "plot {v}/identity.rsm.h5 -o out.svg -l layer2 --labels {f}::labels --untrusted",
)
RSM = (
    "info {f}",
    "info {f} --json",
    "info {f} --check",
    "@read {f} layer2",
    "@read {f} layer2",
    "status {f} --json",
    "compare {f} {v}/identity.rsm.h5 --measure cka --measure rsa-spearman --json",
    "compare {v}/identity.rsm.h5 {f} -k rbf -l layer2",
    "evaluate retrieval {f} --labels {v}/labels.csv -l layer2",
    "evaluate predictions {f} --logits {v}/logits.csv -l layer2 --json",
    "evaluate views {f} --views {v}/views.csv -k linear --json",
    "plot {f} -o out.png -l layer2",
    "report {f} -o out.html",
)
MATRIX = (
    "compare {f} {v}/matrix.npy --measure cka --json",
    "compare {v}/matrix.npy {f} --measure rsa-pearson",
    "evaluate retrieval {f} --labels {v}/labels.csv --by-position",
    "evaluate predictions {f} --logits {v}/logits.csv --by-position --json",
    "plot {f} -o out.svg --kind mds",
)
WITH_IDS = (*MATRIX, "compare {v}/matrix.csv {f} --measure rsa-pearson --align")
TABLE = (
    "plot {f} -o out.svg --kind compare",
    "plot {f} -o out.svg --kind curves",
    "report {v}/identity.rsm.h5 -o out.html --table {f}",
)
FOLDER = (
    "status {f}",
    "info {f}.run --check",
    "finish {f} -k cosine -k linear -k rbf",
    "finish {f} --json",
    "compute {v}/acts.h5 -o {f} -m greedy --certify --threads 1",
)


def _evaluate(options: str, *kinds: str) -> tuple[str, ...]:
    return tuple(f"evaluate {kind} {{v}}/optimal.rsm.h5 {options}" for kind in kinds)


LABELS = (
    *_evaluate("--labels {f} -k cosine", "retrieval"),
    "plot {v}/identity.rsm.h5 -o out.svg -l layer2 --labels {f}",
)

TARGETS: tuple[Target, ...] = (
    Target("optimal.rsm.h5", edit_hdf5, RSM, numbers=True, weight=8),
    Target("certified.rsm.h5", edit_hdf5, RSM[:7], numbers=True, weight=2),
    Target("rectangular.rsm.h5", edit_hdf5, RSM[:6], numbers=True, weight=2),
    Target("acts.h5", edit_hdf5, (*LAYERS, *UNTRUSTED), foreign=True, weight=5),
    Target("latest.h5", edit_hdf5, (*LAYERS, *UNTRUSTED), foreign=True, weight=3),
    Target("acts.npz", edit_npz, LAYERS, weight=3),
    Target("small.npz", edit_npz, LAYERS, weight=3),
    Target("acts.npy", edit_npy, ACTIVATIONS, weight=2),
    Target("acts.pt", mutate_bytes, LAYERS, weight=2),
    Target("acts.safetensors", mutate_bytes, ACTIVATIONS, weight=2),
    Target("acts.images", edit_activations, ACTIVATIONS, weight=2),
    *([Target("acts.zarr", edit_activations, LAYERS, weight=2)] if HAS_ZARR else []),
    Target("fortran.npy", edit_npy, ACTIVATIONS, weight=1),
    Target("matrix.npy", edit_npy, MATRIX, weight=1),
    Target("matrix.npz", edit_npz, MATRIX, weight=1),
    Target("matrix.h5", edit_hdf5, MATRIX, foreign=True, weight=1),
    Target("matrix.csv", edit_csv, WITH_IDS, weight=2),
    Target("labels.csv", edit_csv, LABELS, weight=2),
    Target("views.csv", edit_csv, _evaluate("--views {f} --json -k cosine", "views"), weight=1),
    Target("logits.csv", edit_csv, _evaluate("--logits {f} -k cosine", "predictions"), weight=1),
    Target("table.csv", edit_csv, TABLE, weight=2),
    Target("table.json", edit_json, TABLE, weight=2),
    Target("run.toml", edit_toml, ("compute {v}/acts.h5 -o out.rsm.h5 --config {f}",), weight=3),
    Target("folder.rsm.h5.run", edit_a_file, FOLDER, numbers=True, weight=6),
    Target("folder.rsm.h5.run", edit_layout, FOLDER, numbers=True, weight=2),
    Target("half.rsm.h5.run", edit_a_file, ("status {f} --json",), weight=1),
)


def arguments_of(target: Target, command: str, valid: str) -> list[str]:
    """Return the words of a command line; a run folder is named by the output beside it."""
    file = "out.rsm.h5" if target.file.endswith(".run") else target.file
    names: Mapping[str, str] = {"f": file, "v": valid}
    return [word.format(**names) for word in shlex.split(command)]


def name_in_case(target: Target) -> str:
    """Return what the mutated file is called in the folder of its case."""
    return "out.rsm.h5.run" if target.file.endswith(".run") else target.file
