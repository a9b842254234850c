"""Backends: all that differs between kinds of devices stands here, and nowhere else."""

from __future__ import annotations

from semrsm.engine.backends import cpu, cuda
from semrsm.engine.backends.backend import Backend

__all__ = ["BACKENDS", "Backend"]

BACKENDS: dict[str, Backend] = {
    b.name: b
    for b in (
        Backend(
            name="cpu",
            summary="cores of this machine; chunks that stay in their caches",
            count=lambda: 1,
            place=cpu.place,
            describe=lambda index: "cpu",
            precisions={"exact": "highest", "fast": "medium"},  # medium: bfloat16
            plan=cpu.plan,
            chunks=cpu.chunks,
            ready=cpu.ready,
            match=cpu.match,
            serves_workers=True,
            parts=16,
        ),
        Backend(
            name="cuda",
            summary="an NVIDIA GPU; chunks that fill it, two in flight",
            count=cuda.count,
            place=cuda.place,
            describe=cuda.describe,
            precisions={"exact": "highest", "fast": "high"},  # high: TF32
            plan=cuda.plan,
            chunks=cuda.chunks,
            ready=cuda.ready,
            match=cuda.match,
            serves_workers=False,
            parts=2,
        ),
    )
}
