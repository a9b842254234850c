"""`semrsm info`: what a file holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from semrsm.cli.console import bytes_for_people, print_json, print_table, say
from semrsm.cli.untrusted import MEMORY, SECONDS, seconds_for
from semrsm.compute.check_run import run_contents, run_faults
from semrsm.compute.conventions import hints_of
from semrsm.engine.positions import Positions, positions_of
from semrsm.errors import SemrsmError
from semrsm.in_child import in_child
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.check import faults_of
from semrsm.storage.layer import Layer, sentence_of
from semrsm.storage.rsm_file import is_rsm_file, open_rsm
from semrsm.storage.sample_ids import ids_array, near_miss, read_sample_ids

# What arrays beside the layers hold, by the names that other commands look for.
ROLES = {
    "labels": "labels of the samples",
    "logits": "logits of the samples",
    "views": "of what thing each sample is a view",
    "images": "images of the samples",
}


def info(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Look at this activation file, RSM file or run folder.",
            show_default=False,
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read everything and say what is wrong.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what an activation file, RSM file or run folder holds, and how an RSM file was made.

    The file is opened in a process of its own, with limits of memory and time.

    Example: semrsm info dump.rsm.h5 --check
    """
    if not check:
        _print(file, *_apart(file), json)
        return
    faults = in_child(lambda: _faults(file), str(file), seconds_for(file), MEMORY)
    about: dict[str, Any] = {}
    try:
        kind, about, rows = _apart(file)
    except SemrsmError:  # one of the faults
        if json:
            _print(file, "damaged file", {"faults": faults}, [], json)
    else:
        _print(file, kind, about | ({"faults": faults} if json else {}), rows, json)
    if faults:
        for fault in faults if len(faults) > 1 else []:
            say(fault)
        raise SemrsmError(
            faults[0] if len(faults) == 1 else f"{file}: {len(faults)} parts are wrong, see above"
        )
    without = about.get("checksums") is False
    note = "; it has no checksums, so that changed numbers cannot be told" if without else ""
    say(f"{file}: everything was read and nothing is wrong{note}")


def _apart(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Return `_contents`, found in a child process."""
    seconds = seconds_for(path) if path.is_dir() else SECONDS
    return in_child(lambda: _contents(path), str(path), seconds, MEMORY)


def _faults(path: Path) -> list[str]:
    return list(run_faults(path) if _is_run_folder(path) else faults_of(path))


def _is_run_folder(path: Path) -> bool:
    """Say whether a folder is one of a run, whole or not, rather than of activation files."""
    return path.is_dir() and ((path / "run.json").exists() or path.suffix == ".run")


def _contents(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Return what kind of file it is, what is said of it as a whole, and of each layer."""
    if (path / "run.json").exists():
        return "run folder", {}, run_contents(path)
    return _rsm_file(path) if is_rsm_file(path) else _activation_file(path)


def _print(
    file: Path, kind: str, about: dict[str, Any], rows: list[dict[str, Any]], json: bool
) -> None:
    if json:
        print_json({"file": str(file), "kind": kind, **about, "layers": rows})
        return
    columns = list(rows[0]) if rows else []
    print_table(columns, [[_cell(v) for v in row.values()] for row in rows])
    say(f"{file}: {kind}")
    for note in about.pop("notes", []):
        say(f"  {note}")
    for key, value in about.items():
        for name, part in value.items() if isinstance(value, dict) else [(None, value)]:
            say(f"  {key}{'.' + name if name else ''}: {'none' if part is None else _cell(part)}")


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items() if v not in (None, [], False))
    if isinstance(value, list | tuple):
        return ("x" if all(isinstance(v, int) for v in value) else ", ").join(map(str, value))
    return value


