"""Runs that a signal ends at random moments, many of them while the file is finished."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.storage.run_folder import run_folder_of
from tests.helpers import write_h5

NURSERY = Path(__file__).with_name("nursery.py")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
OLDER = b"an older output"
END = 0.02  # seconds after all is said in which signals still come
N_LAYERS = 2
TILES = 6 * N_LAYERS


class Nursery:
    """Starts commands in processes of their own, in milliseconds."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, NURSERY],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def start(self, folder: Path, *arguments: object) -> int:
        """Start a command; return its process."""
        files = [str(folder / name) for name in ("stdout", "stderr")]
        order = json.dumps([[str(a) for a in arguments], *files]) + "\n"
        self._process.stdin.write(order.encode())
        return int(self._process.stdout.readline())

    def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit code of the command, None if it goes on for longer."""
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return int(self._process.stdout.readline()) if ready else None

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


@dataclass(frozen=True)
class Run:
    """A command, what it makes when nothing happens to it, and the seconds left to it in each phase."""

    source: Path
    arrays: dict[str, np.ndarray]
    seconds: Sequence[float]

    def command(self, out: Path, older: bool) -> tuple[object, ...]:
        kernels = ("-k", "linear", "-k", "cosine", "-k", "rbf", "--threads", 1)
        return ("compute", self.source, "-o", out, *kernels, *["--overwrite"] * older)


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(20241)
    folder = tmp_path_factory.mktemp("undisturbed")
    x = rng.normal(size=(24, 4, 7, 7)).astype(np.float32)
    source = write_h5(folder / "a.h5", **{f"layer{k}": x + k for k in range(N_LAYERS)})
    out = folder / "o.rsm.h5"
    nursery.start(folder, *Run(source, {}, []).command(out, older=False))
    times = []
    for phase in PHASES:
        until(phase, nursery, out)
        times.append(time.monotonic())
    until(lambda _: "wrote" in (folder / "stderr").read_text(), nursery, out)
    ended = time.monotonic() + END
    assert nursery.wait() == 0
    return Run(source, arrays_of(out), [ended - began for began in times])


def starts(out: Path) -> bool:
    return True


def has_matched(out: Path) -> bool:
    return len(list(run_folder_of(out).glob("tiles/*/*.npz"))) == TILES


def writes(out: Path) -> bool:
    return any(out.parent.glob(f".{out.name}.*.partial"))


def until(phase: Callable[[Path], bool], nursery: Nursery, out: Path) -> int | None:
    """Return once a command has come so far, or its exit code if it has ended before."""
    code = None
    while code is None and not phase(out):
        code = nursery.wait(0.001)
    return code


PHASES = (starts, has_matched, writes)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def assert_same(out: Path, run: Run) -> None:
    found = arrays_of(out)
    assert found.keys() == run.arrays.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, run.arrays[name], err_msg=name)


def is_new(out: Path) -> bool:
    return out.exists() and out.read_bytes() != OLDER


def check(sent: signal.Signals, code: int, out: Path, older: bool, run: Run) -> None:
    """Nothing is broken or lost, and every message is true."""
    stdout, stderr = ((out.parent.parent / name).read_text() for name in ("stdout", "stderr"))
    new, left = is_new(out), list(out.parent.rglob("*.partial"))
    if new:
        assert_same(out, run)
    assert out.exists() or not older
    assert ("wrote" not in stderr) or new, stderr
    assert stdout == "" or stdout.count("\n") == 1 + N_LAYERS
    if sent == signal.SIGKILL:
        assert code in (0, -sent), code
        return
    assert code in (0, 128 + sent, -sent), (code, stderr)
    if code == 128 + sent:
        assert "Traceback" not in stderr, stderr
        *_, sentence = stderr.splitlines()
        assert sentence.startswith("semrsm: ")
        assert (f"{out} was written" in sentence) == new, stderr
        assert ("no output was written" not in sentence) or not new, stderr
        assert ("is kept in" not in sentence) or list(out.parent.rglob("*-*.npz")), stderr
        assert not left, left
    else:  # before the command began, or when all was done and said
        assert new == ("wrote" in stderr) == (code == 0 or stderr != ""), (code, stderr)


def kill(nursery: Nursery, run: Run, folder: Path, rng: np.random.Generator) -> str:
    """Send a run a signal at a random moment; return how it ended."""
    out, older, phase = folder / "out" / "o.rsm.h5", bool(rng.integers(2)), rng.integers(3)
    sent = SIGNALS[rng.integers(len(SIGNALS))]
    out.parent.mkdir(parents=True)
    if older:
        out.write_bytes(OLDER)
    process = nursery.start(folder, *run.command(out, older))
    code = until(PHASES[phase], nursery, out)
    if code is None:
        code = nursery.wait(float(rng.uniform(0, run.seconds[phase])))
    if code is None:
        os.kill(process, sent)
        code = nursery.wait()
    check(sent, code, out, older, run)
    how = f"{PHASES[phase].__name__} {sent.name} {code}{' new' if is_new(out) else ''}"
    if (run_folder_of(out) / "run.json").exists():
        nursery.start(folder, *run.command(out, older))
        assert nursery.wait() == 0, (folder / "stderr").read_text()
        assert_same(out, run)
        assert list(out.parent.iterdir()) == [out]
    return how


@pytest.mark.parametrize(
    "rounds", [range(10), pytest.param(range(10, 210), marks=pytest.mark.slow)], ids=["10", "200"]
)
def test_whenever_a_signal_comes_nothing_is_broken_lost_or_untrue(
    rounds: range, nursery: Nursery, undisturbed: Run, tmp_path: Path
) -> None:
    for k in rounds:
        print(k, kill(nursery, undisturbed, tmp_path / str(k), np.random.default_rng(20241 + k)))
