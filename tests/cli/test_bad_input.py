"""Bad input through the command line: one sentence, exit code 1, nothing written."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import fail, run, snapshot, start, succeed, write_h5, write_rsm


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where to write: a folder with nothing in it."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "o.rsm.h5"


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(6, 3, 4, 4)).astype(np.float32)


@pytest.fixture
def dump(tmp_path: Path, x: np.ndarray) -> Path:
    return write_h5(tmp_path / "dump.h5", layer1=x, layer2=x[:, :2])


def refused(source: object, out: Path, *args: object, says: tuple[str, ...]) -> None:
    """Compute must fail, say these things in one line, and leave the folder of `out` as it was.

    It is tried twice: with no output there, and with an older one that may be replaced.
    """
    for older in (False, True):
        if older and out.parent.is_dir():
            out.write_bytes(b"older")
        message = fail("compute", source, "-o", out, "--overwrite", *args, out=out)
        for text in says:
            assert text in message, message


def test_a_missing_file(tmp_path: Path, dump: Path, out: Path) -> None:
    missing = tmp_path / "no.h5"
    refused(missing, out, says=(str(missing), "does not exist", "dump.h5"))


def test_files_beside_a_missing_one_are_of_its_kind(tmp_path: Path, dump: Path) -> None:
    rsm = write_rsm(tmp_path / "plain_name.h5", {"a": np.eye(3)})
    message = fail("compute", tmp_path / "no.h5", "-o", tmp_path / "o.rsm.h5")
    assert message.endswith("Activation files there: dump.h5\n")
    message = fail("compare", tmp_path / "no.rsm.h5", rsm)
    assert message.endswith("RSM files there: plain_name.h5\n")
    for k in range(9):
        (tmp_path / f"e{k}.npy").write_bytes(b"")
    message = fail("compute", tmp_path / "no.h5", "-o", tmp_path / "o.rsm.h5")
    assert message.endswith("e5.npy, e6.npy, …\n")


def test_a_folder(tmp_path: Path, out: Path) -> None:
    refused(tmp_path, out, says=(str(tmp_path), "which this command reads; write it to another"))
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", out, says=(f"{tmp_path}/empty holds no activation files",))


def test_a_path_through_a_file(dump: Path, out: Path) -> None:
    refused(dump / "x.h5", out, says=("x.h5", "cannot be read"))


@pytest.mark.parametrize("content", [b"", b"n", b"not HDF5 at all, but text\n" * 50])
def test_a_file_of_no_known_format(content: bytes, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    refused(path, out, says=("a.h5", "none of hdf5, torch, npz, npy", "save"))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_an_hdf5_file_cut_short(share: float, tmp_path: Path, out: Path, x: np.ndarray) -> None:
    path = write_h5(tmp_path / "a.h5", layer1=np.tile(x, (50, 1, 1, 1)))
    content = path.read_bytes()
    path.write_bytes(content[: max(9, int(len(content) * share))])
    refused(path, out, says=("a.h5", "damaged or cut short", "again"))


@pytest.mark.parametrize("chunked", [False, True])
def test_an_hdf5_file_that_opens_but_has_lost_its_values(
    chunked: bool, tmp_path: Path, out: Path, x: np.ndarray
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, 3, 4, 4), "compression": "gzip"} if chunked else {}
        file.create_dataset("layer1", data=np.tile(x, (50, 1, 1, 1)), **options)
    content = path.read_bytes()
    cut = bytearray(content[: len(content) * 3 // 4])
    # The superblock (version 0) holds the end of the file at byte 40; a reader checks only that.
    cut[40:48] = len(cut).to_bytes(8, "little")
    path.write_bytes(cut)
    refused(path, out, says=("a.h5", "damaged or cut short"))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["hdf5", "npz", "compressed", "npy"])
def test_a_file_with_wrong_bytes_ends_in_one_sentence_or_well(
    kind: str, seed: int, tmp_path: Path, out: Path, x: np.ndarray
) -> None:
    path = tmp_path / "a"
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file.create_dataset("g/layer1", data=x, chunks=(2, 3, 4, 4), compression="gzip")
    else:
        with path.open("wb") as stream:
            if kind == "npy":
                np.save(stream, x)
            else:
                (np.savez if kind == "npz" else np.savez_compressed)(stream, layer1=x)
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    few = rng.integers(1, 40)
    where = rng.integers(min(len(content), 2500 if kind == "hdf5" else 400), size=few)
    content[where] = rng.integers(256, size=few)
    path.write_bytes(content.tobytes())
    for args in (("compute", path, "-o", out, "-m", "identity"), ("info", path)):
        result = run(*args)
        assert result.exit_code in (0, 1)
        assert not isinstance(result.exception, Exception), result.exception
        assert result.exit_code == 0 or result.stderr.count("\n") == 1
    assert list(out.parent.iterdir()) in ([], [out])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, np.save])
def test_a_numpy_file_cut_short(
    share: float, save: object, tmp_path: Path, out: Path, x: np.ndarray
) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        save(stream, np.tile(x, (9, 1, 1, 1)))  # type: ignore[operator]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, out, says=(str(path), "damaged or cut short"))


def test_a_compressed_member_with_wrong_bytes(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, layer1=np.random.default_rng(0).normal(size=(99, 64)))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)
    refused(path, out, says=("a.npz::layer1", "damaged or cut short"))


def test_no_such_layer_lists_those_there(dump: Path, out: Path) -> None:
    says = ("dump.h5", "no layer 'layr1'", "did you mean 'layer1'?", "layer1, layer2")
    refused(dump, out, "-l", "layr1", says=says)
    refused(f"{dump}::layr1", out, says=says)
    refused(dump, out, "-l", "encoder*", says=("no layer matches 'encoder*'", "layer1, layer2"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_value_that_is_not_finite(
    bad: float, dtype: type, tmp_path: Path, out: Path, x: np.ndarray
) -> None:
    array = x.astype(dtype)
    array[4, 2, 3, 3] = bad
    path = write_h5(tmp_path / "a.h5", g__layer1=array)
    refused(path, out, says=("a.h5::g/layer1", "sample 4 ", "NaN or infinity", "--exclude 4 "))
    refused(path, out, "--samples", "2::2", says=("sample 4 ",))
    succeed("compute", path, "-o", out, "--samples", "0:4", "--overwrite", "--threads", 1)
    succeed("compute", path, "-o", out, "--exclude", 4, "--overwrite", "--threads", 1)


def test_infinities_of_both_signs(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    x[1, 0, 0, 0], x[2, 0, 0, 0] = np.inf, -np.inf
    refused(write_h5(tmp_path / "a.h5", layer1=x), out, says=("samples 1:3 hold", "--exclude 1:3 "))


def test_values_whose_products_overflow(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    path = write_h5(tmp_path / "a.h5", layer1=x.astype(np.float64) * 1e200)
    refused(path, out, says=("a.h5::layer1", "overflow", "divide"))


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros(6, np.float32), "1 dimensions"),
        (np.zeros((6, 2, 2, 2, 2, 2), np.float32), "6 dimensions"),
        (np.zeros((6, 2, 2), np.complex64), "complex64"),
        (np.zeros((6, 2, 2), np.int64), "int64"),
        (np.zeros((6, 2, 2), bool), "bool"),
        (np.full((6, 2, 2), b"text"), "|S4"),
        (np.zeros((6, 2), [("a", "f4"), ("b", "f4")]), "('a', '<f4')"),
    ],
)
def test_an_array_that_is_no_layer(
    array: np.ndarray, problem: str, tmp_path: Path, out: Path, x: np.ndarray
) -> None:
    refused(write_h5(tmp_path / "a.h5", bad=array), out, says=("a.h5", "'bad'", problem))
    both = write_h5(tmp_path / "b.h5", bad=array, good=x)
    refused(both, out, "-l", "bad", says=("b.h5::bad", problem, "--layer"))
    succeed("compute", both, "-o", out, "--overwrite", "--threads", 1)


def test_a_file_without_arrays(tmp_path: Path, out: Path) -> None:
    refused(write_h5(tmp_path / "a.h5"), out, says=("a.h5", "no layer", "empty"))
    empty = tmp_path / "a.npz"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    refused(empty, out, says=("a.npz", "no layer", "empty"))


class Trap:
    """What runs code if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["SEMRSM_TRAP"],)


