import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.storage.matrices import Matrix, read_matrices

VALUES = np.array([[1.0, -0.25, 1e-3], [-0.25, 2.0, 5e10], [1e-3, 5e10, 3.0]])


def only(path: Path, name: str | None = None) -> Matrix:
    [matrix] = read_matrices(path, name)
    return matrix


def all_of(matrix: Matrix) -> np.ndarray:
    values = matrix.rows(slice(None))
    assert values.shape == matrix.shape
    return values


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "<i4", "u1"])
def test_npy_of_every_real_type_is_read_as_native_floats(tmp_path: Path, dtype: str) -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]]).astype(dtype)
    np.save(tmp_path / "m.npy", values)
    found = all_of(only(tmp_path / "m.npy"))
    assert found.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(found, values.astype(np.float64))


def test_npy_in_fortran_order_is_read_right(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.asfortranarray(VALUES[:2]))
    matrix = only(tmp_path / "m.npy")
    np.testing.assert_array_equal(all_of(matrix), VALUES[:2])
    np.testing.assert_array_equal(matrix.rows(slice(1, 2)), VALUES[1:2])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_members_are_read_by_name(tmp_path: Path, save: object) -> None:
    save(tmp_path / "m.npz", a=VALUES, b=VALUES[:2], names=np.array(["x", "y"]))
    assert [(m.name, m.shape) for m in read_matrices(tmp_path / "m.npz")] == [
        ("a", (3, 3)),
        ("b", (2, 3)),
    ]
    np.testing.assert_array_equal(all_of(only(tmp_path / "m.npz", "b")), VALUES[:2])
    with pytest.raises(SemrsmError, match=r"there is no matrix 'aa': did you mean 'a'\?"):
        read_matrices(tmp_path / "m.npz", "aa")


def test_hdf5_is_read_in_blocks_by_path(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["group/rsm"] = VALUES.astype(np.float32)
        file["maps"] = np.zeros((3, 2, 4, 4))
    matrix = only(tmp_path / "m.h5")
    assert (matrix.name, matrix.samples) == ("group/rsm", None)
    np.testing.assert_array_equal(matrix.rows(slice(1, 3)), VALUES[1:].astype(np.float32))


def test_bfloat16_is_not_taken_for_whole_numbers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["x"] = np.zeros((3, 3), np.uint16)
        file["x"].attrs["dtype"] = "bfloat16"
    with pytest.raises(SemrsmError, match="holds no matrix of real numbers but x"):
        read_matrices(tmp_path / "m.h5")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[1, "a"], [None, 2]], dtype=object), allow_pickle=True)
    with pytest.raises(SemrsmError, match="holds no matrix of real numbers"):
        read_matrices(tmp_path / "m.npy")


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2), complex)])
def test_what_is_no_matrix_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(SemrsmError, match="holds no matrix of real numbers but m"):
        read_matrices(tmp_path / "m.npy")


def test_a_damaged_member_is_told_when_it_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "m.npz"
    np.savez_compressed(path, a=rng.standard_normal((50, 50)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(SemrsmError, match="damaged"):
        all_of(only(path))


SQUARES = {
    "bare": "1,2\n3,4\n",
    "blank lines": "\n1,2\n\n3,4\n\n",
    "tabs": "1\t2\n3\t4\n",
    "windows": "\ufeff1,2\r\n3,4\r\n",
    "spaces": " 1, 2\n 3, 4\n",
    "header": "a,b\n1,2\n3,4\n",
    "rows": "a,1,2\nb,3,4\n",
    "both": ",a,b\na,1,2\nb,3,4\n",
    "corner": "name,a,b\na,1,2\nb,3,4\n",
    "pandas": ",0,1\n0,1,2\n1,3,4\n",
    "numeric ids": "id,0,1\n0,1,2\n1,3,4\n",
    "numeric rows": "whatever,a,b\n7,1,2\n8,3,4\n",
    "quoted": '"","a, 1","b"\n"a, 1",1,2\n"b",3,4\n',
}


@pytest.mark.parametrize("name", SQUARES)
def test_text_tables_with_and_without_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.csv").write_bytes(SQUARES[name].encode())
    matrix = only(tmp_path / "m.csv")
    assert all_of(matrix).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    samples = {"pandas": ["0", "1"], "numeric ids": ["0", "1"], "numeric rows": ["7", "8"]} | {
        "quoted": ["a, 1", "b"]
    }
    bare = name in ("bare", "blank lines", "tabs", "windows", "spaces")
    assert matrix.samples == (None if bare else samples.get(name, ["a", "b"]))


@given(st.integers(2, 5), st.integers(2, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_text_table_gives_back_every_digit(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, labelled: bool, seed: int
) -> None:
    values = np.random.default_rng(seed).standard_normal((rows, columns)) * 1e100
    text = io.StringIO()
    if labelled:
        text.write("," + ",".join(f"c{c}" for c in range(columns)) + "\n")
    for number, row in enumerate(values.tolist()):
        text.write(f"r{number}," * labelled + ",".join(map(repr, row)) + "\n")
    path = tmp_path_factory.mktemp("m") / "m.csv"
    path.write_text(text.getvalue())
    matrix = only(path)
    np.testing.assert_array_equal(all_of(matrix), values)
    assert matrix.samples == ([f"r{r}" for r in range(rows)] if labelled else None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no matrix"),
        (b"1,2\n3\n", "is no table of numbers"),
        (b"1,2\n3,x\n", "is no table of numbers"),
        (b"1;2\n3;4\n", "holds no matrix"),
        (b"\xff\xfe1,2\n", "is no text table"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(SemrsmError, match=sentence):
        read_matrices(tmp_path / "m.csv")


def test_a_text_table_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1,2\n3,4\n")
    with pytest.raises(SemrsmError, match="is a text table and holds no 'x'; leave ::x out"):
        read_matrices(tmp_path / "m.csv", "x")


def test_missing_files_are_told(tmp_path: Path) -> None:
    for name in ("none.csv", "none.npy"):
        with pytest.raises(SemrsmError, match="check the path"):
            read_matrices(tmp_path / name)
