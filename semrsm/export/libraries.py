"""Targets that a library writes or reads: Parquet tables, Zarr stores, rsatoolbox's RDMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from semrsm.export.content import Content, ExportedRsm
from semrsm.storage.rdm_file import write_rdms

CHUNK = 1 << 20  # bytes of a chunk of a Zarr array, whole rows


def write_rsatoolbox(path: Path, content: Content) -> None:
    """Write all RSMs as one RDMs object; `layer`, `matcher`, `kernel`, and `sample`, `label` of patterns."""
    measures = dict.fromkeys(one.measure for one in content.rsms)
    about = {
        "layer": [one.name for one in content.rsms],
        "matcher": [one.rsm.matcher or "" for one in content.rsms],
        "kernel": [one.rsm.kernel or "" for one in content.rsms],
    }
    known = {"sample": content.samples, "label": content.labels}
    write_rdms(
        path,
        [one.condensed for one in content.rsms],
        content.rsms[0].shape[0],
        ", ".join(measures),
        about,
        {name: texts for name, texts in known.items() if texts is not None},
    )


def write_parquet(path: Path, content: Content) -> None:
    """Write a table with a row for each pair i <= j (each entry if rectangular), a row group a block."""
    import pyarrow as pa
    from pyarrow import parquet

    fields = [
        (name, pa.dictionary(pa.int32(), pa.string())) for name in ("layer", "matcher", "kernel")
    ]
    fields += [("i", pa.int32()), ("j", pa.int32())]
    texts = {
        "sample_i": content.samples,
        "sample_j": content.column_samples or (content.samples if _symmetric(content) else None),
        "label_i": content.labels,
        "label_j": content.labels if _symmetric(content) else None,
    }
    known = {name: np.array(values) for name, values in texts.items() if values is not None}
    fields += [(name, pa.dictionary(pa.int32(), pa.string())) for name in known]
    fields += [("value", pa.from_numpy_dtype(content.rsms[0].dtype))]
    schema = pa.schema(fields)
    with parquet.ParquetWriter(path, schema) as writer:
        for one in content.rsms:
            for first, block in one.blocks():
                writer.write_table(_pairs(one, first, block, known, schema))


def _pairs(
    one: ExportedRsm, first: int, block: np.ndarray, known: dict[str, np.ndarray], schema: Any
) -> Any:
    """Return the rows of the table for a block."""
    import pyarrow as pa

    rows = np.arange(first, first + len(block), dtype=np.int32)[:, None]
    columns = np.arange(block.shape[1], dtype=np.int32)[None]
    kept = rows <= columns if one.rsm.symmetric else np.ones(block.shape, bool)
    i, j = (np.broadcast_to(side, block.shape)[kept] for side in (rows, columns))
    same = np.zeros(len(i), np.int32)
    arrays = [
        pa.DictionaryArray.from_arrays(same, [text])
        for text in (one.name, one.rsm.matcher or "", one.rsm.kernel or "")
    ]
    arrays += [pa.array(i), pa.array(j)]
    arrays += [
        pa.DictionaryArray.from_arrays(i if name.endswith("_i") else j, texts.tolist())
        for name, texts in known.items()
    ]
    return pa.Table.from_arrays([*arrays, pa.array(block[kept])], schema=schema)


def _symmetric(content: Content) -> bool:
    return content.rsms[0].rsm.symmetric


def write_zarr(path: Path, content: Content) -> None:
    """Write a group with an array for each RSM; `samples` and `labels` are attributes of the group."""
    import zarr

    group = zarr.open_group(path, mode="w")
    known = {
        "samples": content.samples,
        "column_samples": content.column_samples,
        "labels": content.labels,
    }
    group.attrs.update({name: texts for name, texts in known.items() if texts is not None})
    for one in content.rsms:
        rows, columns = one.shape
        chunks = min(rows, max(1, CHUNK // (one.dtype.itemsize * columns))), columns
        array = group.create_array(one.name, shape=one.shape, chunks=chunks, dtype=one.dtype)
        array.attrs.update(
            {"matcher": one.rsm.matcher, "kernel": one.rsm.kernel, "values": one.measure}
        )
        for first, block in one.blocks():
            array[first : first + len(block)] = block
