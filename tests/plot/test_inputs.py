import json
from pathlib import Path

import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.inputs import read_column, read_ids, read_records
from semrsm.rsms import Rsm, open_rsms


def rsm_of(folder: Path, n: int) -> Rsm:
    np.save(folder / "r.npy", np.eye(n))
    return open_rsms(folder / "r.npy")[0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_labels_that_are_python_objects_are_refused_not_taken_for_zeros(save, tmp_path) -> None:
    path = tmp_path / "l.npz"
    save(path, labels=np.array(["a", "b", "c"], dtype=object))
    with pytest.raises(SemrsmError, match=r"l\.npz::labels holds Python objects"):
        read_column(str(path), rsm_of(tmp_path, 3), "labels")


def test_texts_and_numbers_are_read(tmp_path) -> None:
    path = tmp_path / "l.npz"
    np.savez(path, labels=np.array(["a", "b"]), views=np.array([3, 4]))
    assert read_column(str(path), rsm_of(tmp_path, 2), "labels").tolist() == ["a", "b"]
    assert read_column(str(path), rsm_of(tmp_path, 2), "views").tolist() == [3, 4]


def test_several_labels_are_one_text_and_numbers_sort_as_numbers(tmp_path) -> None:
    (tmp_path / "l.csv").write_text("labels\ncat;dog\ndog\n")
    found = read_column(str(tmp_path / "l.csv"), rsm_of(tmp_path, 2), "labels")
    assert found.tolist() == ["cat dog", "dog"]
    np.savez(tmp_path / "l.npz", labels=np.array(["10", "9"]))
    found = read_column(str(tmp_path / "l.npz"), rsm_of(tmp_path, 2), "labels")
    assert sorted(found) == [9, 10]


ROW = {"a": "x", "layer_a": "1", "b": "y", "layer_b": "1", "kernel": "", "measure": "cka"}
ROW["value"] = "0.5"


def test_a_row_is_texts_a_number_and_nothing(tmp_path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([ROW | {"layer_a": 3, "kernel": None}, ROW | {"value": None}]))
    first, second = read_records(path)
    assert first == ROW | {"layer_a": "3", "kernel": None, "value": 0.5}
    assert second["value"] is None


def test_a_wide_table_of_evaluations_is_read_in_long_form(tmp_path) -> None:
    (tmp_path / "e.csv").write_text(
        "rsm,layer,matcher,kernel,baseline,f1@1,f1@1-low,f1@1-p,median-same,queries,seed\n"
        "a.h5,l1,optimal,rbf,b.h5,0.5,0.4,0.01,,80,0\n"
        "a.h5,l2,optimal,rbf,b.h5,0.7,,,0.1,80,0\n"
    )
    found = read_records(tmp_path / "e.csv")
    said = [
        (r["rsm"], r["layer"], r["matcher"], r["kernel"], r["metric"], r["value"]) for r in found
    ]
    assert said == [
        ("a.h5", "l1", "optimal", "rbf", "f1@1", 0.5),
        ("a.h5", "l1", "optimal", "rbf", "median-same", None),
        ("a.h5", "l2", "optimal", "rbf", "f1@1", 0.7),
        ("a.h5", "l2", "optimal", "rbf", "median-same", 0.1),
    ]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"layer_a": ["1"]}, "row 2 .* no text or number as layer_a"),
        ({"measure": {}}, "row 2 .* measure"),
        ({"value": "much"}, r"row 2 .* no number \(much\)"),
        ({"value": 1e999}, "row 2 .* no number"),
        ({"value": 10**400}, "row 2 .* no number"),
    ],
)
def test_a_row_that_is_none_is_refused(odd, says: str, tmp_path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([ROW, ROW | odd]))
    with pytest.raises(SemrsmError, match=says):
        read_records(path)


@pytest.mark.parametrize(
    ("row", "says"), [("1,2,3,4,5,6,7,8", "more cells"), ("x" * 200_000, "is no table")]
)
def test_a_table_with_odd_rows_is_refused(row: str, says: str, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(ROW) + "\n" + row + "\n")
    with pytest.raises(SemrsmError, match=says):
        read_records(path)


def test_ids_of_samples_are_read_where_there_are_some(tmp_path):
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "ids.npz", map=rng.normal(size=(3, 2, 2, 2)), samples=["a/x", "b/y", "c/z"])
    np.savez(tmp_path / "none.npz", map=rng.normal(size=(3, 2, 2, 2)))
    assert list(read_ids(tmp_path / "ids.npz", 3)) == ["a/x", "b/y", "c/z"]
    assert read_ids(tmp_path / "none.npz", 3) is None
