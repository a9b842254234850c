"""Structural edits of .npy and .npz files: headers that lie, odd arrays, odd members."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
from fuzzing.mutation import Mutation
from fuzzing.odd_things import ARRAY_EDITS, NAMES, pick

Rng = np.random.Generator

DESCRIPTIONS = (
    "'|O'",
    "'<f4'",
    "'>f8'",
    "'|V2000000000'",
    "'<U500000000'",
    "'|S0'",
    "[('a', '<f4'), ('b', '<f4')]",
    "'<M8[s]'",
    "'q' * 9",
    "3",
    "'" + "f" * 5000 + "'",
)
SHAPES = (
    "(1099511627776, 3, 2, 2)",
    "(12, 4294967296, 4294967296)",
    "(9223372036854775807,)",
    "(-12, 3, 2, 2)",
    "(12.0, 12)",
    "(True, 12)",
    "()",
    "12",
    "(0, 0)",
    "(" + "1," * 70 + ")",
    "(" * 3000 + ")" * 3000,
    "(1" + "0" * 5000 + ",)",
)
HEADERS = (
    "{}",
    "[]",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 12), 'more': 1}",
    "{'descr': '<f4', 'fortran_order': 7, 'shape': (12, 12)}",
    "__import__('os').getcwd()",
    "{" * 9000,
    "\x00" * 50,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 12)",
)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _with_header(header: str, content: bytes, rng: Rng) -> bytes:
    text = header.encode("latin1") + b"\n"
    version = pick(rng, (1, 1, 2, 2, 3, 9)) if len(text) < 2**16 else 2
    size = 2 if version == 1 else 4
    length = pick(rng, (len(text),) * 6 + (0, 2 ** (8 * size) - 1, len(text) * 2))
    length = min(length, 2 ** (8 * size) - 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(size, "little") + text + content


def _npy_content(content: bytes, rng: Rng) -> tuple[bytes, str, bool]:
    """Return the bytes of another .npy file, what is odd, and whether it is valid and finite."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError:
        array = np.zeros((12, 12))
    if rng.random() < 0.5:
        made, text = pick(rng, ARRAY_EDITS)(array, rng)
        return _npy(made), text, text.startswith("finite")
    shape, descr = str(array.shape), f"'{array.dtype.str}'"
    header = pick(
        rng,
        (
            f"{{'descr': {descr}, 'fortran_order': False, 'shape': {pick(rng, SHAPES)}}}",
            f"{{'descr': {pick(rng, DESCRIPTIONS)}, 'fortran_order': False, 'shape': {shape}}}",
            pick(rng, HEADERS),
        ),
    )
    body = array.tobytes()
    if "|O" in header:
        body = pickle.dumps(np.array([1, "x"], dtype=object))
    return _with_header(header, body, rng), f"header {header[:60]}", False


def edit_npy(path: Path, rng: Rng) -> Mutation:
    """Give a .npy file another array or header."""
    content, text, valid = _npy_content(path.read_bytes(), rng)
    path.write_bytes(content)
    return Mutation(text, valid)


Members = list[tuple[str, bytes]]


def _other_member(members: Members, rng: Rng) -> tuple[str, bool]:
    k = int(rng.integers(len(members)))
    name, content = members[k]
    content, text, valid = _npy_content(content, rng)
    members[k] = name, content
    return f"{name}: {text}", valid


def _remove_member(members: Members, rng: Rng) -> tuple[str, bool]:
    name, _ = members.pop(int(rng.integers(len(members))))
    return f"{name} removed", name == "upper_bound.npy"


def _rename_member(members: Members, rng: Rng) -> tuple[str, bool]:
    k = int(rng.integers(len(members)))
    new = pick(rng, NAMES)[:4000] + pick(rng, (".npy", ".npy", "", ".txt", "/"))
    old, content = members[k]
    members[k] = new.replace("\x00", ""), content
    return f"{old} renamed to {new[:40]!r}", False


def _repeat_member(members: Members, rng: Rng) -> tuple[str, bool]:
    name, content = pick(rng, members)
    members.append((name, pick(rng, members)[1] if rng.random() < 0.5 else content))
    return f"{name} twice", False


def _swap_members(members: Members, rng: Rng) -> tuple[str, bool]:
    a, b = (int(k) for k in rng.integers(len(members), size=2))
    (first, x), (second, y) = members[a], members[b]
    members[a], members[b] = (first, y), (second, x)
    return f"{first} and {second} swapped", True


def _bomb(members: Members, rng: Rng) -> tuple[str, bool]:
    k = int(rng.integers(len(members)))
    name, _ = members[k]
    members[k] = name, _npy(np.zeros((12, 1 << 20), pick(rng, (np.float32, np.int8))))
    return f"{name} a bomb", True


MEMBER_EDITS = (
    *(_other_member,) * 5,
    _remove_member,
    _rename_member,
    _repeat_member,
    _swap_members,
)


def _pack(path: Path, members: Members, rng: Rng, compression: int) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
        if rng.random() < 0.1:
            archive.comment = rng.bytes(300)
    if rng.random() > 0.15:
        return ""
    # A field of the first entry of the central directory lies: flags, method, checksum, sizes, offset.
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02") + pick(rng, (8, 10, 16, 20, 24, 28, 30, 42))
    value = pick(rng, (0, 1, 9, 99, 0x7FFFFFFF, 0xFFFFFFFF))
    data[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)
    return f"; a field of the directory is {value}"


def edit_npz(path: Path, rng: Rng) -> Mutation:
    """Change the members of a .npz file."""
    with zipfile.ZipFile(path) as archive:
        members = [(m.filename, archive.read(m)) for m in archive.infolist()]
        compression = archive.infolist()[0].compress_type
    edit = _bomb if rng.random() < 0.01 else pick(rng, MEMBER_EDITS)
    text, valid = edit(members, rng)
    if rng.random() < 0.1:
        compression = pick(rng, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED))
    if edit is _bomb:
        compression = zipfile.ZIP_DEFLATED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands there twice
        return Mutation(text + _pack(path, members, rng, compression), valid)
