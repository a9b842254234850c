"""What shapes the tiles of a run, as run.json holds it: two runs with the same one make the same tiles."""

from __future__ import annotations

import hashlib
from typing import Any

from semrsm.compute.layers import LayerInput
from semrsm.compute.options import RunOptions
from semrsm.compute.plan import LayerPlan, RunPlan
from semrsm.sample_numbers import spans
from semrsm.storage.activations import ActivationFile
from semrsm.storage.address import address_of
from semrsm.storage.sample_ids import read_sample_ids
from semrsm.version import __version__

# Of a layer, as LayerInfo names them: what is known of its RSM before anything is matched.
LAYER_FACTS = ("layout", "n_positions", "n_channels", "n_samples", "n_columns", "storage_mode")
# m_ii of a matcher without a permutation; runs of before, which have |x|² there, do not say it.
OWN_DIAGONAL = {"diagonal": "the matcher's own value"}


def describe_run(plan: RunPlan, options: RunOptions) -> dict[str, Any]:
    """Return the content of run.json: never kernels, sigma, device, threads or memory."""
    plans = list(plan.layers.values())
    first = plans[0]
    return {
        "semrsm": __version__,
        "matcher": first.work.matcher.name,
        "permutation": first.work.matcher.permutation,
        "parameters": first.parameters,
        "dtype": options.dtype,
        "precision": options.precision,
        "certify": options.certify,
        "samples": options.samples and options.samples.text,
        "exclude": options.exclude,
        "seed": options.seed if options.samples and options.samples.count else None,
        "taken": _describe_taken(first.rows),
        "column_taken": None if first.symmetric else _describe_taken(first.columns),
        "layout": options.layout,
        "bfloat16": options.bfloat16,
        "skip_tokens": options.skip_tokens,
        "pool": list(options.pool) if options.pool else None,
        "layers": {p.name: _describe_layer(p) for p in plans},
        "sample_ids": _ids(plan.file, first.rows),
        "column_ids": plan.other and _ids(plan.other, first.columns),
        "activations": _describe_file(plan.file, [p.rows for p in plans]),
        "against": plan.other and _describe_file(plan.other, [p.columns for p in plans]),
        "against_layer": address_of(options.against)[1] if options.against else None,
        **({} if first.work.matcher.permutation or not first.symmetric else OWN_DIAGONAL),
    }


def _ids(file: ActivationFile, layer: LayerInput) -> list[str] | None:
    ids = read_sample_ids(file, layer.layer.n_samples)
    return [ids[i] for i in layer.samples] if ids else None


def _describe_taken(layer: LayerInput) -> dict[str, Any]:
    """Return which samples of a file are taken, as FORMAT.md has it."""
    return {"samples": spans(layer.samples), "of": layer.layer.n_samples}


def _describe_layer(plan: LayerPlan) -> dict[str, Any]:
    """Return how a layer is read and cut into tiles."""
    return {
        "shape": list(plan.rows.layer.shape),
        "type": str(plan.rows.layer.dtype),
        "edge": plan.grid.edge,
        **plan.info.facts(*LAYER_FACTS),
    }


def _describe_file(file: ActivationFile, layers: list[LayerInput]) -> dict[str, Any]:
    """Return what tells a file from another, or from itself when it has been written to since."""
    stats = [part.stat() for part in file.files]
    return {
        "path": str(file.path.resolve()),
        "bytes": sum(status.st_size for status in stats),
        "modified_ns": max(status.st_mtime_ns for status in stats),
        "fingerprint": _fingerprint(layers),
    }


def _fingerprint(layers: list[LayerInput]) -> str:
    """Return a digest of the first, the middle and the last sample of every layer, as stored.

    Every sample has a digest of its own in the scan; this one only has to tell a wrong file early.
    """
    content = hashlib.blake2b(digest_size=16)
    for layer in layers:
        content.update(repr((layer.layer.name, layer.layer.shape, str(layer.layer.dtype))).encode())
        if not layer.layer.loaded_bytes:
            for sample in sorted({0, layer.n_samples // 2, layer.n_samples - 1}):
                content.update(layer.read(range(sample, sample + 1), checked=False).tobytes())
    return content.hexdigest()
