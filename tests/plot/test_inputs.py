from pathlib import Path

import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.inputs import read_column
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
