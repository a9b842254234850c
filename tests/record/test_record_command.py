"""`semrsm record`: from a model of one's own and images to an activation file."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from semrsm.record.images import shifted_views
from tests.helpers import fail, run, succeed, write_h5

NET = """
import torch
from torch import nn

torch.manual_seed(3)


def net():
    return nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 4))


def small():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return model, lambda image: torch.ones(3, 9, 9) * image.width


def grey():
    return nn.Sequential(nn.Conv2d(1, 5, 3, stride=2), nn.ReLU())


def wrong():
    return 3


def broken():
    return undefined


class Dying(nn.Module):
    def forward(self, x):
        if (x[:, 0, 0, 0] == 5 / 255).any():
            import os
            if not os.path.exists("mended"):
                raise KeyError("image 5")
        return x


def dying():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), None


def weak():
    return nn.Sequential(Dying(), nn.Conv2d(3, 5, 3), nn.ReLU())
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def pixels(n: int = 7, shape: tuple[int, ...] = (12, 10, 3)) -> np.ndarray:
    """Return images whose first value is their number."""
    found = np.random.default_rng(8).integers(0, 256, (n, *shape), np.uint8)
    found[(slice(None), *(0,) * len(shape))] = np.arange(n)
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of seven images, in natural order 0 to 6: cat/1, cat/2, cat/10, dog/3, …"""
    names = ("cat/1", "cat/2", "cat/10", "dog/3", "dog/4", "dog/20", "eel/1")
    for name, image in zip(names, pixels(), strict=True):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (tmp_path / "photos" / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".hidden.png").write_text("no image")
    return tmp_path / "photos"


def as_floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def first_layer(seed: int = 3, channels: int = 3) -> torch.nn.Module:
    """Return the first two layers of the nets of NET."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Conv2d(channels, 5, 3, stride=2), torch.nn.ReLU())


def test_a_folder_of_images(tmp_path: Path, net: Path, photos: Path) -> None:
    out = tmp_path / "a.h5"
    result = succeed(
        "record", f"{net}:small", "--images", photos, "-o", out, "-l", "*", "--batch", 3
    )
    assert "7 samples of 0, 1, 2, 3" in result.stderr
    with h5py.File(out) as file:
        assert [n for n in file if file[n].dtype.kind == "f"] == ["0", "1", "2", "3", "logits"]
        assert list(file["samples"].asstr()) == [
            *(
                "cat/1.png",
                "cat/2.png",
                "cat/10.png",
                "dog/3.png",
                "dog/4.png",
                "dog/20.png",
                "eel/1.png",
            )
        ]
        assert list(file["labels"].asstr()) == [*["cat"] * 3, *["dog"] * 3, "eel"]
        assert file["0"].shape == (7, 5, 4, 4)
        wanted = first_layer()(torch.ones(1, 3, 9, 9) * 10).detach().half().numpy()
        np.testing.assert_array_equal(file["1"][:], np.repeat(wanted, 7, axis=0))
        about = json.loads(file.attrs["recording"])
    assert about["model"] == f"{net}:small"
    assert about["layers"] == ["*"]


def test_without_preprocessing_pixels_go_from_0_to_1(
    tmp_path: Path, net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.h5"
    args = ("record", f"{net}:weak", "--images", photos, "-o", out, "-l", "0", "--dtype", "float32")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mended").touch()
    printed = json.loads(succeed(*args, "--json").stdout)
    assert printed == {"output": str(out), "samples": 7, "resumed": 0, "layers": ["0"]}
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["0"][:], as_floats(pixels()).numpy())


@pytest.mark.parametrize("kind", ["grey", "last", "second", "floats"])
def test_an_array_of_images(tmp_path: Path, net: Path, kind: str) -> None:
    grey = kind == "grey"
    images = pixels(shape=(12, 10)) if grey else pixels()
    floats = torch.from_numpy(images / np.float32(255))[:, None] if grey else as_floats(images)
    stored = {"second": images.swapaxes(1, -1).swapaxes(2, -1), "floats": floats.numpy()}.get(
        kind, images
    )
    path = write_h5(
        tmp_path / "in.h5", pictures=stored, labels=np.arange(7) % 3, id=np.arange(7) + 100
    )
    out = tmp_path / "a.h5"
    function = "grey" if grey else "dying" if kind == "none" else "net"
    layers = ("-l", "1") if grey else ("-l", "0", "-l", "1")
    succeed("record", f"{net}:{function}", "--images", f"{path}::pictures", "-o", out, *layers)
    with h5py.File(out) as file:
        torch.manual_seed(3)
        with torch.no_grad():
            wanted = first_layer(channels=1 if grey else 3)(floats).half().numpy()
        np.testing.assert_allclose(file["1"][:], wanted, atol=1e-3)
        assert list(file["samples"].asstr()) == [str(100 + k) for k in range(7)]
        assert list(file["labels"].asstr()) == [str(k % 3) for k in range(7)]