def _rsm_file(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    with open_rsm(path) as file:
        rows = [
            {
                "layer": layer.name,
                "rows": layer.n_samples,
                "columns": layer.n_columns,
                "positions": layer.n_positions,
                "channels": layer.n_channels,
                "matcher": layer.matcher,
                "kernels": " ".join(layer.sigmas),
                "sigma": next((s for s in layer.sigmas.values() if s is not None), None),
                "solver": layer.parameters.get("solver"),
                "device": layer.parameters.get("device"),
                "dtype": layer.parameters.get("dtype"),
                "largest_gap": (layer.parameters.get("certificate") or {}).get("largest"),
            }
            for layer in file.layers().values()
        ]
        first = next(iter(file.layers().values()), None)
        taken = first and file.taken(first.n_samples)
        about = {
            "generated_by": file.generated_by,
            "created": file.created,
            "checksums": file.digests is not None,
            "sample_ids": _ids("samples", file.samples()),
            "taken": None if taken is None else str(taken),
            "metadata": file.metadata,
        }
        return "RSM file", about, rows


def _activation_file(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    with open_activations(path) as file:
        counts = dict.fromkeys(layer.n_samples for layer in file.layers().values())
        of_samples = _of_samples(file, counts)
        rows = [
            _array(layer, name in file.layers(), of_samples.get(name))
            for name, layer in file.arrays.items()
        ]
        about: dict[str, Any] = {
            "bytes": bytes_for_people(sum(part.stat().st_size for part in file.files))
        }
        arrays = [array for n in counts if (array := ids_array(file, n))]
        ids = read_sample_ids(file, arrays[0].n_samples) if arrays else None
        about["sample_ids"] = _ids(arrays[0].name if arrays else "", ids)
        if note := next((layer.note for layer in file.arrays.values() if layer.note), None):
            about["note"] = note
        if hints := [hint for n in counts if (hint := near_miss(file, n))]:
            about["hint"] = hints[0]
        if notes := [*file.contents.notes, *hints_of(_readable(file.layers().values()))]:
            about["notes"] = notes
        return f"activation file ({file.format})", about, rows


def _readable(layers: Iterable[Layer]) -> Iterator[tuple[str, tuple[int, ...], Positions]]:
    """Yield name, shape and positions of the layers that can be read as positions."""
    for layer in layers:
        with contextlib.suppress(SemrsmError):
            yield layer.name, layer.shape, positions_of(layer.shape, layer.layout)


def _ids(array: str, ids: list[str] | None) -> dict[str, Any] | None:
    """Say which ids of samples were found."""
    return {"array": array, "n": len(ids), "first": ids[0]} if ids else None


def _of_samples(file: ActivationFile, counts: Iterable[int]) -> dict[str, str]:
    """Say of arrays that other commands look for what they hold of each sample, by their names."""
    roles = {array.name: "ids of the samples" for n in counts if (array := ids_array(file, n))}
    for name, array in file.arrays.items():
        what = ROLES.get(name.rpartition("/")[2])
        if what and array.shape[:1] and array.shape[0] in counts:
            roles.setdefault(name, what)
    return roles


def _array(layer: Layer, taken: bool, role: str | None = None) -> dict[str, Any]:
    """Say how one array is read, or why it is no layer; `role` is what it holds of each sample instead."""
    row: dict[str, Any] = {
        "layer": layer.name,
        "shape": list(layer.shape),
        "dtype": "bfloat16" if layer.bfloat16 else str(layer.dtype),
        "layout": None,
        "samples": None,
        "positions": None,
        "channels": None,
        "computed": "yes" if taken else f"when named: {role}" if role else "when named",
    }
    try:
        if problem := layer.problem():
            raise SemrsmError(role or problem)
        positions = positions_of(layer.shape, layer.layout)
        if gaps := layer.gaps:
            raise SemrsmError(sentence_of(gaps))
    except SemrsmError as error:
        return row | {"computed": f"no: {error}"}
    return row | {
        "layout": positions.layout,
        "samples": layer.n_samples,
        "positions": positions.count(layer.shape),
        "channels": positions.channels(layer.shape),
    }
