"""Runs that something happens to: each ends in a file whose arrays equal those of an undisturbed run."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from semrsm.compute import grid
from semrsm.storage import run_folder
from semrsm.storage.run_folder import read_run, run_folder_of
from semrsm.storage.run_json import with_digest
from semrsm.storage.run_lock import locked
from semrsm.storage.temporary_files import temporary_name
from tests.helpers import fail, run, start, succeed, write_h5

Arrays = dict[str, np.ndarray]
OPTIONS = ("-k", "cosine", "-k", "rbf", "--threads", 1)
EDGE = 8  # of the tiles of most tests: so small a run would be one tile
# As if the disk filled up later: a run asks for room before it starts.
ROOM_UNKNOWN = (
    "import shutil, types; shutil.disk_usage = lambda path: types.SimpleNamespace(free=0)"
)
SMALL_TILES = f"from semrsm.compute import grid; grid.LARGEST_EDGE = {EDGE}"


@pytest.fixture(autouse=True)
def small_tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_tiles" not in request.keywords:
        monkeypatch.setattr(grid, "LARGEST_EDGE", EDGE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of maps, with 15 tiles each where they are small: less than a second in one thread."""
    rng = np.random.default_rng(20241)
    x = rng.normal(size=(40, 8, 14, 14)).astype(np.float32)
    x += rng.normal(size=(40, 1, 14, 14)).astype(np.float32) * 2
    path = tmp_path_factory.mktemp("faults") / "a.h5"
    return write_h5(path, block1=x, block2=np.ascontiguousarray(x[:, :3, ::4, ::4]))


def undisturbed_file(source: Path) -> Path:
    return source.parent / "undisturbed.rsm.h5"


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> Arrays:
    out = undisturbed_file(source)
    process = start("compute", source, "-o", out, *OPTIONS, before=SMALL_TILES)
    assert process.communicate(timeout=60)[0].startswith("layer")
    return arrays_of(out)


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer that has six tiles as they are: some seconds in one thread."""
    rng = np.random.default_rng(20241)
    x = rng.normal(size=(24, 4, 28, 28)).astype(np.float32)
    return write_h5(tmp_path_factory.mktemp("larger") / "a.h5", layer=x)


@pytest.fixture(scope="module")
def larger_undisturbed(larger: Path) -> Arrays:
    out = larger.parent / "undisturbed.rsm.h5"
    process = start("compute", larger, "-o", out, *OPTIONS)
    assert process.communicate(timeout=120)[0].startswith("layer")
    return arrays_of(out)


def arrays_of(path: Path) -> Arrays:
    found: Arrays = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[:]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def assert_equal(out: Path, undisturbed: Arrays) -> None:
    """The file holds the same bits, and nothing else is left in its folder."""
    found = arrays_of(out)
    assert found.keys() == undisturbed.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, undisturbed[name], err_msg=name)
    assert list(out.parent.iterdir()) == [out]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "o.rsm.h5"


def tiles(out: Path) -> list[Path]:
    return sorted(run_folder_of(out).glob("tiles/*/*.npz"))


def begin(source: Path, out: Path, *args: object, tiles_there: int = 1) -> subprocess.Popen:
    """Start a run and return once so many tiles are there."""
    process = start("compute", source, "-o", out, *OPTIONS, *args, before=SMALL_TILES)
    while len(tiles(out)) < tiles_there:
        # Waits for the process's stderr, where nothing comes, or its end, and looks again.
        select.select([process.stderr], [], [], 0.02)
        assert process.poll() is None, process.communicate()
    return process


def end(process: subprocess.Popen, sent: signal.Signals) -> str:
    process.send_signal(sent)
    return process.communicate(timeout=60)[1]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_goes_on(
    sent: signal.Signals, source: Path, out: Path, undisturbed: Arrays
) -> None:
    end(begin(source, out, tiles_there=3), sent)
    there = len(tiles(out))
    assert 3 <= there < 30
    done = succeed("compute", source, "-o", out, *OPTIONS)
    assert f"going on, {there} of 30 tiles are there" in done.stderr
    assert_equal(out, undisturbed)


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_goes_on(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    rng, kills = np.random.default_rng(20241), 0
    for _ in range(20):
        process = start("compute", source, "-o", out, *OPTIONS, before=SMALL_TILES)
        try:
            process.wait(timeout=float(rng.uniform(0.5, 3.5)))
        except subprocess.TimeoutExpired:
            kills += 1
        end(process, signal.SIGKILL)
        if out.exists():
            succeed("compute", source, "-o", out, *OPTIONS, *["--overwrite"] * (not tiles(out)))
            assert_equal(out, undisturbed)
            out.unlink()
    succeed("compute", source, "-o", out, *OPTIONS)
    assert_equal(out, undisturbed)
    assert kills >= 5


def children_of(process: subprocess.Popen) -> list[int]:
    """Return the processes that match tiles for another one: those that were spawned."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process.pid and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")


