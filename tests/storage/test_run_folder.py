"""The run folder: what is written is read, damage is noticed, another run is refused, one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.machine import host
from semrsm.storage.run_folder import (
    RunFolder,
    TileFile,
    file_name,
    read_run,
    refuse_foreign,
    start_run,
)
from semrsm.storage.run_json import differing, problem_of, run_id, with_digest
from semrsm.storage.run_lock import is_locked, locked
from semrsm.storage.temporary_files import remove_leftovers, temporary_name
from semrsm.storage.whole_files import aside

LAYER = {"n_positions": 1, "n_channels": 2, "n_samples": 7, "n_columns": 7, "edge": 4}
RUN = {
    **{"semrsm": "0", "matcher": "optimal", "permutation": True, "parameters": {}},
    **{"dtype": "float32", "precision": "exact", "certify": False, "bfloat16": False},
    **{"samples": None, "layout": None, "skip_tokens": 0, "pool": None, "sample_ids": None},
    "layers": {"a/b": {"layout": "nd", "storage_mode": "symmetric", **LAYER}},
    "activations": {"path": "/here/a.h5", "bytes": 9, "modified_ns": 1, "fingerprint": "f"},
    **{"against": None, "against_layer": None},
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return start_run(tmp_path / "o.rsm.h5.run", RUN)


def tile(rng: np.random.Generator, bound: bool = False) -> TileFile:
    matched = rng.normal(size=(3, 4))
    return TileFile(matched, matched + 1 if bound else None, {"seconds": 1.5, "solver": None})


def test_a_tile_is_read_as_it_was_written(folder: RunFolder, rng: np.random.Generator) -> None:
    written = tile(rng)
    assert folder.read_tile("a/b", (1, 12), (3, 4)) is None
    folder.write_tile("a/b", (1, 12), written)
    found = folder.read_tile("a/b", (1, 12), (3, 4))
    assert found is not None
    np.testing.assert_array_equal(found.matched, written.matched)
    assert found.upper_bound is None
    assert found.provenance["seconds"] == 1.5
    assert list(folder.places("a/b")) == [(1, 12)]
    assert [str(p.relative_to(folder.path)) for p in folder.path.glob("tiles/*/*")] == [
        "tiles/a%2Fb/1-12.npz"
    ]
    assert folder.holds_tiles()
    assert not folder.holds_scans()


def test_a_scan_is_read_as_it_was_written(folder: RunFolder) -> None:
    assert folder.read_scan("a/b") is None
    folder.write_scan("a/b", {"squared_norm": np.arange(3.0)})
    found = folder.read_scan("a/b")
    assert found is not None
    np.testing.assert_array_equal(found["squared_norm"], np.arange(3.0))


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_makes_another_number(
    place: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = start_run(tmp_path_factory.getbasetemp() / "flipped.run", RUN)
    written = tile(np.random.default_rng(20241))
    folder.write_tile("a/b", (0, 0), written)
    path = folder.tile_path("a/b", (0, 0))
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    found = folder.read_tile("a/b", (0, 0), (3, 4))
    if found is not None:  # the bit stood where nothing is said, such as a date
        np.testing.assert_array_equal(found.matched, written.matched)


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_tile_cut_short_is_none(folder: RunFolder, rng: np.random.Generator, left: int) -> None:
    folder.write_tile("a/b", (0, 0), tile(rng))
    path = folder.tile_path("a/b", (0, 0))
    path.write_bytes(path.read_bytes()[:left])
    assert folder.read_tile("a/b", (0, 0), (3, 4)) is None
    folder.remove_tile("a/b", (0, 0))
    assert folder.places("a/b") == {}


def test_a_tile_of_another_run_shape_or_without_its_bound_is_none(
    folder: RunFolder, rng: np.random.Generator
) -> None:
    folder.write_tile("a/b", (0, 0), tile(rng))
    assert folder.read_tile("a/b", (0, 0), (4, 3)) is None
    other = RunFolder(folder.path, RUN | {"matcher": "greedy"})
    assert other.read_tile("a/b", (0, 0), (3, 4)) is None
    certified = RunFolder(folder.path, RUN | {"certify": True})
    certified.write_tile("a/b", (0, 1), tile(rng))
    assert certified.read_tile("a/b", (0, 1), (3, 4)) is None
    certified.write_tile("a/b", (0, 2), tile(rng, bound=True))
    assert certified.read_tile("a/b", (0, 2), (3, 4)) is not None


def test_the_same_run_is_gone_on_with_wherever_its_input_lies(folder: RunFolder) -> None:
    elsewhere = RUN | {"activations": RUN["activations"] | {"path": "/there", "modified_ns": 2}}
    assert run_id(elsewhere) == folder.run_id
    assert start_run(folder.path, elsewhere).run["activations"]["modified_ns"] == 1


def test_another_run_is_refused_with_what_differs(folder: RunFolder) -> None:
    with pytest.raises(SemrsmError, match=r"matcher is optimal, not greedy; .* `restart=True`"):
        start_run(folder.path, RUN | {"matcher": "greedy"})
    with pytest.raises(SemrsmError, match=r"layers\.a/b\.edge is 4, not 8"):
        start_run(folder.path, RUN | {"layers": {"a/b": RUN["layers"]["a/b"] | {"edge": 8}}})
    changed = RUN | {"activations": RUN["activations"] | {"bytes": 10}}
    with pytest.raises(SemrsmError, match=r"/here/a\.h5 is not what it was .*bytes 9, now 10"):
        start_run(folder.path, changed)
    assert differing(RUN, RUN) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "o.run").mkdir()
    (tmp_path / "o.run" / "thesis.tex").write_text("all of it")
    with pytest.raises(SemrsmError, match="is no run folder"):
        refuse_foreign(tmp_path / "o.run", tmp_path / "o")
    assert (tmp_path / "o.run" / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "\x00"])
def test_a_damaged_description_of_a_run_is_refused(folder: RunFolder, content: str) -> None:
    (folder.path / "run.json").write_text(content)
    with pytest.raises(SemrsmError, match=r"run\.json .*`restart=True`"):
        read_run(folder.path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_description_is_noticed(place: float, bit: int) -> None:
    content = bytearray(json.dumps(with_digest(RUN), indent=1).encode())
    content[int(place * len(content))] ^= 1 << bit
    with contextlib.suppress(ValueError):
        run = json.loads(content.decode())
        assert problem_of(run) or run == with_digest(RUN)  # the bit stood between two values


def test_a_value_of_a_description_that_was_changed_by_hand_is_noticed(folder: RunFolder) -> None:
    path = folder.path / "run.json"
    path.write_text(path.read_text().replace('"optimal"', '"greedy"'))
    with pytest.raises(SemrsmError, match=r"run\.json .*digest.*`restart=True`"):
        read_run(folder.path)


def test_a_tile_or_scan_in_the_place_of_another_is_none(
    folder: RunFolder, rng: np.random.Generator
) -> None:
    for layer in ("a/b", "c"):
        folder.write_scan(layer, {"squared_norm": np.arange(3.0)})
        folder.write_tile(layer, (0, 1), tile(rng))
    shutil.copyfile(folder.tile_path("a/b", (0, 1)), folder.tile_path("a/b", (0, 2)))
    shutil.copyfile(folder.tile_path("c", (0, 1)), folder.tile_path("a/b", (0, 1)))
    shutil.copyfile(folder.scan_path("c"), folder.scan_path("a/b"))
    assert folder.read_tile("a/b", (0, 2), (3, 4)) is None
    assert folder.read_tile("a/b", (0, 1), (3, 4)) is None
    assert folder.read_scan("a/b") is None
    assert folder.read_tile("c", (0, 1), (3, 4)) is not None
    other = RunFolder(folder.path, RUN | {"matcher": "greedy"})
    assert other.read_scan("c") is None


def test_other_numbers_in_a_tile_or_scan_are_noticed(
    folder: RunFolder, rng: np.random.Generator
) -> None:
    folder.write_scan("a/b", {"squared_norm": np.arange(3.0)})
    folder.write_tile("a/b", (0, 1), tile(rng))
    for path, name in (
        (folder.scan_path("a/b"), "squared_norm"),
        (folder.tile_path("a/b", (0, 1)), "matched"),
    ):
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays[name] = np.nextafter(arrays[name], 9)
        np.savez(path, **arrays)
    assert folder.read_scan("a/b") is None
    assert folder.read_tile("a/b", (0, 1), (3, 4)) is None


def test_a_folder_that_cannot_be_made_is_one_sentence(
    folder: RunFolder, rng: np.random.Generator
) -> None:
    (folder.path / "tiles").write_bytes(b"a file")
    with pytest.raises(SemrsmError, match="cannot be written"):
        folder.write_tile("a/b", (0, 1), tile(rng))


def test_what_is_no_tile_is_passed_over(folder: RunFolder, rng: np.random.Generator) -> None:
    folder.write_tile("a/b", (0, 1), tile(rng))
    tiles = folder.tile_path("a/b", (0, 1)).parent
    for name in ("\u00b2-0.npz", "x-1.npz", "9" * 5000 + "-0.npz", "0-0.npz.bak", "-1-0.npz"):
        (tiles / name[-200:]).touch()
    (tiles / "0-2.npz").symlink_to("0-2.npz")
    assert list(folder.places("a/b")) == [(0, 1)]
    shutil.rmtree(tiles)
    tiles.write_bytes(b"a file where a folder was")
    assert folder.places("a/b") == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"matcher": 5}, "matcher is '5', not text"),
        ({"matcher": None}, "matcher is 'not given'"),
        ({"certify": "no"}, "certify is 'no', not true or false"),
        ({"skip_tokens": True}, "skip_tokens is 'True'"),
        ({"layers": []}, "layers is"),
        ({"layers": {}}, "no layer"),
        ({"layers": {"a": None}}, "layers.a is no object"),
        ({"layers": {"a": LAYER}}, "layers.a.layout is"),
        ({"activations": None}, "activations is"),
        ({"against": {}}, r"against\.path is"),
        *(
            ({"layers": {"a": RUN["layers"]["a/b"] | {"edge": edge, "n_samples": n}}}, f"{n} x 7")
            for edge, n in ((0, 7), (-1, 7), (4, 0), (1, 10**30))
        ),
    ],
)
def test_a_description_that_misses_something_is_refused(
    change: dict[str, object], says: str, folder: RunFolder
) -> None:
    """Or status and finish would stumble over it, or look for tiles for ever."""
    (folder.path / "run.json").write_text(json.dumps(RUN | change))
    with pytest.raises(SemrsmError, match=rf"run\.json does not describe a run: .*{says}"):
        read_run(folder.path)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000])
def test_a_deep_description_is_refused(content: str, folder: RunFolder) -> None:
    (folder.path / "run.json").write_text(content)
    with pytest.raises(SemrsmError, match=r"run\.json cannot be read"):
        read_run(folder.path)


@pytest.mark.parametrize("name", ["run.json", "tiles/a%2Fb/0-0.npz", "scan/a%2Fb.npz"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(name: str, folder: RunFolder) -> None:
    path = folder.path / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    if name == "run.json":
        with pytest.raises(SemrsmError, match=r"run\.json is a pipe"):
            read_run(folder.path)
    assert folder.read_tile("a/b", (0, 0), (3, 4)) is None
    assert folder.read_scan("a/b") is None


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=300))
def test_every_name_of_a_layer_is_a_name_of_a_file(name: str) -> None:
    made = file_name(name)
    assert len(made.encode()) <= 255
    assert made not in (".", "..")
    assert not set(made) & set("/\\\0")
    assert file_name(name + "x") != made


def test_one_run_at_a_time_and_several_shards(tmp_path: Path) -> None:
    path = tmp_path / "o.run"
    with locked(path):
        assert is_locked(path)
        with (
            pytest.raises(SemrsmError, match=f"in use by process {os.getpid()} on {host()}"),
            locked(path),
        ):
            pass
        with pytest.raises(SemrsmError, match="in use by"), locked(path, shared=True):
            pass
    assert not is_locked(path)
    shards = locked(path, shared=True), locked(path, shared=True)
    with shards[0], shards[1], pytest.raises(SemrsmError, match=r"\(a shard\)"), locked(path):
        pass
    with locked(path):
        pass


def test_a_file_system_without_locks_has_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "o.run"), locked(tmp_path / "o.run"):
        assert not is_locked(tmp_path / "o.run")


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    with aside(tmp_path / "out") as partial:
        partial.write_text("whole")
    assert (tmp_path / "out").read_text() == "whole"


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_dead_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "o[1].rsm.h5"
    own = temporary_name(out)
    dead = own.with_name(own.name.replace(f".{os.getpid()}.", f".{ended_process()}."))
    elsewhere = own.with_name(own.name.replace(host(), "other-12345678"))
    old = own.with_name(own.name.replace(host(), "older-12345678"))
    unlike = tmp_path / "o1.rsm.h5.partial"
    for path in (own, dead, elsewhere, old, unlike):
        path.write_text("half")
    os.utime(old, (0, 0))
    remove_leftovers(out)
    assert set(tmp_path.iterdir()) == {own, elsewhere, unlike}


def test_a_temporary_name_is_no_longer_than_a_name_may_be(tmp_path: Path) -> None:
    out = tmp_path / ("x" * 255)
    with aside(out) as partial:
        partial.write_text("whole")
    assert out.read_text() == "whole"


def test_restarting_forgets_the_run_and_keeps_its_lock(
    folder: RunFolder, rng: np.random.Generator
) -> None:
    folder.write_tile("a/b", (0, 0), tile(rng))
    folder.write_scan("a/b", {"squared_norm": np.arange(3.0)})
    with locked(folder.path):
        folder.clear()
        assert [path.name for path in folder.path.iterdir()] == ["lock"]
        start_run(folder.path, RUN | {"matcher": "greedy"})
    shutil.rmtree(folder.path)
