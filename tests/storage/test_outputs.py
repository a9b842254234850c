"""Outputs: what is refused, what links lead to, and that nothing is written through what stands there."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.evaluate.results import Evaluation, write_details
from semrsm.machine import host
from semrsm.rsms import open_rsms
from semrsm.storage import whole_files
from semrsm.storage.rsm_writer import writing
from semrsm.storage.run_folder import refuse_foreign, run_folder_of, start_run
from semrsm.storage.run_lock import holder, is_locked, locked
from semrsm.storage.temporary_files import temporary_name
from semrsm.storage.whole_files import (
    aside,
    check_name,
    check_output,
    outputs_of_process,
    require_space,
    write_aside,
)
from tests.helpers import write_rsm
from tests.storage.test_run_folder import RUN


def special(folder: Path, kind: str) -> Path:
    """Make a device, a pipe or a socket."""
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("devices are made by root only")
    return path


@pytest.mark.parametrize("kind", ["device", "pipe", "socket"])
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_refused_and_stays(kind: str, linked: bool, tmp_path: Path) -> None:
    out = node = special(tmp_path, kind)
    if linked:
        out = tmp_path / "link"
        out.symlink_to(node)
    before = node.lstat()
    for overwrite in (False, True):
        with pytest.raises(SemrsmError, match=f"is a {kind}"):
            write_aside(out, b"new", overwrite)
        with pytest.raises(SemrsmError, match=f"is a {kind}"), writing(out, overwrite):
            pass
    assert stat.S_IFMT(node.lstat().st_mode) == stat.S_IFMT(before.st_mode)


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_bytes(b"older")
    out = tmp_path / "link"
    out.symlink_to("there/file")
    with pytest.raises(SemrsmError, match="exists"):
        check_output(out, overwrite=False)
    with aside(out) as partial:
        assert partial.parent == there
        partial.write_bytes(b"new")
    assert out.is_symlink()
    assert (there / "file").read_bytes() == b"new"
    assert list(there.iterdir()) == [there / "file"]


def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path: Path) -> None:
    out = tmp_path / "link"
    out.symlink_to("new")
    write_aside(out, b"new", overwrite=False)
    assert out.is_symlink()
    assert (tmp_path / "new").read_bytes() == b"new"
    lost = tmp_path / "lost"
    lost.symlink_to(tmp_path / "nowhere" / "file")
    with pytest.raises(SemrsmError, match=r"nowhere does not exist"):
        write_aside(lost, b"new")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "loop"
    out.symlink_to("loop")
    with pytest.raises(SemrsmError, match="cannot be used"):
        write_aside(out, b"new")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("new\nline", "control characters"),
        ("\x1b[2J", "control characters"),
        ("tab\t", "control characters"),
        ("\x85", "control characters"),
        (os.fsdecode(b"\xff"), "not UTF-8"),
        ("n" * 256, "has 256 bytes, and names may have 255"),
        ("ü" * 128, "has 256 bytes"),
        ("..", "is a folder"),
    ],
)
def test_a_name_that_no_file_should_have_is_refused(name: str, says: str, tmp_path: Path) -> None:
    for refuse in (check_name, run_folder_of, lambda out: check_output(out, True)):
        with pytest.raises(SemrsmError, match=says):
            refuse(tmp_path / name)


def test_a_path_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SemrsmError, match="cannot be used"):
        check_output(tmp_path / ("d" * 300) / "out", overwrite=True)
    deep = tmp_path.joinpath(*["d" * 200] * 19)
    with pytest.raises(SemrsmError, match="too long for files in it"):
        refuse_foreign(deep / "o.run", deep / "o")


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "語" * 85])
def test_the_longest_names_are_written(name: str, tmp_path: Path) -> None:
    write_aside(tmp_path / name, b"whole")
    assert (tmp_path / name).read_bytes() == b"whole"


@pytest.fixture
def foretold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A link to somebody's file that stands where the next temporary files will be made."""
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    original = temporary_name

    def foretell(out: Path) -> Path:
        partial = original(out)
        partial.parent.mkdir(exist_ok=True)
        partial.symlink_to(theirs)
        return partial

    monkeypatch.setattr(whole_files, "temporary_name", foretell)
    monkeypatch.setattr("semrsm.storage.run_folder.temporary_name", foretell)
    return theirs


