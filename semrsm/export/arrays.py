"""Targets that NumPy, spreadsheets and MATLAB read: .npy, .npz, .csv, .mat, condensed vectors."""

from __future__ import annotations

import contextlib
import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.export.content import Content, ExportedRsm
from semrsm.storage.whole_files import sync_file


def write_npy(path: Path, content: Content) -> None:
    """Write the one RSM as (n, m), block by block."""
    [one] = content.rsms
    with path.open("xb") as stream:
        _write_matrix(stream, one)
        sync_file(stream)


def write_condensed(path: Path, content: Content) -> None:
    """Write the pairs i < j of the one RSM as a vector, as SciPy's squareform has it."""
    [one] = content.rsms
    with path.open("xb") as stream:
        _write_condensed(stream, one)
        sync_file(stream)


def write_npz(path: Path, content: Content) -> None:
    """Write every RSM under the name of its layer; and `samples`, `column_samples`, `labels`."""
    with _archive(path) as archive:
        for one in content.rsms:
            with _member(archive, one.name) as member:
                _write_matrix(member, one)
        for name, texts in _texts(content).items():
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.array(texts), allow_pickle=False)


def write_net2brain(path: Path, content: Content) -> None:
    """Write the one RSM as Net2Brain saves an RDM: `rdm` (condensed), `stimuli_name`, `layer_name`."""
    [one] = content.rsms
    names = content.samples or [str(i) for i in range(one.shape[0])]
    with _archive(path) as archive:
        with _member(archive, "rdm") as member:
            _write_condensed(member, one)
        for name, value in (("stimuli_name", names), ("layer_name", one.name)):
            with _member(archive, name) as member:
                np.lib.format.write_array(member, np.array(value), allow_pickle=False)


def write_csv(path: Path, content: Content) -> None:
    """Write the one RSM as a table; ids stand in the first column and in the header."""
    [one] = content.rsms
    with path.open("x", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        rows, columns = content.samples, content.column_samples
        if columns is None:
            columns = rows if one.rsm.symmetric else None
        if rows is not None:
            lines.writerow(["sample", *(columns or map(str, range(one.shape[1])))])
        elif columns is not None:
            lines.writerow(["sample", *columns])
            rows = [str(i) for i in range(one.shape[0])]
        for first, block in one.blocks():
            for k, row in enumerate(block):
                cells = row.astype(str).tolist()  # the shortest texts that give the same numbers
                lines.writerow(cells if rows is None else [rows[first + k], *cells])
        sync_file(stream)


def write_mat(path: Path, content: Content) -> None:
    """Write `rsm`, (n, m) or (n, m, layers), and cell arrays `layers`, `samples`, `labels`; MATLAB 5."""
    from scipy.io import savemat  # every command would wait for it

    stacked = np.empty(
        (*content.rsms[0].shape, len(content.rsms)), content.rsms[0].dtype, order="F"
    )
    for k, one in enumerate(content.rsms):
        for first, block in one.blocks():
            stacked[first : first + len(block), :, k] = block
    values: dict[str, Any] = {
        "rsm": stacked if len(content.rsms) > 1 else stacked[:, :, 0],
        "layers": _cells([one.name for one in content.rsms]),
        "matcher": _cells([one.rsm.matcher or "" for one in content.rsms]),
        "values": _cells([one.measure for one in content.rsms]),
    } | {name: _cells(texts) for name, texts in _texts(content).items()}
    with path.open("xb") as stream:
        savemat(stream, values, oned_as="column", long_field_names=True)
        sync_file(stream)


def _cells(texts: list[str]) -> NDArray[np.object_]:
    """Return texts as what becomes a cell array."""
    cells = np.empty(len(texts), dtype=object)
    cells[:] = texts
    return cells


def _texts(content: Content) -> dict[str, list[str]]:
    """Return what is known of the samples, by the names that arrays of it have."""
    known = {
        "samples": content.samples,
        "column_samples": content.column_samples,
        "labels": content.labels,
    }
    return {name: texts for name, texts in known.items() if texts is not None}


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with path.open("xb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            yield archive
        sync_file(stream)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an array of an archive to write; without a date, so that equal content gives equal bytes."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    about = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(stream, about)


def _write_matrix(stream: IO[bytes], one: ExportedRsm) -> None:
    _write_header(stream, one.shape, one.dtype)
    for _, block in one.blocks():
        stream.write(np.ascontiguousarray(block, one.dtype).data)


def _write_condensed(stream: IO[bytes], one: ExportedRsm) -> None:
    _write_header(stream, (one.n_pairs,), one.dtype)
    for values in one.condensed():
        stream.write(np.ascontiguousarray(values, one.dtype).data)
