"""The same samples, or a refusal: what is compared, evaluated and drawn together."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from tests.helpers import fail, run, succeed, write_h5, write_rsm

N = 20


def write(path: Path, seed: int, ids: bool = False) -> Path:
    """Write maps of 20 samples in four classes, and their labels and views."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(9).normal(size=(4, 3, 2, 2))
    labels = np.arange(N) % 4
    x = (centre[labels] + 0.3 * rng.normal(size=(N, 3, 2, 2))).astype(np.float32)
    logits = rng.normal(size=(N, 4)).astype(np.float32)
    write_h5(path, layer1=x, labels=labels, views=np.arange(N) % 10, logits=logits)
    with h5py.File(path, "r+") as file:
        file["images"] = np.full((N, 4, 4), np.arange(N)[:, None, None], np.uint8)
        if ids:
            file["samples"] = [f"img{i}.png" for i in range(N)]
    return path


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    return write(tmp_path / "resnet.h5", 1)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return write(tmp_path / "vit.h5", 2)


def compute(source: Path, name: str, *args: object) -> Path:
    out = source.parent / f"{name}.rsm.h5"
    succeed("compute", source, "-o", out, "--threads", 1, "-l", "layer1", *args)
    return out


def test_other_samples_of_one_file_are_refused_everywhere(resnet: Path, tmp_path: Path) -> None:
    a, b = compute(resnet, "a", "--samples", "0:10"), compute(resnet, "b", "--samples", "10:20")
    out = tmp_path / "out" / "x.png"
    out.parent.mkdir()
    for message in (
        fail("compare", a, b),
        fail("plot", a, b, "-o", out, out=out),
        fail("report", a, b, "-o", out.with_suffix(".html"), out=out),
    ):
        assert (
            f"{a}::layer1 holds samples 0:10 of 20 and {b}::layer1 samples 10:20 of 20" in message
        )
        assert "--by-position" in message
    assert "--align" not in fail("compare", a, b)  # there are no ids
    [record] = json.loads(
        succeed("compare", a, b, "--by-position", "--measure", "cka", "--json").stdout
    )
    assert 0 < record["value"] < 1
    succeed("plot", a, b, "-o", out, "--by-position")
    succeed("report", a, b, "-o", out.with_suffix(".html"), "--by-position")
    assert "exclude each other" in fail("compare", a, b, "--by-position", "--align")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("--samples", "0:10"), ("--samples", "random:10", "--seed", 3)),
        (("--samples", "0:10"), ("--samples", ":", "--exclude", "0:10")),
        (("--exclude", 4), ("--exclude", 5)),
    ],
)
def test_samples_chosen_in_any_way_are_told_from_others(
    one: tuple[object, ...], other: tuple[object, ...], resnet: Path, vit: Path
) -> None:
    a, b = compute(resnet, "a", *one), compute(vit, "b", *other)
    assert "which are not the same" in fail("compare", a, b)


def test_the_same_samples_chosen_in_other_words_are_the_same(resnet: Path) -> None:
    a = compute(resnet, "a", "--samples", "2:20:2")
    b = compute(resnet, "b", "-m", "identity", "--exclude", "0,1:20:2")
    assert succeed("compare", a, b).stderr == ""
    copy = resnet.parent / "copy.h5"
    copy.write_bytes(resnet.read_bytes())
    assert succeed("compare", a, compute(copy, "c", "--samples", "2:20:2")).stderr == ""


def test_two_networks_without_ids_are_compared_and_it_is_said_once(resnet: Path, vit: Path) -> None:
    a, b, c = compute(resnet, "a"), compute(resnet, "b", "-m", "identity"), compute(vit, "c")
    assert succeed("compare", a, b).stderr == ""
    said = succeed("compare", a, b, c).stderr
    assert said.count("\n") == 1
    assert f"nothing shows that {a}::layer1 and {c}::layer1 are of the same samples" in said
    assert "nothing shows" in succeed("plot", a, c, "-o", a.parent / "x.png").stderr


