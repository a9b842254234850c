"""Values that an HDF5 file does not have are refused, never read as zeros."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.labels import read_labels
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import fail, succeed, write_h5

X = np.random.default_rng(6).normal(size=(32, 3, 4, 4)).astype(np.float32)


def gaps_in(path: Path) -> list[str]:
    with open_activations(path) as file:
        [layer] = file.select().values()
        return [f"{g.samples.start}:{g.samples.stop} {g.why}" for g in layer.gaps]


def died(path: Path, written: slice, **options: object) -> Path:
    """Leave what a program leaves that died while it wrote a dataset."""
    with h5py.File(path, "w") as file:
        layer = file.create_dataset("a", X.shape, "f4", **options)
        if len(X[written]):
            layer[written] = X[written]
    return path


CHUNKS = {"chunks": (5, 3, 2, 4)}


@pytest.mark.parametrize(
    ("written", "options", "gaps"),
    [
        (slice(0, 32), CHUNKS, []),
        (slice(0, 18), CHUNKS, ["20:32 they were never written"]),
        (slice(10, 32), CHUNKS | {"compression": "gzip"}, ["0:10 they were never written"]),
        (slice(12, 20), CHUNKS, ["0:10 they were never written", "20:32 they were never written"]),
        (slice(0, 0), CHUNKS, ["0:32 they were never written"]),
        (slice(0, 0), {}, ["0:32 they were never written"]),
        (slice(0, 1), {}, []),
    ],
)
def test_samples_that_were_never_written(
    written: slice, options: dict, gaps: list[str], tmp_path: Path
) -> None:
    path = died(tmp_path / "a.h5", written, **options)
    assert gaps_in(path) == gaps
    with open_activations(path) as file:
        [layer] = file.select().values()
        for sample in range(32):
            within = any(sample in gap.samples for gap in layer.gaps)
            if within:
                with pytest.raises(SemrsmError, match="hold no values: they were never written"):
                    layer.read(range(sample, sample + 1))
            elif sample in range(*written.indices(32)):
                np.testing.assert_array_equal(layer.read(range(sample, sample + 1))[0], X[sample])


def test_a_chunk_that_was_lost_in_one_corner_of_the_maps(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layer = file.create_dataset("a", X.shape, "f4", chunks=(4, 3, 2, 4))
        layer[:, :, :2], layer[:16, :, 2:], layer[20:, :, 2:] = X[:, :, :2], X[:16, :, 2:], 1
    assert gaps_in(tmp_path / "a.h5") == ["16:20 they were never written"]


def test_steps_over_a_gap_are_allowed(tmp_path: Path) -> None:
    path = died(tmp_path / "a.h5", slice(0, 18), chunks=(1, 3, 4, 4))
    with h5py.File(path, "r+") as file:
        file["a"][20:] = X[20:]
    assert gaps_in(path) == ["18:20 they were never written"]
    with open_activations(path) as file:
        [layer] = file.select().values()
        np.testing.assert_array_equal(layer.read(range(2, 32, 5)), X[2:32:5])
        with pytest.raises(SemrsmError, match="samples 18 to 19 hold no values"):
            layer.read(range(1, 32, 3))


def test_the_whole_of_a_hundred_thousand_chunks_is_one_call(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="v110") as file:
        file.create_dataset("a", data=np.ones((100_000, 2), np.float32), chunks=(1, 2))
    asked = []
    with open_activations(path) as file:
        [layer] = file.select().values()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "semrsm.storage.formats.gaps._count_rows", lambda *args: asked.append(args)
            )
            assert layer.read(range(3)).shape == (3, 2)
    assert asked == []


def parts(folder: Path, edge: int = 8) -> list[Path]:
    return [
        write_h5(folder / f"part{k}.h5", d=X[k * edge : (k + 1) * edge]) for k in range(32 // edge)
    ]


def virtual(path: Path, place: Callable[[int], object]) -> Path:
    """Join the parts 0 to 3; `place` says where the samples of each go."""
    layout = h5py.VirtualLayout(X.shape, "f4")
    for k in range(4):
        layout[place(k)] = h5py.VirtualSource(f"part{k}.h5", "d", (8, 3, 4, 4))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)
    return path


def behind(k: int) -> slice:
    return slice(8 * k, 8 * k + 8)


def test_a_virtual_dataset_whose_parts_are_all_there(tmp_path: Path) -> None:
    parts(tmp_path)
    for place in (behind, lambda k: slice(k, None, 4)):
        path = virtual(tmp_path / "v.h5", place)
        assert gaps_in(path) == []
        with open_activations(path) as file:
            assert file.select()["a"].read(range(32)).shape == X.shape


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda part: part.unlink(), "part2.h5 is missing or no HDF5 file"),
        (lambda part: part.write_bytes(b"text"), "part2.h5 is missing or no HDF5 file"),
        (lambda part: write_h5(part, e=X), "has no dataset d"),
        (lambda part: write_h5(part, d__e=X), "has no dataset d"),
        (lambda part: written_in_part(part), "part2.h5::d: samples 4 to 7 hold no values"),
    ],
)
def test_a_virtual_dataset_with_a_part_that_is_not_there(
    fault: Callable, why: str, tmp_path: Path
) -> None:
    fault(parts(tmp_path)[2])
    path = virtual(tmp_path / "v.h5", behind)
    [gap] = gaps_in(path)
    assert gap.startswith("16:24 ")
    assert why in gap
    with open_activations(path) as file:
        layer = file.select()["a"]
        np.testing.assert_array_equal(layer.read(range(16)), X[:16])
        with pytest.raises(SemrsmError, match="samples 16 to 23 hold no values"):
            layer.read(range(10, 18))
    assert len(gaps_in(virtual(tmp_path / "v.h5", lambda k: slice(k, None, 4)))) == 8


def written_in_part(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (8, 3, 4, 4), "f4", chunks=(4, 3, 4, 4))[:4] = X[:4]


def test_a_virtual_dataset_that_its_parts_do_not_cover(tmp_path: Path) -> None:
    parts(tmp_path)
    twice = virtual(tmp_path / "v.h5", lambda k: behind(k - (k == 3)))
    assert gaps_in(twice) == ["24:32 no part of the virtual dataset is theirs"]


def test_a_virtual_dataset_without_end_is_looked_at_block_by_block(tmp_path: Path) -> None:
    parts(tmp_path)
    written_in_part(tmp_path / "part3.h5")
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    endless = h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple(X.shape, (endless, 3, 4, 4))
    space.select_hyperslab((0,) * 4, (endless, 1, 1, 1), (8, 3, 4, 4), (8, 3, 4, 4))
    source = h5py.h5s.create_simple((8, 3, 4, 4))
    plan.set_virtual(space, str(tmp_path / "part%b.h5").encode(), b"d", source)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        space = h5py.h5s.create_simple(X.shape, (endless, 3, 4, 4))
        h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, space, plan)
    [gap] = gaps_in(tmp_path / "v.h5")
    assert gap.startswith("24:32 ")


def test_a_virtual_dataset_of_itself(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(X.shape, "f4")
    layout[:] = h5py.VirtualSource("v.h5", "a", X.shape)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("a", layout)
    assert "more than 8 deep" in fail("compute", tmp_path / "v.h5", "-o", tmp_path / "o.rsm.h5")


@pytest.mark.parametrize(
    ("there", "gaps"),
    [
        (32, []),
        (20, ["20:32 the external file {} ends early"]),
        (0, ["0:32 the external file {} ends early"]),
        (None, ["0:32 the external file {} is missing"]),
    ],
)
def test_external_files_that_end_early(there: int | None, gaps: list[str], tmp_path: Path) -> None:
    values = tmp_path / "values"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        external = [(str(values), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("a", X.shape, "f4", external=external)
    if there is not None:
        values.write_bytes(X[:there].tobytes())
    assert gaps_in(tmp_path / "a.h5") == [gap.format(values) for gap in gaps]


def test_ids_and_labels_that_were_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("samples", (3,), h5py.string_dtype())
        file.create_dataset("labels", (3,), "i8")
    with pytest.raises(SemrsmError, match=r"a\.h5::labels: samples 0 to 2 hold no values"):
        read_labels(f"{tmp_path / 'a.h5'}::labels")
    with (
        open_activations(tmp_path / "a.h5") as file,
        pytest.raises(SemrsmError, match=r"a\.h5::samples: samples 0 to 2 hold no values"),
    ):
        read_sample_ids(file, 3)


def test_a_run_refuses_them_and_info_shows_them(tmp_path: Path) -> None:
    path, out = died(tmp_path / "a.h5", slice(0, 18), **CHUNKS), tmp_path / "out" / "o.rsm.h5"
    out.parent.mkdir()
    message = fail("compute", path, "-o", out, out=out)
    assert "a.h5::a: samples 20 to 31 hold no values: they were never written" in message
    assert "hold no values" in fail("pair", path, 0, 25)
    succeed("compute", path, "-o", out, "--samples", "0:18", "--threads", 1)
    row = succeed("info", path).stdout.splitlines()[1]
    assert "no: samples 20 to 31 hold no values: they were never written" in row
    os.remove(out)