def test_two_views_of_each_image(tmp_path: Path, net: Path, photos: Path) -> None:
    out = tmp_path / "a.h5"
    succeed(
        *("record", f"{net}:net", "--images", photos, "-o", out, "-l", "0", "--dtype", "float32"),
        *("--views", "translate:2", "--batch", 5),
    )
    with h5py.File(out) as file:
        assert list(file["samples"].asstr())[:3] == [
            "cat/1.png@up",
            "cat/1.png@down",
            "cat/2.png@up",
        ]
        assert list(file["views"].asstr())[:3] == ["cat/1.png", "cat/1.png", "cat/2.png"]
        assert list(file["labels"].asstr())[5:8] == ["cat", "dog", "dog"]
        with torch.no_grad():
            wanted = first_layer()[0](shifted_views(as_floats(pixels()), 2)).numpy()
        np.testing.assert_allclose(file["0"][:], wanted, atol=1e-6)


def test_views_are_shifted_by_whole_pixels() -> None:
    batch = torch.randn(3, 2, 9, 7, generator=torch.Generator().manual_seed(1))
    up, down = shifted_views(batch, 4).unflatten(0, (3, 2)).unbind(1)
    assert up.shape == batch.shape
    torch.testing.assert_close(up[..., 4:, :], down[..., :-4, :], rtol=0, atol=0)


def test_a_run_that_stopped_goes_on(
    tmp_path: Path, net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.h5"
    monkeypatch.chdir(tmp_path)
    args = ("record", f"{net}:weak", "--images", photos, "-o", out, "-l", "2", "--batch", 2)
    result = run(*args)
    assert isinstance(result.exception, KeyError)
    assert not out.exists()
    rows = json.loads(succeed("info", f"{out}.unfinished", "--json").stdout)
    assert rows["note"].startswith("it is incomplete")
    assert rows["layers"][0]["samples"] == 4
    result = succeed("compute", f"{out}.unfinished", "-o", tmp_path / "r.h5", "-m", "identity")
    assert f"{out}.unfinished: it is incomplete" in result.stderr
    (tmp_path / "mended").touch()
    assert "recorded otherwise: layers" in fail(*args, "-l", "1")
    result = succeed(*args)
    assert "4 of the samples were recorded before" in result.stderr
    succeed(*args[:5], tmp_path / "whole.h5", *args[6:])
    with h5py.File(out) as one, h5py.File(tmp_path / "whole.h5") as other:
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name][:], other[name][:])
    assert not Path(f"{out}.unfinished").exists()
    assert "exists" in fail(*args)
    succeed(*args, "--overwrite")


def test_layers_are_listed_in_the_order_of_the_pass(net: Path, photos: Path) -> None:
    result = succeed("record", f"{net}:small", "--list-layers")
    assert result.stderr == "shapes are those for an input of 3x9x9 (name yours with --images)\n"
    lines = result.stdout.splitlines()
    assert lines[0] == "layer\ttype\tshape\tlayout"
    assert lines[1:] == [
        "0\tConv2d\t5x4x4\tnchw",
        "1\tReLU\t5x4x4\tnchw",
        "2\tAdaptiveAvgPool2d\t5x1x1\tnchw",
        "3\tFlatten\t5\tnd",
    ]
    rows = json.loads(
        succeed(
            "record", f"{net}:net", "--list-layers", "--images", photos, "-l", "0", "--json"
        ).stdout
    )
    assert rows == [{"layer": "0", "type": "Conv2d", "shape": "5x5x4", "layout": "nchw"}]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("net:net", "there is no library 'net'"),
        ("resnet18", "names no model; give torchvision:resnet18"),
        ("{net}:nett", "no function 'nett': did you mean 'net'"),
        ("{net}:wrong", "returned int; return a torch.nn.Module"),
        ("{net}:broken", "NameError: name 'undefined' is not defined"),
        ("{net}:dying", "returned Sequential, NoneType"),
        ("none.py:net", "none.py does not exist"),
        ("{net}", "names no function; give {net}:net, {net}:small, {net}:grey,"),
        ("{net}:", "names no function; give {net}:net, {net}:small, {net}:grey,"),
    ],
)
def test_models_that_are_none(
    tmp_path: Path, net: Path, photos: Path, model: str, sentence: str
) -> None:
    out = tmp_path / "a.h5"
    args = ("--images", photos, "-o", out, "-l", "0")
    assert sentence.format(net=net) in fail("record", model.format(net=net), *args, out=out)


