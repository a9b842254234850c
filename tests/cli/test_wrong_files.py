"""Files of another kind than a command wants: one sentence that says what they are, and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semrsm.data import digits_path
from tests.helpers import fail, succeed, write_h5, write_rsm

N = 6


@pytest.fixture
def dump(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_h5(
        tmp_path / "dump.h5",
        layer1=rng.normal(size=(N, 3, 2, 2)),
        logits=rng.normal(size=(N, 4)),
        rdm=1 + np.eye(N),
        labels=np.arange(N) % 2,
    )


@pytest.fixture
def rsm(tmp_path: Path, rng: np.random.Generator) -> Path:
    x = rng.normal(size=(N, 4))
    return write_rsm(tmp_path / "a.rsm.h5", {"layer1": x @ x.T})


WANT_RSMS = {
    "compare": ("compare", "{f}", "{rsm}"),
    "compare second": ("compare", "{rsm}", "{f}"),
    "retrieval": ("evaluate", "retrieval", "{f}", "--labels", "{dump}"),
    "predictions": ("evaluate", "predictions", "{f}", "--logits", "{dump}::logits"),
    "views": ("evaluate", "views", "{f}", "--views", "{dump}::labels"),
    "plot": ("plot", "{f}", "-o", "{out}"),
    "plot side by side": ("plot", "{f}", "-o", "{out}", "--kind", "side-by-side"),
    "report": ("report", "{f}", "-o", "{out}"),
}


@pytest.mark.parametrize("name", WANT_RSMS)
@pytest.mark.parametrize("kind", ["file", "logits", "map", "npz", "npy"])
def test_activations_where_rsms_are_wanted(
    name: str, kind: str, dump: Path, rsm: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(N, 5, 4)).astype(np.float32)
    np.savez(tmp_path / "t.npz", tokens=x, head=x[:, 0])
    np.save(tmp_path / "t.npy", x)
    files = {"file": dump, "logits": f"{dump}::logits", "map": f"{dump}::layer1"}
    files |= {suffix: tmp_path / f"t.{suffix}" for suffix in ("npz", "npy")}
    out = tmp_path / "out" / "x.png"
    out.parent.mkdir()
    names = {"f": files[kind], "rsm": rsm, "dump": dump, "out": out}
    message = fail(*(arg.format(**names) for arg in WANT_RSMS[name]), out=out)
    path = str(files[kind]).partition("::")[0]
    assert f"semrsm: {path} holds activations (" in message
    assert f"make them with: semrsm compute {path} -o OUT.rsm.h5" in message


def test_a_square_matrix_may_be_named_in_a_file_of_activations(dump: Path, rsm: Path) -> None:
    succeed("compare", f"{dump}::rdm", rsm, "--measure", "cosine")


def test_the_logits_of_the_example_are_not_drawn(tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    for address in (digits_path(), f"{digits_path()}::resnet/logits"):
        assert "holds activations" in fail("plot", address, "-o", out, out=out)


@pytest.mark.parametrize(
    "args",
    [
        ("compute", "{rsm}", "-o", "{out}"),
        ("compute", "{rsm}::layer1", "-o", "{out}"),
        ("compute", "{dump}", "-o", "{out}", "--against", "{rsm}"),
        ("pair", "{rsm}", "0", "1"),
        ("methods", "--on", "{rsm}"),
    ],
)
def test_rsm_files_where_activations_are_wanted(
    args: tuple[str, ...], dump: Path, rsm: Path, tmp_path: Path
) -> None:
    names = {"rsm": rsm, "dump": dump, "out": tmp_path / "o.rsm.h5"}
    message = fail(*(arg.format(**names) for arg in args))
    assert f"{rsm} is an RSM file, not activations" in message


def test_rsm_files_where_labels_are_wanted(dump: Path, rsm: Path) -> None:
    for args, what in (
        (("retrieval", rsm, "--labels", rsm), "labels"),
        (("views", rsm, "--views", f"{rsm}::x"), "views"),
        (("predictions", rsm, "--logits", f"{rsm}::layers/layer1/matched"), "logits or probab"),
    ):
        assert f"{rsm} is an RSM file and holds no {what}" in fail("evaluate", *args)
