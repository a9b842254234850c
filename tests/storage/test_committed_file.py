"""A file written to in commits: whatever stops the writer, it is as one of its commits left it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.storage import committed_file
from semrsm.storage.committed_file import PAGE, CommittedFile, settle


class Killed(BaseException):
    """The process ends here."""


def dying_os(calls: int) -> SimpleNamespace:
    """Return a module `os` whose process dies at a call that changes the file, half-way through it."""
    left = [calls]

    def change(name: str):
        def call(descriptor: int, *args: object) -> object:
            left[0] -= 1
            if left[0] == 0 and name == "pwrite":
                view, offset = args
                os.pwrite(descriptor, bytes(view)[: len(view) // 2], offset)
            if left[0] <= 0:
                raise Killed
            return getattr(os, name)(descriptor, *args)

        return call

    return SimpleNamespace(**(vars(os) | {n: change(n) for n in ("pwrite", "ftruncate")}))


def content(path: Path) -> bytes:
    settle(path)
    return path.read_bytes()


def write_some(stream: CommittedFile, model: bytearray, rng: random.Random) -> None:
    """Write at random places of a file and of a model of it; now and then behind its end."""
    for _ in range(rng.randint(1, 5)):
        start = rng.randint(0, len(model) + rng.choice([0, 0, PAGE + 17]))
        data = rng.randbytes(rng.choice([1, 7, 100, PAGE, 3 * PAGE + 5]))
        model.extend(bytes(max(0, start + len(data) - len(model))))
        model[start : start + len(data)] = data
        stream.seek(start)
        assert stream.write(data) == len(data)
        if isinstance(stream._failure, Killed):  # a dead process goes no further
            raise stream._failure
        place = rng.randint(0, len(model))
        found = bytearray(rng.randint(0, 2 * PAGE))
        stream.seek(place)
        stream.readinto(found)
        assert found == model[place:][: len(found)].ljust(len(found), b"\0")


@given(seed=st.integers(0, 2**32), calls=st.integers(1, 60))
def test_killed_at_any_moment_it_is_as_a_commit_left_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, calls: int
) -> None:
    rng, path = random.Random(seed), tmp_path_factory.mktemp("file") / "a"
    stream, model = CommittedFile(path, new=True), bytearray()
    states, dead = (
        [b""],
        False,
    )  # what the file may be: the last commit, and the one that is being made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committed_file, "os", dying_os(calls))
        try:
            for _ in range(6):
                write_some(stream, model, rng)
                states.append(bytes(model))
                stream.commit()
                del states[0]
        except Killed:
            dead = True
    os.close(stream._descriptor)
    stream._descriptor = os.open(os.devnull, os.O_RDONLY)  # closed once more with the object
    found = content(path)
    # What was never committed may lie behind; HDF5 says itself where a file ends.
    assert any(found.startswith(state) for state in states)
    assert dead or found == bytes(model)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_committed_is_gone(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    stream, model = CommittedFile(tmp_path / "a", new=True), bytearray()
    write_some(stream, model, rng)
    stream.commit()
    before = bytes(model)
    write_some(stream, model, rng)
    stream.restore()
    assert content(tmp_path / "a") == before
    write_some(stream, bytearray(before), rng)
    stream.close()
    assert content(tmp_path / "a") == before


def test_a_full_disk_is_told_at_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = CommittedFile(tmp_path / "a", new=True)
    stream.write(b"x" * 100)
    stream.commit()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(committed_file.os, "pwrite", full)
        assert stream.write(b"y" * 9000) == 9000  # HDF5 must not learn of it
        with pytest.raises(OSError, match="No space"):
            stream.commit()
    stream.restore()
    stream.seek(0)
    stream.write(b"z")
    stream.commit()
    stream.close()
    assert content(tmp_path / "a") == b"z" + b"x" * 99


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    first = CommittedFile(path, new=True)
    with pytest.raises(SemrsmError, match="is being written by another process"):
        CommittedFile(path, new=False)
    first.close()
    CommittedFile(path, new=False).close()


def test_other_files_are_left_as_they_are(tmp_path: Path) -> None:
    for content_ in (b"", b"short", committed_file.MAGIC * 100, bytes(10_000)):
        path = tmp_path / "a"
        path.write_bytes(content_)
        settle(path)
        assert path.read_bytes() == content_
