from pathlib import Path

import numpy as np
import pytest

from semrsm.experiments import demo as demo_room
from semrsm.experiments.demo import RUNS, Demo, run_demo
from semrsm.rsms import read_rsm
from semrsm.storage.rsm_file import is_rsm_file
from tests.helpers import succeed


def test_the_demo_writes_what_it_says_and_the_matching_brings_moved_digits_together(
    tmp_path,
) -> None:
    demo = run_demo(tmp_path / "new" / "folder")
    assert all(file.exists() for file in demo.files)
    assert sum(is_rsm_file(file) for file in demo.files) == 2 * len(RUNS)
    rows = {(row.layer, row.matcher): row for row in demo.rows}
    assert len(rows) == 2 * (3 + 4)
    for layer in ("resnet/layer1", "resnet/layer2", "resnet/layer3"):
        identity, optimal = rows[layer, "identity"], rows[layer, "optimal"]
        assert optimal.median_same_digit_moved > identity.median_same_digit_moved
        assert optimal.auroc > identity.auroc + 0.1
    for row in rows.values():
        rsm, about = read_rsm(
            tmp_path / f"new/folder/{row.layer.split('/')[0]}.{row.matcher}.rsm.h5", row.layer
        )
        assert about["matcher"] == row.matcher
        assert np.isfinite(rsm).all()
        assert rsm.shape == (80, 80)


def test_the_demo_says_at_last_which_pictures_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [Path("d/a.rsm.h5"), Path("d/a.png"), Path("d/b.rsm.h5"), Path("d/b.png")]
    monkeypatch.setattr(demo_room, "run_demo", lambda *_, **__: Demo([], files))
    last = succeed("demo", "-o", "d").stderr.splitlines()[-1]
    assert last == "open d/a.png and d/b.png to see what matching changes"
