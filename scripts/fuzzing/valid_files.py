"""The valid files that mutations begin from: small, of every kind that a command reads."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
from fuzzing.calls import call
from fuzzing.targets import HAS_ZARR

N = 12  # samples
SEED = 20241

Arrays = dict[str, np.ndarray]

COMPUTED = (  # output, options; made by semrsm itself
    ("optimal.rsm.h5", "acts.h5 -k cosine -k linear -k rbf"),
    ("identity.rsm.h5", "acts.h5 -m identity -k cosine"),
    ("certified.rsm.h5", "acts.h5 -m greedy --certify -k cosine -l layer2"),
    ("rectangular.rsm.h5", "acts.h5 --against acts.npz -k rbf -l layer2"),
    ("folder.rsm.h5", "acts.h5 -m greedy --certify --shard 1/1"),
    ("half.rsm.h5", "acts.h5 -m identity --shard 1/2"),
)


def arrays() -> Arrays:
    """Return activations of two layers, and what is known of the samples."""
    rng = np.random.default_rng(SEED)
    maps = rng.normal(size=(N, 3, 2, 2)) + 2 * rng.normal(size=(N, 1, 2, 2))
    return {
        "block/layer1": maps.astype(np.float32),
        "layer2": rng.normal(size=(N, 4, 3)).astype(np.float64),
        "samples": np.array([f"image{k:02}.png" for k in range(N)]),
        "labels": np.repeat(np.arange(N // 3), 3),
        "views": np.repeat(np.arange(N // 2), 2),
        "logits": rng.normal(size=(N, 4)),
        "images": rng.integers(256, size=(N, 5, 5)).astype(np.uint8),
    }


def _write_hdf5(path: Path, made: Arrays, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        for name, array in made.items():
            if array.dtype.kind == "U":
                file[name] = array.astype(h5py.string_dtype())
            elif name == "layer2":
                file[name] = array
            else:
                rows = (4, *array.shape[1:])
                file.create_dataset(name, data=array, chunks=rows, compression="gzip")
        if "block/layer1" in made:
            file["block/layer1"].attrs["layout"] = "nchw"


def _write_foreign(folder: Path, made: Arrays) -> None:
    """Write the formats of other tools: torch, safetensors, Zarr, a file for each image."""
    import torch

    texts = {name: array.tolist() for name, array in made.items() if array.dtype.kind == "U"}
    numbers = {name: array for name, array in made.items() if name not in texts}
    torch.save({n: torch.from_numpy(a) for n, a in numbers.items()} | texts, folder / "acts.pt")
    header, content = {}, b""
    for name in ("block/layer1", "layer2"):
        kind, values = {4: "F32", 8: "F64"}[numbers[name].itemsize], numbers[name].tobytes()
        place = [len(content), len(content) + len(values)]
        header[name] = {"dtype": kind, "shape": numbers[name].shape, "data_offsets": place}
        content += values
    text = json.dumps(header).encode()
    (folder / "acts.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    (folder / "acts.images").mkdir()
    for k, name in enumerate(made["samples"]):
        one = {layer: made[layer][k : k + 1] for layer in ("block/layer1", "layer2")}
        np.savez(folder / "acts.images" / f"{name}.npz", **one)
    if HAS_ZARR:
        import zarr

        root = zarr.open_group(str(folder / "acts.zarr"), mode="w")
        for name, array in numbers.items():
            root.create_array(
                name, shape=array.shape, dtype=array.dtype, chunks=(4, *array.shape[1:])
            )
            root[name][...] = array


def _write_table(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _similarities(made: Arrays) -> np.ndarray:
    x = made["layer2"].reshape(N, -1)
    return x @ x.T


def _write_tables(folder: Path, made: Arrays) -> None:
    ids = made["samples"].tolist()
    for name in ("labels", "views"):
        rows = zip(ids, made[name].tolist(), strict=True)
        _write_table(folder / f"{name}.csv", [["sample", name], *map(list, rows)])
    logits = [[i, *row] for i, row in zip(ids, made["logits"].tolist(), strict=True)]
    _write_table(folder / "logits.csv", [["sample", "a", "b", "c", "d"], *logits])
    square = [[i, *row] for i, row in zip(ids, _similarities(made).tolist(), strict=True)]
    _write_table(folder / "matrix.csv", [["", *ids], *square])
    (folder / "run.toml").write_text(
        'layer = ["layer2"]\nkernel = ["cosine", "rbf"]\nmatcher = "topk-greedy"\ntopk = 2\n'
        'sigma = "median"\nsamples = "0:10"\nthreads = 1\nmemory = "1GiB"\ndtype = "float32"\n'
        'certify = true\nskip-tokens = 1\ndevice = "cpu"\n'
    )


def make(folder: Path) -> None:
    """Write all valid files into a folder that is there; semrsm itself makes the RSM files and run folders.

    The clocks of the process tick evenly meanwhile, so that files are as long as they were last time.
    """
    made = arrays()
    _write_hdf5(folder / "acts.h5", made)
    _write_hdf5(folder / "latest.h5", made, libver="latest")
    np.savez(folder / "acts.npz", **made)
    np.savez_compressed(folder / "small.npz", **made)
    _write_foreign(folder, made)
    np.save(folder / "acts.npy", made["block/layer1"])
    np.save(folder / "fortran.npy", np.asfortranarray(made["layer2"]))
    np.save(folder / "matrix.npy", _similarities(made))
    np.savez(folder / "matrix.npz", matrix=_similarities(made), samples=made["samples"])
    _write_hdf5(folder / "matrix.h5", {"matrix": _similarities(made), "samples": made["samples"]})
    _write_tables(folder, made)
    ticks = (tick / 1024 for tick in itertools.count())
    with mock.patch("time.perf_counter", side_effect=ticks):
        for out, options in COMPUTED:
            _run(f"compute {options} -o {out} --threads 1")
    _run("compare optimal.rsm.h5 identity.rsm.h5 -o table.csv")
    _run("report optimal.rsm.h5 -o page.html --images acts.h5::images --table table.csv")
    path = folder / "table.json"
    rows = list(csv.DictReader((folder / "table.csv").open()))
    path.write_text(json.dumps([row | {"value": float(row["value"])} for row in rows], indent=2))


def _run(command: str) -> None:
    if code := call(shlex.split(command)):
        raise RuntimeError(f"semrsm {command} ends with exit code {code}")