def test_ids_decide_where_both_have_them(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.h5", 1, ids=True), write(tmp_path / "two.h5", 2, ids=True)
    a, b = compute(one, "a", "--samples", "0:10"), compute(two, "b", "--samples", "10:20")
    assert "different samples: sample 0 is 'img0.png' and 'img10.png'" in fail("compare", a, b)
    assert succeed("compare", a, compute(two, "c", "--samples", "0:10")).stderr == ""
    succeed("compare", a, b, "--by-position")


def test_files_of_other_sizes_do_not_contradict(resnet: Path, tmp_path: Path) -> None:
    with h5py.File(resnet) as file:
        few = write_h5(tmp_path / "few.h5", layer1=file["layer1"][10:])
    a, b = compute(resnet, "a", "--samples", "10:20"), compute(few, "b")
    assert "nothing shows" in succeed("compare", a, b).stderr


def test_files_from_before_there_was_a_record(resnet: Path) -> None:
    a, b = compute(resnet, "a", "--samples", "0:10"), compute(resnet, "b", "--samples", "10:20")
    for path in (a, b):
        with h5py.File(path, "r+") as file:
            about = json.loads(file.attrs["metadata"])
            del about["taken"], file.attrs["record"], file["layers/layer1"].attrs["record"]
            file.attrs["metadata"] = json.dumps(about)
    assert "samples 0:10 and" in fail("compare", a, b)


def f1(*args: object) -> float:
    done = succeed("evaluate", "retrieval", *args, "--at", 1)
    [row] = csv.DictReader(done.stdout.splitlines(), delimiter="\t")
    return float(row["f1@1"])


def shuffled(path: Path, header: str | None, seed: int = 3) -> Path:
    """Write a table of ids and labels, in another order."""
    order = np.random.default_rng(seed).permutation(N)
    lines = [f"img{i}.png,class{i % 4}" for i in order]
    path.write_text("\n".join([header, *lines] if header else lines) + "\n")
    return path


@pytest.mark.parametrize("header", ["sample,label", ",label", None])
def test_a_shuffled_table_is_read_by_ids_or_not_at_all(
    header: str | None, resnet: Path, tmp_path: Path
) -> None:
    table = shuffled(tmp_path / "labels.csv", header)
    rsm = compute(resnet, "a")
    truth = f1(rsm, "--labels", resnet)
    assert truth > 0.9
    message = fail("evaluate", "retrieval", rsm, "--labels", table)
    assert f"{table} has ids of its samples" in message
    assert "--by-position" in message
    assert f1(rsm, "--labels", table, "--by-position") < 0.7
    with_ids = compute(write(tmp_path / "ids.h5", 1, ids=True), "b")
    assert f1(with_ids, "--labels", table) == truth


def test_every_kind_of_table_with_ids_is_refused(resnet: Path, tmp_path: Path) -> None:
    rsm = compute(resnet, "a")
    for name, text in (("views.csv", "v{i}"), ("logits.csv", "{i},0.5")):
        lines = ["id,x,y" if "," in text else "id,x"]
        lines += [f"s{i}," + text.format(i=i % 10) for i in range(N)]
        (tmp_path / name).write_text("\n".join(lines))
    views, logits = tmp_path / "views.csv", tmp_path / "logits.csv"
    for args in (
        ("evaluate", "views", rsm, "--views", views),
        ("evaluate", "predictions", rsm, "--logits", logits),
        ("plot", rsm, "-o", tmp_path / "x.png", "--labels", views),
    ):
        assert "has ids of its samples, such as 's0'" in fail(*args)
        succeed(*args, "--by-position")


def test_labels_of_all_samples_serve_an_rsm_of_some(resnet: Path, tmp_path: Path) -> None:
    some = compute(resnet, "a", "--samples", "3:19:3")
    kept = np.arange(3, 19, 3)
    with h5py.File(resnet) as file:
        np.save(tmp_path / "own.npy", file["labels"][:][kept])
    assert f1(some, "--labels", resnet) == f1(some, "--labels", tmp_path / "own.npy")
    succeed("evaluate", "predictions", some, "--logits", f"{resnet}::logits")
    np.save(tmp_path / "few.npy", np.arange(9))
    message = fail("evaluate", "retrieval", some, "--labels", tmp_path / "few.npy")
    assert "has 9 rows and" in message
    assert "has 6 of 20 samples" in message


def test_images_of_all_samples_serve_an_rsm_of_some(resnet: Path) -> None:
    from semrsm.plot.inputs import read_images
    from semrsm.rsms import open_rsms

    [rsm] = open_rsms(compute(resnet, "a", "--samples", "3:19:3"))
    found = read_images(f"{resnet}::images", [0, 2], 6, rsm.taken)
    assert {i: int(image[0, 0]) for i, image in found.items()} == {0: 3, 2: 9}


def test_more_samples_than_there_are_is_said(resnet: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.rsm.h5"
    done = succeed("compute", resnet, "-o", out, "--samples", "0:100", "--threads", 1)
    assert "--samples 0:100: there are 20 samples, 20 of them are taken" in done.stderr
    done = succeed(
        "compute", resnet, "-o", tmp_path / "p.rsm.h5", "--samples", "0:100", "--dry-run"
    )
    assert "20 of them are taken" in done.stderr
    assert semrsm.read_rsm(out)[0].shape == (N, N)


def test_a_list_and_what_is_left_out_reach_the_file(tmp_path: Path) -> None:
    source = write(tmp_path / "ids.h5", 1, ids=True)
    (tmp_path / "l.txt").write_text("img7.png\nimg2.png\nimg11.png\n")
    out = tmp_path / "o.rsm.h5"
    args = ("--samples", tmp_path / "l.txt", "--exclude", 7, "--threads", 1)
    done = succeed("compute", source, "-o", out, *args)
    assert "3 of 20 samples are taken, by their ids" in done.stderr
    rsm, about = semrsm.read_rsm(out)
    assert about["samples"] == ["img2.png", "img11.png"]
    assert about["metadata"]["taken"] == {"samples": "2,11", "of": N}
    assert about["metadata"]["options"]["exclude"] == "7"
    assert rsm.shape == (2, 2)


def test_a_rectangle_takes_of_both_files_and_may_leave_out_of_either(
    resnet: Path, tmp_path: Path
) -> None:
    with h5py.File(resnet, "r+") as file:
        few = write_h5(tmp_path / "few.h5", layer1=file["layer1"][:6])
        file["layer1"][14] = np.nan
    out = tmp_path / "o.rsm.h5"
    args = ("compute", few, "-o", out, "--against", resnet, "-l", "layer1", "--threads", 1)
    assert "leave it out with --exclude 14 " in fail(*args)
    succeed(*args, "--exclude", "3,14")
    rsm, about = semrsm.read_rsm(out)
    assert rsm.shape == (5, 18)
    assert about["metadata"]["taken"] == {"samples": "0:3,4:6", "of": 6}
    assert about["metadata"]["column_taken"] == {"samples": "0:3,4:14,15:20", "of": N}
    assert "names sample 20 and there are 20" in fail(*args, "--exclude", 20, "--overwrite")


def test_a_run_goes_on_only_with_the_samples_that_it_began_with(
    resnet: Path, tmp_path: Path
) -> None:
    out, listed = tmp_path / "o.rsm.h5", tmp_path / "l.txt"
    listed.write_text("1\n4\n7\n9\n")
    args = ("compute", resnet, "-o", out, "-l", "layer1", "--samples", listed, "--threads", 1)
    succeed(*args, "--shard", "1/2")
    listed.write_text("1\n4\n7\n8\n")
    other = run(*args)
    assert other.exit_code == 1
    assert "whose taken.samples is 1,4,7,9, not 1,4,7:9" in other.stderr
    listed.write_text("1\n4\n7\n9\n")
    succeed(*args, "--shard", "2/2")
    succeed("finish", out)
    assert semrsm.read_rsm(out)[1]["metadata"]["taken"] == {"samples": "1,4,7,9", "of": N}


def test_info_tells_ids_and_which_samples_were_taken(tmp_path: Path, resnet: Path) -> None:
    source = write(tmp_path / "ids.h5", 1, ids=True)
    found = json.loads(succeed("info", source, "--json").stdout)
    assert found["sample_ids"] == {"array": "samples", "n": N, "first": "img0.png"}
    found = json.loads(succeed("info", compute(source, "a", "--exclude", 0), "--json").stdout)
    assert found["sample_ids"] == {"array": "samples", "n": N - 1, "first": "img1.png"}
    assert found["taken"] == "samples 1:20 of 20"
    assert "sample_ids: none" in succeed("info", resnet).stderr


def test_arrays_that_may_be_meant_for_ids_get_a_hint(resnet: Path, tmp_path: Path) -> None:
    with h5py.File(resnet, "r+") as file:
        file["meta/names"] = [f"img{i}" for i in range(N)]
    done = succeed("compute", resnet, "-o", tmp_path / "o.rsm.h5", "--threads", 1)
    assert "an array 'meta/names', which is not read as ids" in done.stderr
    assert "call it samples" in done.stderr
    assert "'meta/names'" in json.loads(succeed("info", resnet, "--json").stdout)["hint"]
    (tmp_path / "l.csv").write_text("filename\n" + "".join(f"c{i % 2}\n" for i in range(N)))
    message = fail("evaluate", "retrieval", tmp_path / "o.rsm.h5", "--labels", tmp_path / "l.csv")
    assert "if its column 'filename' holds ids, call it samples" in message


def test_labels_of_a_gallery_are_found_by_ids_too(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.h5", 1, ids=True), write(tmp_path / "two.h5", 2, ids=True)
    rsm = compute(one, "r", "--against", two, "--exclude", "1,6")
    with h5py.File(rsm) as file:
        assert list(file["column_samples"].asstr()[:3]) == ["img0.png", "img2.png", "img3.png"]
    table = shuffled(tmp_path / "labels.csv", "sample,label")
    truth = f1(rsm, "--labels", f"{one}::labels", "--gallery-labels", f"{two}::labels")
    assert truth > 0.9
    assert f1(rsm, "--labels", table, "--gallery-labels", table) == truth
    succeed("info", rsm, "--check")
    bare = compute(write(tmp_path / "bare.h5", 1), "b", "--against", one, "--exclude", "1,6")
    args = ("--labels", f"{tmp_path / 'bare.h5'}::labels", "--gallery-labels", f"{two}::labels")
    assert f1(bare, *args) > 0.9
    other = compute(one, "o", "--against", tmp_path / "bare.h5")
    message = fail("evaluate", "retrieval", other, "--labels", table, "--gallery-labels", table)
    assert (
        f"such as 'img{np.random.default_rng(3).permutation(N)[0]}.png', and the gallery" in message
    )


def test_aligning_is_proposed_only_where_ids_are_shared(tmp_path: Path) -> None:
    def rsm(name: str, ids: list[str]) -> Path:
        return write_rsm(tmp_path / f"{name}.rsm.h5", {"a": np.eye(len(ids))}, ids)

    a, shared = rsm("a", ["p", "q", "r"]), rsm("b", ["q", "r", "s"])
    for other, proposed in (
        (shared, True),
        (rsm("c", ["s", "t", "u"]), False),
        (rsm("d", ["p", "q"]), True),
        (rsm("e", ["s", "t"]), False),
    ):
        assert ("match their ids with --align" in fail("compare", a, other)) == proposed