WRITERS = {
    "bytes": lambda out: write_aside(out, b"new"),
    "rsm": lambda out: writing(out).__enter__(),
    "table": lambda out: write_details(out, [], overwrite=False),
    "run": lambda out: start_run(out, RUN),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_nothing_is_written_through_a_link_that_stands_there(
    kind: str, foretold: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "o"
    with pytest.raises(SemrsmError, match="File exists"):
        WRITERS[kind](out)
    assert foretold.read_text() == "mine"
    assert not out.is_file()


def test_a_name_that_is_taken_is_stepped_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = temporary_name(out)
    number = int(first.name.split(".")[-2])
    for k in range(1, 4):
        first.with_name(first.name.replace(f".{number}.", f".{number + k}.")).write_text("old")
    write_aside(out, b"new")
    assert out.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 4


def test_what_dead_processes_left_of_any_output_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in ("table.csv", "picture.png"):
        left = tmp_path / f".{name}.{host()}.{ended.pid}.0.partial"
        left.write_text("half")
        write_aside(tmp_path / name, b"whole")
        assert not left.exists()


def test_a_table_is_whole_or_not_there(tmp_path: Path) -> None:
    [rsm] = open_rsms(write_rsm(tmp_path / "r.rsm.h5", {"a": np.eye(3)}))
    found = [Evaluation(rsm, {"x": 1.0}, columns=("k",), details=lambda: [(1,), (2,)])]
    write_details(tmp_path / "t.csv", found, overwrite=False)
    with (tmp_path / "t.csv").open() as stream:
        assert [row[-1] for row in csv.reader(stream)] == ["k", "1", "2"]


def fsync_fails(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_files_is_no_failure(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync_fails(number, monkeypatch)
    write_aside(tmp_path / "out", b"whole")
    write_rsm(tmp_path / "r.rsm.h5", {"a": np.eye(3)})
    write_details(tmp_path / "t.csv", [], overwrite=False)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_file_that_is_not_on_disk_is_a_failure(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync_fails(number, monkeypatch)
    with pytest.raises(SemrsmError, match="cannot be written"):
        write_aside(tmp_path / "out", b"whole")
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_known_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before, after = tmp_path / "out", [], []
    replace = Path.replace

    def observed(partial: Path, target: Path) -> None:
        before.append(out in outputs_of_process())
        replace(partial, target)
        after.append(out in outputs_of_process())

    monkeypatch.setattr(Path, "replace", observed)
    whole_files.forget_outputs()
    write_aside(out, b"whole")
    assert (before, after, outputs_of_process()) == ([False], [True], [out])
    whole_files.forget_outputs()
    assert outputs_of_process() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_while_a_file_is_renamed(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is said to be written if it is."""
    replace = Path.replace

    def interrupted(partial: Path, target: Path) -> None:
        if moment == "after":
            replace(partial, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    whole_files.forget_outputs()
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write_aside(out, b"whole")
    assert out.exists() == (moment == "after")
    assert outputs_of_process() == [out] * out.exists()
    assert list(tmp_path.iterdir()) == [out] * out.exists()


def test_a_lock_that_is_a_link_or_a_pipe_is_not_written_to(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "o.run"
    theirs.write_text("mine")
    path.mkdir()
    (path / "lock").symlink_to(theirs)
    with pytest.raises(SemrsmError, match="cannot be made"), locked(path):
        pass
    assert theirs.read_text() == "mine"
    assert not is_locked(path)
    (path / "lock").unlink()
    os.mkfifo(path / "lock")
    with pytest.raises(SemrsmError, match="cannot be made"), locked(path):
        pass
    assert holder(path) == "another process"


def test_there_is_room_or_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(4000, 3000, 1000))
    needs = [("a.rsm.h5", tmp_path, 600), ("the tiles", tmp_path, 400)]
    require_space(needs)
    needs[1] = ("the tiles", tmp_path, 1401)
    with pytest.raises(SemrsmError, match=r"a\.rsm\.h5 and the tiles: 2,001 bytes .* 1,000 are"):
        require_space(needs)
    require_space([("a", tmp_path / "missing", 10**9)])
    for nothing in (usage(0, 0, 0), usage(4000, 4000, 0)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, n=nothing: n)
        require_space(needs)