@pytest.mark.parametrize("save", ["npz", "compressed npz", "npy"])
def test_objects_are_never_unpickled(
    save: str, tmp_path: Path, out: Path, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMRSM_TRAP", str(tmp_path / "sprung"))
    objects = np.array([Trap()] * 6, dtype=object)
    path = tmp_path / "a"
    with path.open("wb") as stream:
        if save == "npy":
            np.save(stream, objects, allow_pickle=True)
        elif save == "npz":
            np.savez(stream, samples=objects, image=objects, layer1=objects)
        else:
            np.savez_compressed(stream, samples=objects, image=objects, layer1=objects)
    refused(path, out, says=("no layer", "holds object"))
    run("info", path)
    if save != "npy":
        with path.open("wb") as stream:
            (np.savez if save == "npz" else np.savez_compressed)(stream, samples=objects, layer1=x)
        succeed("compute", path, "-o", out, "--overwrite", "--threads", 1)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(FileExistsError):
        [(tmp_path / "sprung").mkdir(), np.load(io.BytesIO(_pickled(objects)), allow_pickle=True)]


def _pickled(objects: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, objects, allow_pickle=True)
    return stream.getvalue()


def test_layers_that_differ_in_their_samples(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    path = write_h5(tmp_path / "a.h5", layer1=x, layer2=x[:5], layer3=x)
    refused(path, out, says=("a.h5", "layer1 6, layer2 5, layer3 6", "--layer"))
    succeed("compute", path, "-o", out, "-l", "layer[13]", "--overwrite", "--threads", 1)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (6, 0, 4, 4), (6, 3, 0, 4), (0, 3, 2), (6, 0)])
