from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.sample_numbers import Taken
from semrsm.storage.labels import Labels, read_labels, read_scores, read_views, rows_of


def sets_of(*texts: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(text.split()) for text in texts)


@pytest.mark.parametrize(
    "array",
    [
        np.array([3, 0, 3]),
        np.array([3, 0, 3], np.uint8),
        np.array([3.0, 0.0, 3.0], np.float16),
        np.array(["3", "0", "3"]),
        np.array([b"3", b"0", b"3"]),
        np.array([[3], [0], [3]]),
    ],
)
def test_one_label_a_sample_of_every_type(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "l.npy", array)
    assert read_labels(tmp_path / "l.npy").sets == sets_of("3", "0", "3")


def test_texts_in_hdf5_with_ids_beside_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "l.h5", "w") as file:
        file["deep/labels"] = ["Straße", "cat"]
        file["samples"] = ["a", "b"]
    found = read_labels(f"{tmp_path / 'l.h5'}::deep/labels")
    assert found.sets == sets_of("Straße", "cat")
    assert found.samples == ["a", "b"]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_multi_hot_columns_are_labels(tmp_path: Path, dtype: type) -> None:
    np.savez_compressed(tmp_path / "l.npz", hot=np.array([[1, 0, 1], [0, 0, 0]], dtype))
    assert read_labels(tmp_path / "l.npz").sets == sets_of("0 2", "")


TABLES = {
    "plain": ("cat\ndog\n", ["cat", "dog"], None),
    "lists": ("cat; dog\ndog;\n", ["cat dog", "dog"], None),
    "columns": ("cat,dog\ndog,\n", ["cat dog", "dog"], None),
    "header": ("label\ncat\ndog\n", ["cat", "dog"], None),
    "ids": ("sample,labels\na,cat;dog\nb,\n", ["cat dog", ""], ["a", "b"]),
    "ids and columns": ("Image,x,y\na,cat,dog\nb\n", ["cat dog", ""], ["a", "b"]),
    "tabs": ("id\tlabel\na\tcat,dog\nb\tdog\n", ["cat,dog", "dog"], ["a", "b"]),
    "blank line": ("cat\n\ndog\n\n\n", ["cat", "", "dog"], None),
    "multi-hot": ("id,cat,dog\na,1,1\nb,0,1\n", ["cat dog", "dog"], ["a", "b"]),
    "bare multi-hot": ("1,0,0\n0,1,1\n", ["0", "1 2"], None),
    "one column of 0 and 1": ("0\n1\n", ["0", "1"], None),
    "ids without a header": ("a.png,cat\nb.png,cat\n", ["cat", "cat"], ["a.png", "b.png"]),
    "ids and bare multi-hot": ("a.png,1,0\nb.png,1,1\n", ["0", "0 1"], ["a.png", "b.png"]),
    "numbers beside texts": ("7,cat\n3,dog\n", ["cat", "dog"], ["7", "3"]),
    "an empty header": (",label\n0,cat\n1,dog\n", ["cat", "dog"], ["0", "1"]),
    "unique texts alone": ("cat\ndog\n", ["cat", "dog"], None),
    "a label twice": ("cat,a\ncat,b\n", ["cat a", "cat b"], None),
    "numbers alone": ("7,3\n2,1\n", ["7 3", "2 1"], None),
    "one row": ("cat,dog\n", ["cat dog"], None),
}


@pytest.mark.parametrize("name", TABLES)
def test_text_tables(tmp_path: Path, name: str) -> None:
    text, sets, samples = TABLES[name]
    (tmp_path / "l.csv").write_text(text)
    found = read_labels(tmp_path / "l.csv")
    assert found.sets == sets_of(*sets)
    assert found.samples == samples


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    labels = np.array([["cat"], ["cat", "dog"]], dtype=object)
    np.save(tmp_path / "l.npy", labels, allow_pickle=True)
    with pytest.raises(SemrsmError, match="holds Python objects, which are not unpickled"):
        read_labels(tmp_path / "l.npy")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.array([1.0, np.nan]), "the label of sample 1 is not finite"),
        (np.array([[0.0, 1.0], [0.0, 0.5]]), "must be 0 or 1, sample 1 has 0.5"),
        (np.array([["a", "b"]]), "must be 0 or 1, these are <U1"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.array([1j]), "type complex128"),
        (np.array([b"\xff"]), "is no UTF-8 text"),
        (np.zeros(0), "holds no labels"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, array: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / "l.npy", array)
    with pytest.raises(SemrsmError, match=sentence):
        read_labels(tmp_path / "l.npy")


