import numpy as np
import pytest

from semrsm import SemrsmError
from semrsm.plot.inputs import read_column


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_labels_that_are_python_objects_are_refused_not_taken_for_zeros(save, tmp_path) -> None:
    path = tmp_path / "l.npz"
    save(path, labels=np.array(["a", "b", "c"], dtype=object))
    with pytest.raises(SemrsmError, match=r"l\.npz::labels cannot be read"):
        read_column(str(path), 3, "labels")


def test_texts_and_numbers_are_read(tmp_path) -> None:
    path = tmp_path / "l.npz"
    np.savez(path, labels=np.array(["a", "b"]), views=np.array([3, 4]))
    assert read_column(str(path), 2, "labels").tolist() == ["a", "b"]
    assert read_column(str(path), 2, "views").tolist() == [3, 4]