@pytest.mark.parametrize("kind", ["h5", "npy", "npz"])
def test_an_empty_layer(shape: tuple[int, ...], kind: str, tmp_path: Path, out: Path) -> None:
    path, array = tmp_path / f"a.{kind}", np.zeros(shape, np.float32)
    if kind == "h5":
        write_h5(path, a=array)
    else:
        np.save(path, array) if kind == "npy" else np.savez(path, a=array)
    refused(path, out, says=(f"{path}::a", "is empty", str(shape)))


def test_maps_of_other_sizes_on_the_other_side(
    tmp_path: Path, dump: Path, out: Path, x: np.ndarray
) -> None:
    other = write_h5(tmp_path / "b.h5", layer1=x[:, :, :2], layer2=x)
    says = ("dump.h5::layer1 has 16 positions", "b.h5::layer1 has 8", "--pool")
    refused(dump, out, "-l", "layer1", "--against", other, says=says)
    says = ("dump.h5::layer2 has 2 channels", "b.h5::layer2 has 3")
    refused(dump, out, "-l", "layer2", "--against", other, says=says)
    says = ("one layer, layer2", "layer1, layer2", "--layer")
    refused(dump, out, "--against", f"{other}::layer2", says=says)
    third = write_h5(tmp_path / "c.h5", layer3=x)
    refused(dump, out, "--against", third, says=("c.h5", "no layer 'layer1'", "layer3"))
    refused(dump, out, "--against", tmp_path / "no.h5", says=("no.h5", "does not exist"))


def test_a_bad_sample_on_the_other_side(
    tmp_path: Path, dump: Path, out: Path, x: np.ndarray
) -> None:
    x[3, 0, 0, 0] = np.nan
    other = write_h5(tmp_path / "b.h5", layer1=x)
    says = ("b.h5::layer1", "sample 3")
    refused(dump, out, "-l", "layer1", "--against", other, says=says)


def test_an_output_that_exists_is_kept_without_overwrite(dump: Path, out: Path) -> None:
    out.write_bytes(b"older")
    message = fail("compute", dump, "-o", out, out=out)
    assert "o.rsm.h5 exists" in message
    assert "--overwrite" in message
    succeed("compute", dump, "-o", out, "--overwrite", "--threads", 1)
    assert out.read_bytes().startswith(b"\x89HDF")
    assert list(out.parent.iterdir()) == [out]


