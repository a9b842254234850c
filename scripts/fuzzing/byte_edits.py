"""Mutations of bytes: whatever a disk, a network or a hand may do to a file of any kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from fuzzing.mutation import Mutation
from fuzzing.odd_things import pick

Rng = np.random.Generator
HEAD = 2048  # bytes at the beginning, and at the end, that are hit more often: headers stand there


def _place(n: int, rng: Rng) -> int:
    """Return a position in n bytes: near the beginning, near the end, or anywhere."""
    low, high = pick(rng, ((0, min(n, HEAD)), (max(0, n - HEAD), n), (0, n), (0, n)))
    return int(rng.integers(low, max(low + 1, high)))


def _range(n: int, rng: Rng) -> slice:
    start = _place(n, rng)
    return slice(start, min(n, start + int(2 ** rng.uniform(0, 10))))


def _flip(data: bytearray, rng: Rng) -> str:
    where = [_place(len(data), rng) for _ in range(int(2 ** rng.uniform(0, 5)))]
    for position in where:
        data[position] ^= 1 << int(rng.integers(8))
    return f"bits flipped at {where[:4]}"


def _noise(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    data[part] = rng.bytes(part.stop - part.start)
    return f"noise at {part.start}:{part.stop}"


def _zeros(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    data[part] = bytes(part.stop - part.start)
    return f"zeros at {part.start}:{part.stop}"


def _ones(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    data[part] = b"\xff" * (part.stop - part.start)
    return f"0xff at {part.start}:{part.stop}"


def _cut(data: bytearray, rng: Rng) -> str:
    stop = _place(len(data), rng)
    del data[stop:]
    return f"cut at {stop}"


def _extend(data: bytearray, rng: Rng) -> str:
    data += pick(rng, (bytes(1), bytes(4096), rng.bytes(700), bytes(data)))
    return f"extended to {len(data)}"


def _duplicate(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    at = _place(len(data), rng)
    data[at:at] = data[part]
    return f"{part.start}:{part.stop} inserted at {at}"


def _remove(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    del data[part]
    return f"{part.start}:{part.stop} removed"


def _copy(data: bytearray, rng: Rng) -> str:
    part = _range(len(data), rng)
    at = _place(len(data), rng)
    piece = data[part][: len(data) - at]
    data[at : at + len(piece)] = piece
    return f"{part.start}:{part.stop} copied to {at}"


def _number(data: bytearray, rng: Rng) -> str:
    size = pick(rng, (1, 2, 4, 8))
    value = pick(rng, (0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1))
    at = _place(len(data), rng) // size * size
    data[at : at + size] = value.to_bytes(size, "little")
    return f"{value} in {size} bytes at {at}"


EDITS = (_flip, _noise, _zeros, _ones, _cut, _extend, _duplicate, _remove, _copy, _number)


def mutate_bytes(path: Path, rng: Rng) -> Mutation:
    """Do one to three things to the bytes of a file."""
    data, done = bytearray(path.read_bytes()), []
    for _ in range(pick(rng, (1, 1, 1, 2, 3))):
        if data:
            done.append(pick(rng, EDITS)(data, rng))
    path.write_bytes(data)
    return Mutation("; ".join(done))


def splice(path: Path, rng: Rng) -> Mutation:
    """Take the beginning of a file from a sibling, and the rest from the file itself."""
    others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
    data = path.read_bytes()
    other = pick(rng, others).read_bytes() if others else data[::-1]
    at = _place(max(1, len(data)), rng)
    begins = rng.random() < 0.5
    path.write_bytes(other[:at] + data[at:] if begins else data[:at] + other[at:])
    # What begins as another file may be that one, with something behind: then its numbers come out.
    return Mutation(f"spliced with another file at {at}", begins or at == 0)


def replace(path: Path, rng: Rng) -> Mutation:
    """Put something in the place of a file that is no such file."""
    path.unlink()
    what = pick(rng, ("nothing", "empty", "folder", "fifo", "dangling", "loop", "device", "text"))
    if what == "empty":
        path.touch()
    elif what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what in ("dangling", "loop", "device"):
        path.symlink_to({"dangling": "nowhere", "loop": path.name, "device": "/dev/zero"}[what])
    elif what == "text":
        path.write_bytes(
            pick(rng, (b"hello\n", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\xff\xfe\x00"))
        )
    return Mutation(f"replaced by: {what}")
