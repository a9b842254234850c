"""Conventions are guessed aloud: the hint names what an array looks like, and the option for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.compute.conventions import hint_of
from semrsm.engine.positions import positions_of
from tests.helpers import succeed, write_h5


@pytest.mark.parametrize(
    ("shape", "layout", "says"),
    [
        ((20, 7, 7, 512), None, "`layout='nhwc'`"),
        ((20, 56, 56, 64), None, "`layout='nhwc'`"),
        ((20, 7, 9, 512), None, "`layout='nhwc'`"),
        ((20, 1, 1, 512), None, "`layout='nhwc'`"),
        ((20, 224, 224, 3), None, "`layout='nhwc'`"),
        ((20, 512, 7, 7), "nhwc", "`layout='nchw'`"),
        ((20, 4, 7, 7, 512), None, "`layout='ndhwc'`"),
        ((20, 512, 4, 7, 7), "ndhwc", "`layout='ncdhw'`"),
        (
            (10, 32, 512, 7, 7),
            None,
            "10 batches of 32 samples; if it is, save it as (320, 512, 7, 7)",
        ),
        ((20, 768, 197), None, "`layout='ndt'`"),
        ((20, 1024, 197), None, "`layout='ndt'`"),
        ((20, 512, 49), None, "`layout='ndt'`"),
        ((20, 197, 768), "ndt", "`layout='ntd'`"),
        ((20, 197, 768), None, "14 x 14 and one more; if that is a class token"),
        ((20, 198, 768), None, "`skip_tokens=2`"),
        ((20, 201, 768), None, "14 x 14 and 5 more; if these are a class token and 4 register"),
        ((20, 768, 201), "ndt", "`skip_tokens=5`"),
        ((20, 261, 384), None, "16 x 16 and 5 more"),
    ],
)
def test_what_looks_like_another_convention(
    shape: tuple[int, ...], layout: str | None, says: str
) -> None:
    assert says in (hint_of(shape, positions_of(shape, layout)) or "")


@pytest.mark.parametrize(
    ("shape", "layout", "options"),
    [
        ((24, 64, 56, 56), None, {}),
        ((24, 512, 7, 7), None, {}),
        ((24, 512, 1, 1), None, {}),
        ((24, 7, 7, 512), "nhwc", {}),
        ((24, 7, 7, 7), None, {}),
        ((24, 64, 8, 8, 8), None, {}),
        ((24, 196, 768), None, {}),
        ((24, 1024, 768), None, {}),
        ((24, 197, 768), None, {"skip_tokens": 1}),
        ((24, 201, 768), None, {"skip_tokens": 5}),
        ((24, 3, 8), None, {}),
        ((24, 17), None, {}),
    ],
)
def test_what_looks_as_it_is_read(
    shape: tuple[int, ...], layout: str | None, options: dict[str, int]
) -> None:
    assert hint_of(shape, positions_of(shape, layout, **options)) is None


def test_a_guess_is_said_before_time_is_spent(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 3, 3, 30)).astype(np.float32)
    path = write_h5(tmp_path / "a.h5", map=x, tok=rng.normal(size=(4, 21, 8)).astype(np.float32))
    maps = "map: its shape (4, 3, 3, 30) looks as if channels stood last; if they do, say --layout nhwc"
    tokens = "tok: 21 tokens are 4 x 4 and 5 more"
    noted = json.loads(succeed("info", path, "--json").stdout)["notes"]
    assert [maps == noted[0], noted[1].startswith(tokens)] == [True, True]
    for args in (
        ("info", path),
        ("compute", path, "--dry-run"),
        ("compute", path, "-o", "o.rsm.h5"),
    ):
        if args[-1] == "o.rsm.h5":
            args = (*args[:-1], tmp_path / "o.rsm.h5")
        heard = succeed(*args).stderr
        assert maps in heard
        assert tokens in heard


def test_a_hint_of_many_layers_is_said_once(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 17, 5)).astype(np.float32)
    dump = write_h5(tmp_path / "dump.h5", **{f"block{k}": x for k in range(12)})
    said = "block0, block1, block2 and 9 more: 17 tokens are 4 x 4 and one more"
    for command in (("info", dump), ("compute", dump, "-o", tmp_path / "o.h5", "--dry-run")):
        stderr = succeed(*command).stderr
        assert said in stderr
        assert stderr.count("tokens are 4 x 4") == 1


def test_a_layout_that_is_not_the_recorded_one_is_said(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "a.h5"
    with semrsm.ActivationWriter(path) as writer:
        writer.add({"tok": rng.normal(size=(5, 9, 12)), "map": rng.normal(size=(5, 9, 3, 3))})
    note = "the file records another layout than --layout ndt, which is taken: tok is ntd"
    command = ("compute", path, "-l", "tok", "--dry-run", "--layout")
    assert note in succeed(*command, "ndt").stderr
    assert "the file records" not in succeed(*command, "ntd").stderr