def test_an_output_that_is_the_input(dump: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(dump)
    for out in (dump, link):
        message = fail("compute", dump, "-o", out, "--overwrite", out=dump)
        assert "is an input" in message
    other = tmp_path / "other.h5"
    other.write_bytes(dump.read_bytes())
    assert "is an input" in fail("compute", other, "--against", dump, "-o", dump, "--overwrite")


def test_an_output_in_no_folder(dump: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", dump):
        message = fail("compute", dump, "-o", folder / "o.rsm.h5", out=dump)
        assert f"folder {folder} does not exist" in message


def test_an_output_that_is_a_folder(dump: Path, out: Path) -> None:
    assert "is a folder" in fail("compute", dump, "-o", out.parent, out=out)


def test_a_folder_that_is_not_writable(
    dump: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"folder {out.parent} is not writable" in fail("compute", dump, "-o", out, out=out)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_folder_where_not_even_root_can_write(dump: Path) -> None:
    message = fail("compute", dump, "-o", "/proc/o.rsm.h5", "--threads", 1)
    assert "/proc/o.rsm.h5.run cannot be made" in message or "not writable" in message


def test_a_device_that_is_not_there(dump: Path, out: Path) -> None:
    says = ("--device cuda:99", "CUDA device", "cpu")
    refused(dump, out, "--device", "cuda:99", says=says)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-m", "optimale"), ("no matcher 'optimale'", "did you mean 'optimal'?", "identity")),
        (("-k", "cosin"), ("no kernel 'cosin'", "did you mean 'cosine'?", "linear, cosine, rbf")),
        (("--layout", "nchv"), ("no layout 'nchv'", "did you mean 'nchw'?")),
        (("--layout", "ntd"), ("dump.h5::layer1", "'ntd' has 3 dimensions", "4", "--layout")),
        (("--sigma", "0"), ("sigma must be 'median' or a positive number", "0")),
        (("--sigma", "nan"), ("sigma must be",)),
        (("--sigma", "wide"), ("sigma must be", "'wide'")),
        (("--pool", "7"), ("pool must be HxW", "7x7", "'7'")),
        (("--pool", "0x2"), ("pool must be HxW",)),
        (("--pool", "²x2"), ("pool must be HxW",)),
        (("--pool", "9x9"), ("dump.h5::layer1", "--pool 9x9", "4x4")),
        (("--skip-tokens", "1"), ("dump.h5::layer1", "--skip-tokens", "leave it out")),
        (("--skip-tokens", "-1"), ("skip-tokens must be at least 0",)),
        (("--samples", "5"), ("samples must be START:STOP", "'5'")),
        (("--samples", "a:b"), ("samples must be",)),
        (("--samples", "-:"), ("samples must be",)),
        (("--samples", "::-1"), ("STEP", "at least 1")),
        (("--samples", "::0"), ("STEP", "at least 1")),
        (("--samples", "6:"), ("--samples 6: leaves none of 6 samples",)),
        (("--samples", "7:9"), ("--samples 7:9 leaves none of 6 samples",)),
        (("--samples", "random:0"), ("at least random:1",)),
        (("--samples", "random:"), ("samples must be START:STOP", "random:K")),
        (("--samples", "/no/list.txt"), ("samples must be", "/no/list.txt cannot be read")),
        (("--exclude", "0:6"), ("--exclude 0:6 leaves none of 6 samples",)),
        (("--exclude", "2,6"), ("--exclude 2,6 names sample 6 and there are 6, 0 to 5",)),
        (("--exclude", "a"), ("exclude must be numbers of samples, such as 4,17", "'a'")),
        (("--exclude", "-1"), ("exclude must be numbers",)),
        (("--samples", f"0:{'9' * 5000}"), ("samples must be",)),
        (("--pool", f"{'9' * 5000}x2"), ("pool must be HxW",)),
        (("--shard", f"1/{'9' * 5000}"), ("shard must be I/N",)),
        (("--dask", f"local:{'9' * 5000}"), ("dask must be",)),
        (("--threads", "0"), ("threads must be at least 1",)),
        (("--memory", "much"), ("memory must be a size such as 4GiB", "'much'")),
        (("--memory", "4"), ("memory must be a size with a unit", "4GiB")),
        (("--memory", "9" * 400 + "B"), ("memory must be a size",)),
        (("--memory", "1kB"), ("dump.h5::layer1", "--memory", "raise --memory")),
        (("--dtype", "float16"), ("dtype must be float32 or float64",)),
        (("--device", "gpu"), ("device must be auto, cpu, cuda or cuda:N", "'gpu'")),
        (("--config", "/no/run.toml"), ("run file /no/run.toml cannot be read", "path")),
    ],
)
def test_a_wrong_option(
    args: tuple[str, ...], says: tuple[str, ...], dump: Path, out: Path
) -> None:
    refused(dump, out, *args, says=says)
    assert fail("compute", dump, "--dry-run", *args)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("kernle = 'rbf'", ("no option 'kernle'", "did you mean 'kernel'?")),
        ("matcher = 'optimale'", ("no matcher 'optimale'",)),
        ("kernel = 'cosin'", ("no kernel 'cosin'",)),
        ("kernel = 5", ("kernel", "5")),
        ("kernel = []", ("no kernel",)),
        ("layer = 3", ("layer", "3")),
        ("pool = 7", ("pool must be HxW", "7")),
        ("pool = [7, 'a']", ("pool must be HxW",)),
        ("threads = true", ("threads must be",)),
        ("bfloat16 = 'yes'", ("bfloat16", "true or false", "'yes'")),
        ("[run]\nkernel = 'rbf'", ("no option 'run'",)),
        ("kernel = ", ("is no TOML", "mend")),
        ("kernel = '\xff'", ("is no TOML",)),
    ],
)
def test_a_wrong_run_file(
    line: str, says: tuple[str, ...], dump: Path, out: Path, tmp_path: Path
) -> None:
    run_file = tmp_path / "run.toml"
    run_file.write_bytes(line.encode("latin-1"))
    refused(dump, out, "--config", run_file, says=says)