@needs_proc
@pytest.mark.real_tiles
def test_a_worker_that_is_killed_costs_its_tile_only(
    larger: Path, out: Path, larger_undisturbed: Arrays
) -> None:
    process = begin(larger, out, "--workers", 2)
    os.kill(children_of(process)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert stdout.startswith("layer\t")
    assert_equal(out, larger_undisturbed)


@needs_proc
@pytest.mark.real_tiles
def test_workers_end_with_the_run_that_started_them(larger: Path, out: Path) -> None:
    process = begin(larger, out, "--workers", 2)
    workers = children_of(process)
    assert len(workers) == 2
    descriptors = [os.pidfd_open(worker) for worker in workers]
    end(process, signal.SIGKILL)
    for descriptor in descriptors:
        assert select.select([descriptor], [], [], 60)[0], "a worker outlived its run"
        os.close(descriptor)


@pytest.mark.real_tiles
@pytest.mark.parametrize(
    "how",
    [
        ("--threads", 2),
        ("--workers", 2),
        pytest.param(("--workers", 3), marks=pytest.mark.slow),
        pytest.param(("--threads", 3, "--memory", "1GiB"), marks=pytest.mark.slow),
    ],
)
def test_however_tiles_are_shared_out_the_numbers_are_the_same(
    how: tuple[object, ...], larger: Path, out: Path, larger_undisturbed: Arrays
) -> None:
    succeed("compute", larger, "-o", out, *OPTIONS, *how)
    assert_equal(out, larger_undisturbed)


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_shards_finished_together_are_the_run(
    parts: int, source: Path, out: Path, undisturbed: Arrays
) -> None:
    for part in range(1, parts + 1):
        if part > 1:
            message = fail("finish", out)
            assert "tiles of" in message
            assert "semrsm compute" in message
        done = succeed("compute", source, "-o", out, *OPTIONS, "--shard", f"{part}/{parts}")
        assert done.stdout == ""
        assert f"part {part} of {parts} is done" in done.stderr
        assert not out.exists()
    succeed("finish", out, "-k", "cosine", "-k", "rbf")
    assert_equal(out, undisturbed)


def test_shards_in_folders_of_their_own_are_finished_together(
    source: Path, out: Path, tmp_path: Path, undisturbed: Arrays
) -> None:
    folders = [tmp_path / f"part{part}" for part in (1, 2)]
    for part, folder in enumerate(folders, start=1):
        where = ("--shard", f"{part}/2", "--run-folder", folder)
        succeed("compute", source, "-o", out, *OPTIONS, *where)
    assert "is no run folder" in fail("finish", out)
    assert "tiles of" in fail("finish", out, folders[1])
    succeed("finish", out, *folders, "-k", "cosine", "-k", "rbf")
    assert not any(folder.exists() for folder in folders)
    assert_equal(out, undisturbed)


def test_the_command_that_finish_names_computes_what_is_missing(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    import shlex

    succeed("compute", source, "-o", out, *OPTIONS, "--shard", "2/3")
    command = shlex.split(fail("finish", out).rsplit("compute them here: ", 1)[1])
    assert command[0] == "semrsm"
    succeed(*command[1:], "-k", "cosine", "-k", "rbf", "--threads", 1)
    assert_equal(out, undisturbed)


def kept_run(source: Path, out: Path) -> list[Path]:
    """Leave a run folder in which all tiles are there."""
    succeed("compute", source, "-o", out, *OPTIONS, "--shard", "1/1")
    return tiles(out)


def finish_but_for_the_folder(source: Path, out: Path) -> None:
    """Leave what a run leaves that is killed after its file is renamed: the file and the run folder."""
    kept_run(source, out)
    saved = out.parent.parent / "saved"
    shutil.copytree(run_folder_of(out), saved)
    succeed("finish", out, "-k", "cosine", "-k", "rbf")
    shutil.copytree(saved, run_folder_of(out))


def test_a_folder_in_the_place_of_a_tile_is_told(source: Path, out: Path) -> None:
    victim = kept_run(source, out)[4]
    victim.unlink()
    (victim / "keep").mkdir(parents=True)
    done = run("compute", source, "-o", out, *OPTIONS)
    assert done.exit_code == 1
    assert f"semrsm: {victim} is no tile and cannot be removed (Is a directory)" in done.stderr
    assert (victim / "keep").exists()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
def test_a_damaged_tile_is_named_and_computed_again(
    damage: str, source: Path, out: Path, undisturbed: Arrays
) -> None:
    victim = kept_run(source, out)[4]
    content = bytearray(victim.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        del content[0 if damage == "empty" else len(content) // 2 :]
    victim.write_bytes(content)
    message = fail("finish", out)
    assert str(victim) in message
    assert "damaged" in message
    assert "semrsm compute" in message
    done = succeed("compute", source, "-o", out, *OPTIONS)
    assert f"{victim} is damaged and is computed again" in done.stderr
    assert "going on, 29 of 30 tiles are there" in done.stderr
    assert_equal(out, undisturbed)


def test_another_kernel_keeps_all_tiles(source: Path, out: Path) -> None:
    kept_run(source, out)
    done = succeed("compute", source, "-o", out, "-k", "rbf", "--sigma", 3, "--threads", 2)
    assert "going on, 30 of 30 tiles are there" in done.stderr
    assert semrsm.read_rsm(out, "block1", "rbf")[1]["sigma"] == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("-m", "greedy"), "matcher is optimal, not greedy"),
        (("--dtype", "float64"), "dtype is float32, not float64"),
        (("--certify",), "certify is False, not True"),
        (("--samples", "0:39"), "samples is not given, not 0:39"),
        (("-l", "block1"), "layers.block2"),
    ],
)
def test_another_setting_is_refused_and_a_restart_offered(
    change: tuple[object, ...], says: str, source: Path, out: Path
) -> None:
    there = kept_run(source, out)
    message = fail("compute", source, "-o", out, *OPTIONS, *change)
    assert says in message
    assert "--restart" in message
    assert tiles(out) == there


@pytest.mark.parametrize("matcher", ["pool", "maxsim"])
def test_a_run_from_before_bounds_had_their_own_diagonal_is_refused(
    matcher: str, source: Path, out: Path
) -> None:
    command = ("compute", source, "-o", out, "-m", matcher, "-k", "linear", "--threads", 1)
    succeed(*command, "--shard", "1/1")
    description = run_folder_of(out) / "run.json"
    now = json.loads(description.read_text())
    before = {key: value for key, value in now.items() if key != "diagonal"}
    description.write_text(json.dumps(with_digest(before)))
    there = tiles(out)
    for message in (fail(*command), fail("finish", out, "-k", "linear")):
        assert str(run_folder_of(out)) in message
        assert "diagonal" in message
        assert "own value" in message
        assert "--restart" in message
    assert tiles(out) == there
    succeed(*command, "--restart")
    rsm, _ = semrsm.read_rsm(out, "block2", "linear")
    with h5py.File(source) as file:
        array = semrsm.rsm(file["block2"][:], matcher=matcher, kernel="linear")
    np.testing.assert_allclose(np.diagonal(rsm), np.diagonal(array), rtol=1e-6)


def test_a_restart_throws_the_old_tiles_away(source: Path, out: Path, undisturbed: Arrays) -> None:
    succeed("compute", source, "-o", out, "-m", "identity", "--shard", "1/1", "--threads", 1)
    done = succeed("compute", source, "-o", out, *OPTIONS, "--restart")
    assert "going on" not in done.stderr
    assert_equal(out, undisturbed)


def test_a_damaged_description_of_a_run_is_refused_and_a_restart_helps(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    succeed("compute", source, "-o", out, *OPTIONS, "--shard", "1/2")
    out.write_bytes(undisturbed_file(source).read_bytes())
    description = run_folder_of(out) / "run.json"
    description.write_text(description.read_text().replace('"edge": 8', '"edge": 4'))
    message = fail("compute", source, "-o", out, *OPTIONS)
    assert "run.json does not describe a run" in message
    assert "--restart" in message
    succeed("compute", source, "-o", out, *OPTIONS, "--restart", "--overwrite")
    assert_equal(out, undisturbed)


def changed_copy(source: Path, folder: Path) -> Path:
    copy = folder / "copy.h5"
    shutil.copy(source, copy)
    return copy


def change_sample(path: Path, sample: int, layer: str = "block1") -> None:
    with h5py.File(path, "r+") as file:
        file[layer][sample, 0, 0, 0] += 1


@pytest.mark.parametrize("sample", [0, 27])
def test_an_input_that_changed_between_sittings_is_refused_and_nothing_is_lost(
    sample: int, source: Path, out: Path, tmp_path: Path, undisturbed: Arrays
) -> None:
    copy = changed_copy(source, tmp_path)
    succeed("compute", copy, "-o", out, *OPTIONS, "--shard", "1/2")
    there = tiles(out)
    change_sample(copy, sample)
    message = fail("compute", copy, "-o", out, *OPTIONS)
    assert str(copy) in message
    assert "--restart" in message
    assert sample == 0 or "sample 27 has changed" in message
    assert tiles(out) == there
    shutil.copy(source, copy)
    succeed("compute", copy, "-o", out, *OPTIONS)
    assert_equal(out, undisturbed)


def test_an_input_that_was_only_touched_goes_on(
    source: Path, out: Path, tmp_path: Path, undisturbed: Arrays
) -> None:
    copy = changed_copy(source, tmp_path)
    succeed("compute", copy, "-o", out, *OPTIONS, "--shard", "1/2")
    os.utime(copy, (1, 1))
    succeed("compute", copy, "-o", out, *OPTIONS)
    assert_equal(out, undisturbed)


def test_a_sample_that_changes_while_its_time_does_not_is_noticed_when_it_is_read_again(
    source: Path, out: Path, tmp_path: Path
) -> None:
    copy = changed_copy(source, tmp_path)
    succeed("compute", copy, "-o", out, *OPTIONS, "--shard", "1/2")
    times = copy.stat()
    change_sample(copy, 27)
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = run("compute", copy, "-o", out, *OPTIONS)
    assert result.exit_code == 1
    assert "block1: sample 27 has changed since the run began" in result.stderr


def test_a_second_run_on_the_same_output_is_refused(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    process = begin(source, out)
    message = fail("compute", source, "-o", out, *OPTIONS)
    assert f"is in use by process {process.pid} on " in message
    assert process.communicate(timeout=60)[0].startswith("layer\t")
    assert_equal(out, undisturbed)


def test_finishing_that_was_killed_is_done_again(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    kept_run(source, out)
    # The file does not fit: the signal SIGXFSZ ends the process in the middle of writing it.
    process = start(
        *("finish", out, "-k", "cosine", "-k", "rbf"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert len(tiles(out)) == 30
    assert not out.exists()
    succeed("finish", out, "-k", "cosine", "-k", "rbf")
    assert_equal(out, undisturbed)


def test_a_run_that_was_killed_just_before_its_end_has_nothing_left_to_do(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    finish_but_for_the_folder(source, out)
    done = succeed("compute", source, "-o", out, *OPTIONS)
    assert "was finished before" in done.stderr
    assert_equal(out, undisturbed)
    assert "exists" in fail("compute", source, "-o", out, *OPTIONS)


def test_an_output_that_is_made_meanwhile_by_somebody_else_costs_no_tile(
    source: Path, out: Path, undisturbed: Arrays
) -> None:
    process = begin(source, out)
    out.write_bytes(b"somebody else's")
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "exists" in stderr
    assert "is kept in" in stderr
    assert out.read_bytes() == b"somebody else's"
    assert len(tiles(out)) == 30
    out.unlink()
    succeed("compute", source, "-o", out, *OPTIONS)
    assert_equal(out, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("filled", [90_000, 160_000])
def test_a_disk_that_is_full_and_then_freed(
    filled: int, source: Path, small_disk: Path, undisturbed: Arrays
) -> None:
    """The tiles take 120 KB and the file some 60 KB: one fails while it is finished, one while matching."""
    out = small_disk / "out" / "o.rsm.h5"
    out.parent.mkdir()
    (small_disk / "filling").write_bytes(bytes(filled))
    process = start("compute", source, "-o", out, *OPTIONS, before=f"{SMALL_TILES}; {ROOM_UNKNOWN}")
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "No space left on device" in message
    assert f"kept in {run_folder_of(out)}" in message
    assert message.count("\n") == 1
    assert not list(out.parent.rglob("*.partial"))
    there = len(tiles(out))
    assert there == 30 if filled < 100_000 else 0 < there < 30
    (small_disk / "filling").unlink()
    done = succeed("compute", source, "-o", out, *OPTIONS)
    assert f"going on, {there} of 30 tiles are there" in done.stderr
    assert_equal(out, undisturbed)


@pytest.mark.parametrize("restart", [(), ("--restart",)])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(
    restart: tuple[str, ...], source: Path, out: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    for name in ("tiles/letter", "scan/photo", ".git/HEAD", "lock"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("mine")
    message = fail("compute", source, "-o", out, *OPTIONS, "--run-folder", mine, *restart)
    assert "is no run folder" in message
    found = {p.relative_to(mine).as_posix(): p.read_text() for p in mine.rglob("*") if p.is_file()}
    assert found == dict.fromkeys(("tiles/letter", "scan/photo", ".git/HEAD", "lock"), "mine")


def test_what_was_put_into_a_run_folder_stays(source: Path, out: Path, tmp_path: Path) -> None:
    kept_run(source, out)
    (run_folder_of(out) / "notes.txt").write_text("mine")
    succeed("finish", out)
    assert [path.name for path in run_folder_of(out).iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_an_output_in_its_own_run_folder_is_refused_at_once(
    inside: str, source: Path, tmp_path: Path
) -> None:
    box = tmp_path / "box"
    (box / inside).mkdir(parents=True, exist_ok=True)
    out = box / inside / "o.rsm.h5"
    assert "would hold the output" in fail("compute", source, "-o", out, "--run-folder", box)
    assert "would hold the output" in fail("compute", source, "-o", out, "--run-folder", out)
    assert not list(box.rglob("*.h5"))


@pytest.mark.parametrize("change", [("-m", "greedy"), ("--sigma", 3), ("-k", "linear")])
def test_what_was_finished_otherwise_is_not_taken_for_finished(
    change: tuple[object, ...], source: Path, out: Path
) -> None:
    finish_but_for_the_folder(source, out)
    assert "exists" in fail("compute", source, "-o", out, *OPTIONS, *change)
    assert len(tiles(out)) == 30


def test_a_run_at_work_keeps_its_folder_whoever_asks_whether_it_is_finished(
    source: Path, out: Path
) -> None:
    succeed("compute", source, "-o", out, *OPTIONS)
    kept_run(source, out)
    with locked(run_folder_of(out)):
        assert "in use by" in fail("compute", source, "-o", out, *OPTIONS)
    assert len(tiles(out)) == 30


def test_a_shard_does_not_throw_away_what_the_others_matched(source: Path, out: Path) -> None:
    there = kept_run(source, out)
    message = fail("compute", source, "-o", out, *OPTIONS, "--shard", "1/2", "--restart")
    assert "--restart throws away what all shards have matched" in message
    assert tiles(out) == there


def test_shards_of_different_files_are_not_finished_together(
    source: Path, out: Path, tmp_path: Path
) -> None:
    copy = changed_copy(source, tmp_path)
    change_sample(copy, 27)
    for part, path in enumerate((source, copy), start=1):
        where = ("--shard", f"{part}/2", "--run-folder", tmp_path / f"part{part}")
        succeed("compute", path, "-o", out, *OPTIONS, *where, "-l", "block1")
    message = fail("finish", out, tmp_path / "part1", tmp_path / "part2")
    assert "was made from another file: its sample 27 of block1" in message


def test_a_file_system_that_fails_costs_no_tile(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Arrays
) -> None:
    there = kept_run(source, out)
    with monkeypatch.context() as patch:

        def fail_to_read(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr(run_folder, "read_arrays", fail_to_read)
        assert "cannot be read (Input/output error)" in fail("compute", source, "-o", out, *OPTIONS)
    assert tiles(out) == there
    succeed("compute", source, "-o", out, *OPTIONS)
    assert_equal(out, undisturbed)


def test_leftovers_in_a_run_folder_are_removed_by_the_next_run(source: Path, out: Path) -> None:
    victim = kept_run(source, out)[0]
    ended = subprocess.Popen(["true"])
    ended.wait()
    own = temporary_name(victim)
    left = own.with_name(own.name.replace(f".{os.getpid()}.", f".{ended.pid}."))
    left.write_bytes(b"half")
    folder = read_run(run_folder_of(out))
    assert folder is not None
    folder.remove_leftovers()
    assert not left.exists()
    assert victim.exists()
