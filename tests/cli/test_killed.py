"""Runs that are killed or fill the disk, each in a process of its own."""

from __future__ import annotations

import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.storage.rsm_file import is_rsm_file
from tests.helpers import start, succeed, write_h5

OLDER = b"an older output"


@pytest.fixture
def long_work(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Activations whose RSM takes minutes: 150 samples of 784 positions, 11175 pairs."""
    array = rng.normal(size=(150, 16, 28, 28)).astype(np.float32)
    array += rng.normal(size=(150, 1, 28, 28)).astype(np.float32) * 3
    return write_h5(tmp_path / "long.h5", layer=array)


def begin(source: Path, out: Path, *args: object, **options: object) -> subprocess.Popen:
    """Start computing and return once tiles are being matched: one is in the run folder."""
    command = ("compute", source, "-o", out, "--overwrite", "--threads", 1)
    process = start(*command, *args, **options)
    for _ in range(1200):
        if list(out.parent.glob("*.run/tiles/*/*.npz")):
            return process
        # Waits for the process's stderr, where nothing comes, or its end, and looks again.
        select.select([process.stderr], [], [], 0.05)
        assert process.poll() is None, process.communicate()
    raise AssertionError("the run did not begin to write")


@pytest.mark.parametrize(
    ("sent", "code", "older"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, True),
        (signal.SIGHUP, 129, True),
        (signal.SIGQUIT, 131, True),
        (signal.SIGKILL, -9, True),
        pytest.param(signal.SIGINT, 130, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, False, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_leaves_its_tiles_no_rsm_file_and_an_older_one_as_it_was(
    sent: signal.Signals, code: int, older: bool, long_work: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "o.rsm.h5"
    if older:
        out.write_bytes(OLDER)
    process = begin(long_work, out)
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stdout == ""
    assert stderr.count("\n") == (sent != signal.SIGKILL), stderr
    assert not any(is_rsm_file(path) for path in folder.iterdir())
    assert (out.read_bytes() if out.exists() else None) == (OLDER if older else None)
    assert list(folder.glob("*.run/tiles/layer/*.npz"))
    if sent != signal.SIGKILL:
        assert f"what was matched is kept in {out}.run, and the same command goes on" in stderr
        assert {path.name for path in folder.iterdir()} == {"o.rsm.h5.run", *(["o.rsm.h5"] * older)}
        assert not list(folder.rglob("*.partial"))


def limited(size: int) -> None:
    """Let this process write files of at most `size` bytes: as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    ("size", "older"),
    [
        (1_500_000, True),
        *(
            pytest.param(size, older, marks=pytest.mark.slow)
            for size in (0, 3_000, 40_000, 600_000, 1_400_000, 1_925_000)
            for older in (False, True)
        ),
    ],
)
def test_a_full_disk(size: int, older: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    """400 samples: 1.3 MB of inner products and 0.6 MB of kernel do not fit; with room the run goes on."""
    folder = tmp_path / "out"
    folder.mkdir()
    source, out = write_h5(tmp_path / "a.h5", layer=rng.normal(size=(400, 9))), folder / "o.rsm.h5"
    if older:
        out.write_bytes(OLDER)
    command = ("compute", source, "-o", out, "--overwrite", "-m", "identity")
    process = start(*command, preexec_fn=lambda: limited(size))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, (process.returncode, stderr)
    assert stdout == ""
    assert stderr.count("\n") == 1, stderr
    assert str(out) in stderr
    assert "cannot be" in stderr
    assert "File too large" in stderr
    assert not list(folder.rglob("*.partial"))
    assert not older or out.read_bytes() == OLDER
    kept = size > 1_300_000  # the one tile of 1.3 MB
    assert {path.name for path in folder.iterdir()} == {
        *(["o.rsm.h5"] * older),
        *(["o.rsm.h5.run"] * kept),
    }
    done = succeed(*command)
    assert ("going on, 1 of 1 tiles are there" in done.stderr) == kept
    assert is_rsm_file(out)
    assert list(folder.iterdir()) == [out]


def test_the_same_run_succeeds_where_there_is_room(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    source, out = (
        write_h5(tmp_path / "a.h5", layer=rng.normal(size=(400, 9))),
        tmp_path / "o.rsm.h5",
    )
    process = start(
        *("compute", source, "-o", out, "-m", "identity"), preexec_fn=lambda: limited(4_000_000)
    )
    assert process.communicate(timeout=60)[1] == f"wrote {out}\n"
    with h5py.File(out) as file:
        assert file["layers/layer/matched"].shape == (400, 400)


def test_a_reader_that_has_read_enough_is_no_error(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    arrays = {f"layer{i}" + "x" * 200: np.zeros((1, 1, 1), np.float32) for i in range(800)}
    source = write_h5(tmp_path / "a.h5", **arrays)
    for command in (["info", source], ["info", source, "--json"]):
        process = start(*command)
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            process.stdout.readline()
            process.stdout.close()
            said = process.stderr.read()
        assert process.wait(timeout=60) == 0, said
        assert "Traceback" not in said
        assert "BrokenPipe" not in said


def test_python_runs_nothing_heavy_before_it_must() -> None:
    heavy = {"torch", "matplotlib", "scipy"}
    code = f"import semrsm.cli, sys; sys.exit(' '.join({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_a_run_under_nohup_survives_the_loss_of_the_connection(
    long_work: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "o.rsm.h5"
    process = begin(
        long_work, out, "--samples", "0:40",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert is_rsm_file(out)
