"""What torch.save and safetensors wrote is read where it lies; hostile files are sentences."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from semrsm.errors import SemrsmError
from semrsm.storage.activations import open_activations
from semrsm.storage.sample_ids import read_sample_ids
from tests.helpers import fail, succeed

X = np.random.default_rng(7).normal(size=(7, 3, 4, 5)).astype(np.float32)
T = torch.from_numpy(X)


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    with open_activations(path) as file:
        return {name: layer.read(range(layer.n_samples)) for name, layer in file.select().items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.repeat(2, 1, 1, 1)[7:],
        lambda t: t.repeat_interleave(3, dim=0)[1::3],
        lambda t: t.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
        lambda t: torch.nn.Parameter(t),
    ],
    ids=["C order", "channels last", "offset", "every third", "samples last", "parameter"],
)
def test_tensors_are_read_as_they_were_saved(dtype: torch.dtype, view: Any, tmp_path: Path) -> None:
    tensor = T.to(dtype)
    path = saved(tmp_path / "a.pt", {"a": view(tensor)})
    with open_activations(path) as file:
        assert file.format == "torch"
        layer = file.select()["a"]
        for samples in (range(7), range(2, 5), range(1, 7, 3), range(6, 7)):
            expected = tensor[list(samples)].to(
                torch.float64 if dtype == torch.float64 else torch.float32
            )
            np.testing.assert_array_equal(layer.read(samples), expected.numpy())


def test_dicts_lists_and_tuples(tmp_path: Path) -> None:
    value = {
        "enc": {"l1": T, "l2": OrderedDict(conv=T + 1)},
        "batches": [T[:3], T[3:5], T[5:]],
        "hidden": (T + 2, T + 3),
        "samples": [f"image {k}" for k in range(7)],
        "epoch": 3,
    }
    path = saved(tmp_path / "a.pth", value)
    found = read(path)
    expected = {"enc/l1": 0, "enc/l2/conv": 1, "batches": 0, "hidden/0": 2, "hidden/1": 3}
    assert list(found) == list(expected)
    for name, plus in expected.items():
        np.testing.assert_array_equal(found[name], X + np.float32(plus))
    with open_activations(path) as file:
        assert read_sample_ids(file, 7) == value["samples"]
        np.testing.assert_array_equal(file.arrays["batches"].read(range(1, 7, 2)), X[1:7:2])


def test_a_tensor_alone_and_a_list_of_dicts(tmp_path: Path) -> None:
    assert list(read(saved(tmp_path / "acts.pt", T))) == ["acts"]
    batches = [{"a": T[:4], "b": T[:4, 0]}, {"a": T[4:], "b": T[4:, 0]}]
    found = read(saved(tmp_path / "b.pt", batches))
    np.testing.assert_array_equal(found["a"], X)
    np.testing.assert_array_equal(found["b"], X[:, 0])
    del batches[1]["b"]
    with pytest.raises(SemrsmError, match=r"\[1\] lacks the layer 'b' that .*\[0\] holds"):
        read(saved(tmp_path / "c.pt", batches))


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harm-was-done"),))


@pytest.mark.parametrize(
    "value", [{"a": X}, {"a": Harm()}, Harm()], ids=["numpy", "in a dict", "alone"]
)
def test_objects_are_never_unpickled(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    message = fail("compute", saved(tmp_path / "a.pt", value), "-o", tmp_path / "o.rsm.h5")
    assert "holds Python objects besides tensors" in message
    assert "never unpickled; save tensors only" in message
    assert not (tmp_path / "harm-was-done").exists()


def test_a_model_is_no_activation_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:  # as torch.jit.save does
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"a/{name}", b"")
    assert "a.pt is a TorchScript model, not activations" in fail("info", tmp_path / "a.pt")


def test_a_plain_pickle_is_no_activation_file(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"a": X}))
    assert "is none of hdf5, torch, npz" in fail("info", tmp_path / "a.pt")


def test_the_format_of_old_is_named(tmp_path: Path) -> None:
    torch.save({"a": T}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert "in the format of torch before 1.6; load it with torch" in fail(
        "info", tmp_path / "a.pt"
    )


def test_an_expanded_tensor_takes_no_more_than_its_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.zeros(1, 3).expand(10**12, 3)})
    with open_activations(path) as file, pytest.raises(SemrsmError, match=r"save its \.clone"):
        file.select()["a"].read(range(2))


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_short(cut: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": T})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(SemrsmError, match=r"a\.pt"):
        read(path)


def test_a_compressed_archive_is_not_torchs(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt", {"a": T})
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.namelist():
            new.writestr(member, old.read(member))
    assert "is compressed, as torch does not" in fail("info", tmp_path / "b.pt")


def test_a_run_of_a_torch_file(tmp_path: Path) -> None:
    for name, save in (("a.pt", torch.save), ("b.npy", lambda v, p: np.save(p, X))):
        save({"a": T}, tmp_path / name)
        succeed("compute", tmp_path / name, "-o", tmp_path / f"{name}.rsm.h5", "-k", "linear")
    found = [succeed("info", tmp_path / f"{n}.rsm.h5", "--json") for n in ("a.pt", "b.npy")]
    assert [json.loads(f.stdout)["layers"][0]["positions"] for f in found] == [20, 20]


# safetensors


def tensors_file(
    path: Path, header: object, content: bytes = b"", length: int | None = None
) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)
    return path


def test_what_the_library_of_safetensors_wrote(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    value = {
        **{f"block{k}": T.to(dtype) for k, dtype in ((10, torch.float64), (2, torch.bfloat16))},
        "block1": T.half(),
        "labels": torch.arange(7),
    }
    library.save_file(value, tmp_path / "a.safetensors", metadata={"made": "by a test"})
    found = read(tmp_path / "a.safetensors")
    assert list(found) == ["block1", "block2", "block10"]
    for name, array in found.items():
        np.testing.assert_array_equal(array, value[name].to(torch.from_numpy(array).dtype).numpy())
    with open_activations(tmp_path / "a.safetensors") as file:
        assert file.format == "safetensors"
        assert file.arrays["labels"].take(slice(None)).tolist() == list(range(7))


A = {"dtype": "F32", "shape": [7, 3, 4, 5], "data_offsets": [0, 1680]}


def test_a_header_of_ones_own_making(tmp_path: Path) -> None:
    path = tensors_file(
        tmp_path / "a.safetensors", {"a": A, "__metadata__": {"x": "y"}}, X.tobytes()
    )
    np.testing.assert_array_equal(read(path)["a"], X)


@pytest.mark.parametrize(
    ("header", "length", "says"),
    [
        ({"a": A}, 1 << 40, "bytes, at most 16777216 are read"),
        ({"a": A}, 5000, "its header ends at byte"),
        (b'{"a":' + b"[" * 100_000, None, "recursion"),
        (b"[]", None, "is none of"),
        ({"a": A | {"shape": [7, -3, -4, 5]}}, None, "has the shape"),
        ({"a": A | {"shape": [70, 3, 4, 5]}}, None, "is said to have 1680 bytes"),
        ({"a": A | {"data_offsets": [40, 1720]}}, None, "ends at byte"),
        (
            {"a": A | {"data_offsets": [0, 10**15], "shape": [10**15], "dtype": "U8"}},
            None,
            "ends at",
        ),
        ({"a": A | {"shape": 7}}, None, "cannot be opened"),
        ({"a": []}, None, "cannot be opened"),
        ({"a": A | {"shape": [True, 3, 4, 5]}}, None, "has the shape"),
    ],
)
def test_headers_that_do_not_fit(
    header: object, length: int | None, says: str, tmp_path: Path
) -> None:
    path = tensors_file(tmp_path / "a.safetensors", header, X.tobytes(), length)
    with pytest.raises(SemrsmError, match=says) as error:
        read(path)
    assert "a.safetensors" in str(error.value)


def test_types_that_are_not_computed_with_are_listed(tmp_path: Path) -> None:
    header = {"a": A, "f8": {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}}
    path = tensors_file(tmp_path / "a.safetensors", header, X.tobytes())
    assert list(read(path)) == ["a"]
    assert "no: holds |V1" in succeed("info", path).stdout
