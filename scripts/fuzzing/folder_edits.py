"""Mutations of run folders: of a file in it, or of what lies where."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from fuzzing.array_file_edits import edit_npz
from fuzzing.byte_edits import mutate_bytes, replace, splice
from fuzzing.mutation import Mutation
from fuzzing.odd_things import NAMES, pick
from fuzzing.text_edits import edit_json

Rng = np.random.Generator
STRAY = (
    "0-99.npz",
    "\u00b2-0.npz",
    "x-y.npz",
    "0-0.npz.bak",
    ".0-0.npz.partial",
    "9" * 99 + "-0.npz",
)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def edit_a_file(folder: Path, rng: Rng) -> Mutation:
    """Change bytes or structure of one file of the folder."""
    path = pick(rng, _files(folder))
    if rng.random() < 0.2:
        path = folder / "run.json"
    structural = edit_json if path.suffix == ".json" else edit_npz
    made = pick(rng, (mutate_bytes, mutate_bytes, structural, structural, splice, replace))(
        path, rng
    )
    return Mutation(f"{path.relative_to(folder)}: {made.text}", made.valid)


def edit_activations(folder: Path, rng: Rng) -> Mutation:
    """Change a file of a folder of activations, remove it, or put another one in its place."""
    a, b = pick(rng, _files(folder)), pick(rng, _files(folder))
    names = f"{a.relative_to(folder)}, {b.relative_to(folder)}"
    what = pick(rng, ("bytes", "bytes", "structure", "structure", "remove", "copy", "swap"))
    if what in ("bytes", "structure"):
        structural = {".json": edit_json, ".npz": edit_npz}.get(a.suffix, mutate_bytes)
        made = (structural if what == "structure" else mutate_bytes)(a, rng)
        return Mutation(f"{a.relative_to(folder)}: {made.text}", made.valid)
    if what == "swap":
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)
    elif what == "remove":
        a.unlink()
    elif a != b:
        shutil.copyfile(a, b)
    return Mutation(f"{what}: {names}")


def edit_layout(folder: Path, rng: Rng) -> Mutation:
    """Remove, swap, add or rename files of the folder."""
    a, b = pick(rng, _files(folder)), pick(rng, _files(folder))
    names = f"{a.relative_to(folder)}, {b.relative_to(folder)}"
    what = pick(rng, ("remove", "copy", "copy", "swap", "stray", "rename", "no folder", "file"))
    directory = pick(rng, sorted(path for path in folder.rglob("*") if path.is_dir()))
    if what == "remove":
        a.unlink()
    elif what == "copy" and a != b:
        shutil.copyfile(a, b)
    elif what == "swap":
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)
    elif what == "stray":
        shutil.copyfile(a, b.with_name(pick(rng, STRAY)))
    elif what == "rename":
        new = pick(rng, NAMES)[:100].replace("/", "").replace("..", "x")
        directory.rename(directory.with_name(new))
    elif what == "no folder":
        shutil.rmtree(directory)
    else:
        shutil.rmtree(directory)
        directory.write_bytes(b"a file")
    return Mutation(f"{what}: {names}, {directory.name}")