def test_a_layout_attribute_that_is_none(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    path = write_h5(tmp_path / "a.h5", layer1=x)
    with h5py.File(path, "r+") as file:
        file["layer1"].attrs["layout"] = "abcd"
    refused(path, out, says=("a.h5::layer1", "no layout 'abcd'", "nchw"))
    assert "no layout 'abcd'" in succeed("info", path).stdout


def test_memory_that_the_loaded_member_takes_already(
    tmp_path: Path, out: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, layer1=rng.normal(size=(50, 8, 8, 8)).astype(np.float32))
    message = "a.npz::layer1"
    refused(path, out, "--memory", "50kB", says=(message, "raise --memory"))


def test_all_tokens_skipped(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    path = write_h5(tmp_path / "a.h5", layer1=x[:, 0])
    refused(path, out, "--skip-tokens", 4, says=("a.h5::layer1", "none of 4 tokens"))


def test_a_map_of_zeros_has_no_cosine(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    x[3] = 0
    path = write_h5(tmp_path / "a.h5", layer1=x)
    says = ("a.h5::layer1", "sample 3 is zero everywhere", "--exclude 3 ", "--kernel linear")
    refused(path, out, says=says)
    refused(path, out, "--samples", "1::2", says=("sample 3",))
    succeed("compute", path, "-o", out, "--exclude", 3, "--overwrite", "--threads", 1)
    succeed("compute", path, "-o", out, "-k", "linear", "-k", "rbf", "--overwrite", "--threads", 1)


def test_a_median_distance_of_zero(tmp_path: Path, out: Path, x: np.ndarray) -> None:
    x[1:] = x[1]
    path = write_h5(tmp_path / "a.h5", layer1=x)
    command = ("compute", path, "-o", out, "-k", "rbf", "-m", "identity", "--dtype", "float64")
    message = fail(*command)
    for text in ("a.h5::layer1", "median distance is 0", "--sigma a number", f"kept in {out}.run"):
        assert text in message
    done = succeed(*command, "--sigma", 1)
    assert "going on, 1 of 1 tiles are there" in done.stderr
    assert list(out.parent.iterdir()) == [out]


def test_one_sample_has_no_median(dump: Path, out: Path) -> None:
    refused(dump, out, "-k", "rbf", "--samples", "0:1", says=("one sample", "--sigma"))
    succeed("compute", dump, "-o", out, "--samples", "0:1", "--overwrite", "--threads", 1)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n and no more"])
def test_info_on_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rsm.h5"
    path.write_bytes(content)
    assert "a.rsm.h5" in fail("info", path)
    assert "does not exist" in fail("info", tmp_path / "no.rsm.h5")
    assert snapshot(tmp_path) == {"a.rsm.h5": content}


def test_a_file_that_another_program_is_writing(dump: Path, out: Path) -> None:
    with h5py.File(dump, "r+"):
        reader = start("compute", dump, "-o", out)
        _, stderr = reader.communicate(timeout=60)
    assert reader.returncode == 1
    assert stderr.count("\n") == 1
    assert "dump.h5 cannot be opened" in stderr
    assert "another program" in stderr
    assert list(out.parent.iterdir()) == []
