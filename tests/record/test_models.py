"""Models of torchvision, timm and Hugging Face with random weights: from the model to a picture, offline."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from types import ModuleType, SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from semrsm.record import models
from semrsm.record.models import LIBRARIES, load_model
from tests.helpers import fail, succeed

RESNET, VIT = "torchvision:resnet18", "timm:vit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing reaches the network, and the caches of the libraries are empty."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def library(name: str) -> ModuleType:
    """Return a library as the command imports it; the test is skipped where it is absent."""
    models._declare_operators()
    return pytest.importorskip(name, reason=f"{name} is not installed (extra models)")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    for k in range(6):
        path = tmp_path / "photos" / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)).resize((70, 64)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def vit_folder(tmp_path: Path) -> Path:
    """A small ViT of Hugging Face as `save_pretrained` leaves it."""
    hf = library("transformers")
    config = hf.ViTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=32,
        patch_size=8, num_labels=5,
    )  # fmt: skip
    torch.manual_seed(1)
    hf.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def to_picture(name: str, layers: list[str], photos: Path, *weights: object) -> Path:
    """Go from a model to a picture of layer x layer CKA and a report, with commands only."""
    folder = photos.parent
    acts, rsm = folder / "a.h5", folder / "a.rsm.h5"
    succeed(
        "record",
        name,
        "--images",
        photos,
        "-o",
        acts,
        *(p for layer in layers for p in ("-l", layer)),
        "--batch",
        4,
        *weights,
    )
    succeed("compute", acts, "-o", rsm, "-m", "identity", "-k", "linear")
    rows = json.loads(succeed("compare", rsm, "--measure", "cka", "--json").stdout)
    assert {row["layer_a"] for row in rows} == {row["layer_b"] for row in rows}
    assert all(-1e-6 <= row["value"] <= 1 + 1e-6 for row in rows)
    table = folder / "cka.csv"
    succeed("compare", rsm, "--measure", "cka", "-o", table)
    succeed("plot", table, "--kind", "compare", "-o", folder / "cka.png")
    succeed("report", rsm, "-o", folder / "report.html", "--labels", f"{acts}::labels")
    assert (folder / "cka.png").stat().st_size > 5000
    assert (folder / "report.html").stat().st_size > 5000
    return acts


def assert_equal_to_hooks(
    acts: Path, name: str, layers: list[str], photos: Path, *weights: str
) -> None:
    """Compare a recording with hooks of our own on the same model and images."""
    loaded = load_model(name, *weights)
    modules = dict(loaded.module.named_modules())
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    for layer in layers:
        modules[layer].register_forward_hook(
            lambda m, a, y, layer=layer: found[layer].append(
                y if isinstance(y, torch.Tensor) else y[0]
            )
        )
    with h5py.File(acts) as file, torch.inference_mode():
        assert [n for n in file if n not in ("samples", "labels", "logits")] == layers
        ids = list(file["samples"].asstr())
        tensors = [loaded.preprocess(Image.open(photos / sample)) for sample in ids]
        outputs = [
            loaded.run(loaded.module, torch.stack(part)) for part in (tensors[:4], tensors[4:])
        ]
        for layer in layers:
            wanted = torch.cat(found[layer]).half().numpy()
            np.testing.assert_array_equal(file[layer][:], wanted)
        logits = torch.cat([getattr(y, "logits", y) for y in outputs])
        np.testing.assert_array_equal(file["logits"][:], logits.numpy())


@pytest.mark.slow
def test_a_resnet_of_torchvision(photos: Path) -> None:
    library("torchvision")
    acts = to_picture(RESNET, ["layer*"], photos, "--weights", "random")
    assert_equal_to_hooks(acts, RESNET, [f"layer{k}" for k in (1, 2, 3, 4)], photos, "random")
    assert load_model(RESNET, "random", seed=1).module.fc.bias[0] != load_model(
        RESNET, "random", seed=2
    ).module.fc.bias[0]  # fmt: skip


@pytest.mark.slow
def test_a_vit_of_timm(photos: Path) -> None:
    library("timm")
    acts = to_picture(VIT, ["blocks.[159]"], photos, "--weights", "random")
    assert_equal_to_hooks(acts, VIT, [f"blocks.{k}" for k in (1, 5, 9)], photos, "random")


@pytest.mark.slow
def test_a_vit_of_hugging_face(photos: Path, vit_folder: Path) -> None:
    modules = load_model(f"hf:{vit_folder}").module.named_modules()
    layers = [name for name, module in modules if type(module).__name__ == "ViTLayer"]
    assert len(layers) == 3
    acts = to_picture(f"hf:{vit_folder}", layers, photos)
    with h5py.File(acts) as file:
        assert file["logits"].shape == (6, 5)
        assert file[layers[0]].shape == (6, 17, 24)
    assert_equal_to_hooks(acts, f"hf:{vit_folder}", layers, photos)


@pytest.mark.slow
def test_weights_that_are_in_no_cache(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = photos.parent / "a.h5"

    def said(name: str) -> str:
        return fail("record", name, "--images", photos, "-o", out, "-l", "*", out=out)

    library("torchvision")
    sentence = said(RESNET)
    assert "hub/checkpoints/resnet18-" in sentence
    assert "nothing is downloaded" in sentence
    assert "did you mean 'resnet18'" in said("torchvision:resnet81")
    library("timm")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(photos.parent / "cache"))
    assert "are not in" in said(VIT)
    assert "did you mean 'vit_tiny_patch16_224'" in said("timm:vit_tiny_patch16_242")
    library("transformers")
    assert "nothing is downloaded here" in said("hf:somebody/nothing")
    assert "without weights of its own" in said("hf:vit")
    assert "did you mean 'vit'?" in said("hf:vitt")


@pytest.mark.slow
def test_weights_from_the_cache_of_torchvision(photos: Path) -> None:
    tv = library("torchvision")
    torch.manual_seed(4)
    state = tv.models.resnet18().state_dict()
    path = Path(torch.hub.get_dir(), "checkpoints", "resnet18-f37072fd.pth")
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    loaded = load_model(RESNET)
    torch.testing.assert_close(loaded.module.state_dict()["fc.weight"], state["fc.weight"])
    assert "IMAGENET1K_V1" in loaded.weights


@pytest.mark.slow
def test_weights_from_the_cache_of_the_hub(
    photos: Path, vit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm, hub = library("timm"), pytest.importorskip("huggingface_hub")
    safetensors = pytest.importorskip("safetensors.torch")
    cache = photos.parent / "cache"
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    torch.manual_seed(9)
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    safetensors.save_file(state, repository / "snapshots" / "abc" / "model.safetensors")
    loaded = load_model(VIT)
    torch.testing.assert_close(loaded.module.state_dict()["head.bias"], state["head.bias"])
    assert "augreg_in21k_ft_in1k" in loaded.weights


@pytest.mark.slow
def test_a_folder_with_its_own_preprocessing(photos: Path, vit_folder: Path) -> None:
    library("transformers")
    without = load_model(f"hf:{vit_folder}")
    assert "centre 32 x 32" in without.preprocessing
    about = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.25] * 3,
        "image_std": [0.5] * 3,
    }
    (vit_folder / "preprocessor_config.json").write_text(json.dumps(about))
    loaded = load_model(f"hf:{vit_folder}")
    black = loaded.preprocess(Image.new("RGB", (50, 40)))
    assert black.shape == (3, 32, 32)
    assert black.unique().tolist() == [-0.5]
    random = load_model("hf:vit", "random")
    assert random.preprocess(Image.new("L", (300, 240))).shape == (3, 224, 224)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["config", "weights"])
def test_a_damaged_folder(photos: Path, vit_folder: Path, damage: str) -> None:
    target = {"config": "config.json", "weights": "model.safetensors"}[damage]
    (vit_folder / target).write_text("{")
    out = photos.parent / "a.h5"
    fail("record", f"hf:{vit_folder}", "--images", photos, "-o", out, "-l", "*", out=out)


@pytest.mark.slow
def test_a_pickle_in_a_folder_is_not_read(photos: Path, vit_folder: Path) -> None:
    (vit_folder / "model.safetensors").unlink()
    shutil.copy(photos / "a" / "0.png", vit_folder / "pytorch_model.bin")
    out = photos.parent / "a.h5"
    fail("record", f"hf:{vit_folder}", "--images", photos, "-o", out, "-l", "*", out=out)


def test_a_library_that_is_absent_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> ModuleType:
        raise ImportError(f"No module named '{name}'")

    nothing = SimpleNamespace(import_module=absent, util=models.importlib.util)
    monkeypatch.setattr(models, "importlib", nothing)
    out = photos.parent / "a.h5"
    for name in LIBRARIES:
        if name != "FILE.py":
            sentence = fail(
                "record", f"{name}:any", "--images", photos, "-o", out, "-l", "a", out=out
            )
            assert "pip install 'semrsm[models]'" in sentence
