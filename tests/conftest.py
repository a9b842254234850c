"""What every test may use: the shared real data, where it is at hand, and a seeded generator."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("semrsm", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("semrsm")

# A shell that starts the tests in the background, or nohup, has them ignore signals, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real activations and reference RSMs; the test is skipped where it is missing."""
    folder = Path(os.environ.get("SEMRSM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "reference_rsms.h5").exists():
        pytest.skip(f"no shared data at {folder}; set SEMRSM_SHARED_DATA")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(20241)