def test_images_that_are_none(tmp_path: Path, net: Path, photos: Path) -> None:
    out = tmp_path / "a.h5"

    def said(images: object, function: str = "net") -> str:
        return fail(
            "record", f"{net}:{function}", "--images", images, "-o", out, "-l", "0", out=out
        )

    (tmp_path / "empty").mkdir()
    assert "holds no images" in said(tmp_path / "empty")
    assert "does not exist" in said(tmp_path / "nowhere")
    wide = write_h5(tmp_path / "w.h5", a=np.zeros((4, 9), np.uint8), b=np.zeros((4, 3, 9, 9)))
    assert "give images (n, h, w)" in said(f"{wide}::a")
    assert "There are: a, b" in said(wide)
    Image.fromarray(pixels()[0][:5]).save(photos / "cat" / "3.png")
    assert "cat/3.png has the shape (3, 5, 10) and cat/1.png (3, 12, 10)" in said(photos)
    (photos / "cat" / "3.png").write_bytes(b"\x89PNG no image")
    assert "3.png cannot be read as an image" in said(photos)
    assert fail(
        "record", f"{net}:net", "--images", f"{wide}::b", "-o", wide, "-l", "0", "--overwrite"
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--views", "rotate:3"), "--views takes translate:N"),
        (("--views", "translate:0"), "--views takes translate:N"),
        (("--dtype", "float8"), "no dtype 'float8'"),
        (("--compression", "zip"), "did you mean 'gzip'"),
        (("--batch", "0"), "a batch of 0"),
        (("-l", "relu"), "no module 'relu'"),
        (("--layout", "nhcw"), "no layout 'nhcw': did you mean 'nhwc'"),
    ],
)
def test_values_that_do_not_fit(
    tmp_path: Path, net: Path, photos: Path, args: tuple[str, ...], sentence: str
) -> None:
    out = tmp_path / "a.h5"
    assert sentence in fail(
        "record", f"{net}:net", "--images", photos, "-o", out, "-l", "0", *args, out=out
    )


@pytest.mark.parametrize("missing", ["--images", "-o", "-l"])
def test_what_must_be_named(tmp_path: Path, net: Path, photos: Path, missing: str) -> None:
    given = {"--images": photos, "-o": tmp_path / "a.h5", "-l": "0"}
    del given[missing]
    result = run("record", f"{net}:net", *(part for pair in given.items() for part in pair))
    assert result.exit_code == 2
    assert missing in result.stderr


class Harmful:
    """What would be done if a file of weights were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm",)


def states(tmp_path: Path) -> dict[str, object]:
    state = first_layer(seed=11).state_dict() | {
        "3.weight": torch.ones(4, 100),
        "3.bias": torch.zeros(4),
    }
    return {
        "plain.pt": state,
        "nested.pth": {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}},
        "compiled.bin": {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    }


@pytest.mark.parametrize("name", ["plain.pt", "nested.pth", "compiled.bin", "plain.safetensors"])
def test_weights_from_a_file(tmp_path: Path, net: Path, photos: Path, name: str) -> None:
    state = states(tmp_path).get(name)
    if state is None:
        library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        library.save_file(states(tmp_path)["plain.pt"], tmp_path / name)
    else:
        torch.save(state, tmp_path / name)
    out = tmp_path / "a.h5"
    succeed(
        *("record", f"{net}:net", "--images", photos, "-o", out, "-l", "0", "-l", "3"),
        *("--weights", tmp_path / name, "--dtype", "float32"),
    )
    with h5py.File(out) as file, torch.no_grad():
        wanted = first_layer(seed=11)[0](as_floats(pixels())).numpy()
        np.testing.assert_allclose(file["0"][:], wanted, atol=1e-6)
        assert json.loads(file.attrs["recording"])["weights"] == str(tmp_path / name)


def test_weights_that_are_none(
    tmp_path: Path, net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, path = tmp_path / "a.h5", tmp_path / "w.pt"
    state = states(tmp_path)["plain.pt"]

    def said() -> str:
        return fail(
            "record", f"{net}:net", "--images", photos, "-o", out, "-l", "0", "--weights", path
        )

    assert "do not exist" in said()
    for content, sentence in (
        ({k: v for k, v in state.items() if k != "3.bias"}, "lacks '3.bias' of the model"),
        (state | {"9.weight": torch.ones(2)}, "there is no weight '9.weight'"),
        (state | {"3.bias": torch.ones(5)}, "'3.bias' has the shape (5,) and the model wants (4,)"),
        ({"epoch": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        (first_layer(), "never unpickled"),
        (Harmful(), "never unpickled"),
    ):
        torch.save(content, path)
        assert sentence in said()
    assert not (tmp_path / "harm").exists()
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    for damaged in (pickle.dumps(Harmful()), b"\x08\0\0\0\0\0\0\0{broken}", b""):
        path.write_bytes(damaged)
        assert "cannot be read as" in said()