def test_arrays_are_named_or_guessed_at(tmp_path: Path) -> None:
    np.savez(tmp_path / "l.npz", labels=np.arange(3), views=np.arange(3) + 5)
    assert read_labels(tmp_path / "l.npz").sets[0] == {"0"}
    assert read_views(tmp_path / "l.npz").sets[0] == {"5"}
    np.savez(tmp_path / "other.npz", a=np.arange(3), b=np.arange(3))
    with pytest.raises(
        SemrsmError, match=r"no array 'labels'\. There are: a, b; name the array: .*::NAME"
    ):
        read_labels(tmp_path / "other.npz")
    with pytest.raises(SemrsmError, match=r"no array 'label': did you mean 'labels'\?"):
        read_labels(f"{tmp_path / 'l.npz'}::label")
    with pytest.raises(SemrsmError, match=r"nothing\.csv cannot be read .* check the path"):
        read_labels(tmp_path / "nothing.csv")
    (tmp_path / "l.csv").write_text("a\nb\n")
    with pytest.raises(SemrsmError, match="is a text table and holds no array 'x'"):
        read_labels(f"{tmp_path / 'l.csv'}::x")


def test_a_view_is_of_one_thing(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("a\na;b\n")
    with pytest.raises(SemrsmError, match="sample 1 has 2 ids of a thing; give each sample one"):
        read_views(tmp_path / "v.csv")


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("0.5,1\n2,3\n", None),
        ("cat,dog\n0.5,1\n2,3\n", None),
        ("id,cat,dog\n1,0.5,1\n2,2,3\n", ["1", "2"]),
        (",cat,dog\na,0.5,1\nb,2,3\n", ["a", "b"]),
    ],
)
def test_scores_of_a_text_table(tmp_path: Path, text: str, samples: list[str] | None) -> None:
    (tmp_path / "p.csv").write_text(text)
    found = read_scores(tmp_path / "p.csv")
    assert found.values.tolist() == [[0.5, 1.0], [2.0, 3.0]]
    assert found.samples == samples


def test_scores_are_one_matrix_of_several_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", a=np.ones((2, 2)), b=np.ones((2, 1)))
    with pytest.raises(SemrsmError, match="holds several matrices: a, b; name one"):
        read_scores(tmp_path / "p.npz")
    with pytest.raises(SemrsmError, match="has one column"):
        read_scores(f"{tmp_path / 'p.npz'}::b")
    assert read_scores(f"{tmp_path / 'p.npz'}::a").values.dtype == np.float64


@given(st.permutations(range(6)), st.integers(1, 6))
def test_rows_are_found_by_id(order: list[int], n: int) -> None:
    labels = Labels("l.csv", (frozenset("x"),) * 6, [f"s{i}" for i in order])
    wanted = [f"s{i}" for i in range(n)]
    rows = rows_of(labels, n, wanted, "r.h5")
    assert [labels.samples[row] for row in rows] == wanted


def test_ids_that_do_not_fit_are_refused() -> None:
    pair = (frozenset("x"), frozenset("y"))
    with pytest.raises(SemrsmError, match=r"l\.csv lacks the sample 'c' of r\.h5"):
        rows_of(Labels("l.csv", pair, ["a", "b"]), 2, ["a", "c"], "r.h5")
    with pytest.raises(SemrsmError, match=r"l\.csv has the sample 'a' twice"):
        rows_of(Labels("l.csv", pair, ["a", "a"]), 2, ["a", "b"], "r.h5")
    assert rows_of(Labels("l.csv", pair, ["a", "a"]), 2, ["a", "a"], "r.h5").tolist() == [0, 1]


def test_ids_of_the_file_alone_are_refused_unless_they_merely_count() -> None:
    three = (frozenset("x"),) * 3
    with pytest.raises(SemrsmError, match=r"l\.csv has ids .* such as 'b', and r\.h5 has none"):
        rows_of(Labels("l.csv", three, ["b", "a", "c"]), 3, None, "r.h5")
    with pytest.raises(SemrsmError, match="such as '2'"):
        rows_of(Labels("l.csv", three, ["2", "1", "0"]), 3, None, "r.h5")
    counted = Labels("l.csv", three, ["0", "1", "2"])
    assert rows_of(counted, 3, None, "r.h5").tolist() == [0, 1, 2]
    assert rows_of(counted, 3, ["a", "b", "c"], "r.h5").tolist() == [0, 1, 2]
    assert rows_of(counted, 2, ["2", "0"], "r.h5").tolist() == [2, 0]


def test_rows_of_all_samples_serve_those_that_were_taken() -> None:
    labels = Labels("l.csv", (frozenset("x"),) * 9, None)
    taken = Taken((2, 5), 9)
    assert rows_of(labels, 2, None, "r.h5", taken).tolist() == [2, 5]
    assert rows_of(labels, 9, None, "r.h5", Taken(range(9), 20)).tolist() == list(range(9))
    with pytest.raises(SemrsmError, match=r"has 9 rows and r\.h5 has 2 of 10 samples"):
        rows_of(labels, 2, None, "r.h5", Taken((2, 5), 10))


def test_without_ids_the_lengths_must_agree() -> None:
    labels = Labels("l.csv", (frozenset("x"),) * 3, None)
    assert rows_of(labels, 3, ["a", "b", "c"], "r.h5").tolist() == [0, 1, 2]
    with pytest.raises(SemrsmError, match=r"l\.csv has 3 rows and r\.h5 has 5 samples; give one"):
        rows_of(labels, 5, None, "r.h5")
    with pytest.raises(SemrsmError, match=r"begin its header with: .*sample"):
        rows_of(labels, 2, None, "r.h5")
