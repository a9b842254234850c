"""Recorded arrays equal the hooks' outputs, whatever modules give; what cannot be recorded is a sentence."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import warnings
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import semrsm
from semrsm.errors import SemrsmError
from semrsm.record.layers import choose_modules
from semrsm.storage.activations import open_activations

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


class Block(nn.Module):
    """A residual block whose ReLU is called twice and works in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm(self.first(x)))
        y = self.second(y)
        y += x
        return self.relu(y)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 1)
        self.stem = nn.Conv2d(3, 6, 3)
        self.b10 = Block(6)
        self.b9 = Block(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b9(self.b10(self.stem(x))).mean((2, 3)))


def net(seed: int = 3) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


def images(n: int, seed: int = 5, size: int = 8) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def outputs_of(model: nn.Module, names: list[str], x: Tensor) -> dict[str, list[Tensor]]:
    """Return what modules give, by hooks of our own, each call a copy."""
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda m, a, y, name=name: found[name].append(y.clone())
        )
        for name in names
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    with open_activations(path) as file:
        return {
            name: layer.read(range(layer.n_samples))
            for name, layer in file.arrays.items()
            if layer.problem() is None
        }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_what_is_recorded_is_what_the_modules_gave(
    tmp_path: Path, dtype: str, memory: torch.memory_format
) -> None:
    model, x = net().to(memory_format=memory), images(7).contiguous(memory_format=memory)
    with semrsm.record(
        model, ["b*", "b9.*", "head", "stem"], tmp_path / "a.h5", dtype=dtype
    ) as recorder:
        for start in (0, 3, 6):
            with torch.no_grad():
                model(x[start : start + 3])
    names = [
        "stem",
        "b10",
        "b9.first",
        "b9.norm",
        "b9.relu",
        "b9.second",
        "b9.relu#2",
        "b9",
        "head",
    ]
    assert list(recorder.layers) == names  # in the order of the forward pass
    found = read(tmp_path / "a.h5")
    assert list(found) == names
    for start in (0, 3, 6):
        part = slice(start, start + 3)
        for name, calls in outputs_of(model, [n for n in names if "#" not in n], x[part]).items():
            for call, wanted in enumerate(calls, start=1):
                got = found[name if call == 1 else f"{name}#{call}"][part]
                np.testing.assert_array_equal(got, wanted.to(DTYPES[dtype]).float().numpy())
    with h5py.File(tmp_path / "a.h5") as file:
        assert {n: file[n].attrs["layout"] for n in ("stem", "b9", "head")} == {
            "stem": "nchw",
            "b9": "nchw",
            "head": "nd",
        }


def test_add_keeps_what_is_known_of_the_samples(tmp_path: Path) -> None:
    model, x = net(), images(5)
    with semrsm.record(model, "b9", tmp_path / "a.h5") as recorder:
        for start in (0, 4):
            part = x[start : start + 4]
            logits = model(part)  # gradients are on: the file does not care
            assert logits.requires_grad
            recorder.add(
                samples=[f"i{start + k}" for k in range(len(part))],
                labels=torch.arange(start, start + len(part)),
                logits=logits.to(torch.bfloat16),
                views=np.zeros(len(part), int),
            )
            assert recorder.n_samples == start + len(part)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["samples"].asstr()) == ["i0", "i1", "i2", "i3", "i4"]
        assert file["labels"][:].tolist() == list(range(5))
        assert file["logits"].shape == (5, 4)
    logits.sum().backward()
    assert model.stem.weight.grad is not None


@dataclass
class Answer:
    loss: Tensor | None
    hidden: Tensor


class Odd(nn.Module):
    """Gives its input in one of many wrappings."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: Tensor):
        return self.wrap(x)


WRAPPINGS = {
    "tuple": lambda x: (x, x[:1]),
    "nested": lambda x: [(None, {"a": x}), torch.ones(2, 2)],
    "dict": lambda x: OrderedDict(loss=None, logits=x, other=x * 2),
    "dataclass": lambda x: Answer(None, x),
}


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_the_first_tensor_is_recorded(tmp_path: Path, wrap: str) -> None:
    model, x = nn.Sequential(nn.Identity(), Odd(WRAPPINGS[wrap])).eval(), images(3)
    with semrsm.record(model, "1", tmp_path / "a.h5", dtype="float32"):
        model(x)
    np.testing.assert_array_equal(read(tmp_path / "a.h5")["1"], x.numpy())


PROBLEMS = {
    "no tensor": (lambda x: (None, "text"), "gives no tensor"),
    "integers": (lambda x: x.long(), "gives int64, not floats"),
    "one number": (lambda x: x.mean((1, 2, 3)), "gives the shape \\(4,\\)"),
    "windows": (lambda x: x.reshape(8, 3, 4, 8), "does not count the 4 samples"),
    "tokens first": (
        lambda x: x.flatten(2).permute(2, 0, 1),
        "its second axis counts the 4 samples",
    ),
    "nothing": (lambda x: x[:, :0], "which is empty"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_no_layer_is_refused_by_name_and_left_out_by_a_glob(
    tmp_path: Path, name: str
) -> None:
    wrap, sentence = PROBLEMS[name]
    model, path = nn.Sequential(nn.ReLU(), Odd(wrap)).eval(), tmp_path / "a.h5"
    recorder = semrsm.record(model, ["0", "1"], path)
    with pytest.raises(SemrsmError, match=f"layer '1' .*{sentence}"), recorder:
        model(images(4))
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=f"{sentence}.* left out"):
        run(model, "*", path, images(4), images(4, 6))
    assert {name: len(values) for name, values in read(path).items()} == {"0": 8}


def run(
    model: nn.Module, layers: str | list[str], path: Path, *batches: Tensor, **options: object
) -> None:
    with semrsm.record(model, layers, path, **options):
        for batch in batches:
            model(batch)


def test_shapes_that_change_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SemrsmError, match="had \\(6, 6, 6\\) in the batches before") as raised:
        run(net(), "b9", tmp_path / "a.h5", images(3), images(3, size=9))
    assert "3 samples are in" in raised.value.__notes__[0]


def test_train_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SemrsmError, match="train mode"):
        run(net().train(), "b9", tmp_path / "a.h5", images(3))
    model = net()
    model.b10.norm.train()
    with pytest.raises(SemrsmError, match="train mode"):
        run(model, "b9", tmp_path / "a.h5", images(3))


def test_overflow_is_seen_and_named(tmp_path: Path) -> None:
    x = images(4)
    x[2, 1, 3, 3] = 70_000
    model = nn.Sequential(nn.Identity()).eval()
    with pytest.raises(
        SemrsmError, match="layer '0': sample 6: a value of 7e\\+04 is more than float16 holds"
    ):
        run(model, "0", tmp_path / "a.h5", images(4), x)
    for dtype in ("bfloat16", "float32"):
        run(model, "0", tmp_path / f"{dtype}.h5", x, dtype=dtype)
        assert read(tmp_path / f"{dtype}.h5")["0"].max() == pytest.approx(70_000, rel=4e-3)


def test_what_the_network_makes_infinite_is_stored_with_a_warning(tmp_path: Path) -> None:
    x = images(4)
    x[1, 0, 0, 0], x[3, 0, 0, 0] = float("nan"), float("inf")
    with pytest.warns(UserWarning, match="layer '0': sample 1 holds NaN or infinity"):
        run(nn.Sequential(nn.Identity()).eval(), "0", tmp_path / "a.h5", x)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.isfinite(file["0"][:]).reshape(4, -1).all(axis=1).tolist() == [
            True,
            False,
            True,
            False,
        ]


def test_numbers_that_are_small_for_float16_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="fewer digits"):
        run(nn.Sequential(nn.Identity()).eval(), "0", tmp_path / "a.h5", images(2) * 1e-6)


def test_names_that_are_no_modules(tmp_path: Path) -> None:
    for layers, sentence in (
        ("b11", "no module 'b11': did you mean 'b1"),
        ("x*", "no module matches 'x\\*'"),
        ([], "no layers are named"),
        ("unused", "'unused' is not called"),
        ("unus*", "no layer was called"),
    ):
        with pytest.raises(SemrsmError, match=sentence):
            run(net(), layers, tmp_path / "a.h5", images(2))
    with pytest.raises(SemrsmError, match="is a function, not a torch"):
        semrsm.record(images, "a", tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_globs_go_part_by_part() -> None:
    def names(*patterns: str) -> list[str]:
        return [c.name for c in choose_modules(net(), patterns)]

    assert names("b*") == ["b10", "b9"]
    assert names("b*.norm") == ["b10.norm", "b9.norm"]
    assert names("**.relu") == ["b10.relu", "b9.relu"]
    assert names("**") == [name for name, _ in net().named_modules() if name]
    assert names("b?", "b9", "*9") == ["b9"]


def test_a_module_in_two_places_is_one_layer_for_each_call(tmp_path: Path) -> None:
    shared = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(OrderedDict(a=shared, b=nn.ReLU(), c=shared)).eval()
    run(model, "*", tmp_path / "a.h5", images(2))
    assert list(read(tmp_path / "a.h5")) == ["a", "b", "a#2"]


def test_wrappers_are_looked_through(tmp_path: Path) -> None:
    model, x = net(), images(3)
    run(nn.DataParallel(model, device_ids=[]).eval(), "b9", tmp_path / "a.h5", x)
    run(model, "b9", tmp_path / "b.h5", x)
    np.testing.assert_array_equal(read(tmp_path / "a.h5")["b9"], read(tmp_path / "b.h5")["b9"])
    spread = nn.DataParallel(model, device_ids=[]).eval()
    spread.device_ids = [0, 1]
    with pytest.raises(SemrsmError, match="DataParallel over 2 devices"):
        semrsm.record(spread, "b9", tmp_path / "c.h5")
    model._compiled_call_impl = model.forward  # as model.compile() leaves it
    with pytest.raises(SemrsmError, match="the model is compiled"):
        semrsm.record(nn.Sequential(model).eval(), "0", tmp_path / "c.h5")


def run_parts(model: Net, path: Path, add: bool) -> None:
    with semrsm.record(model, "b9.first", path) as recorder:
        for start in (0, 3):
            model.b9(model.stem(images(6)[start : start + 3]))
            if add:
                recorder.add(samples=[start, start + 1, start + 2])


def test_parts_of_a_model_are_recorded_if_add_ends_the_batches(tmp_path: Path) -> None:
    run_parts(net(), tmp_path / "a.h5", add=True)
    assert read(tmp_path / "a.h5")["b9.first"].shape == (6, 6, 6, 6)
    with pytest.raises(SemrsmError, match="where a batch ends"):
        run_parts(net(), tmp_path / "b.h5", add=False)


def test_add_without_a_batch(tmp_path: Path) -> None:
    recorder = semrsm.record(net(), "b9", tmp_path / "a.h5")
    with pytest.raises(SemrsmError, match="no batch to add to"), recorder:
        recorder.add(samples=["a"])


def failing(model: Net, layers: str, path: Path, batches: list[Tensor], **options: object) -> None:
    """Run batches; a batch of 13 runs out of memory in the model, and a batch of 1 after it."""
    with semrsm.record(model, layers, path, **options) as recorder:
        for batch in batches:
            handle = model.head.register_forward_hook(lambda m, a, y: 1 / (len(y) - 13))
            try:
                model(batch)
            except ZeroDivisionError:
                continue
            finally:
                handle.remove()
            if len(batch) == 1:
                raise KeyError("out of images")
            assert recorder.n_samples >= 0


def test_a_call_that_fails_leaves_nothing(tmp_path: Path) -> None:
    failing(net(), "b9", tmp_path / "a.h5", [images(3), images(13), images(2)])
    assert len(read(tmp_path / "a.h5")["b9"]) == 5


def test_what_stopped_can_be_gone_on_with(tmp_path: Path) -> None:
    model, path, x = net(), tmp_path / "a.h5", images(9)
    with pytest.raises(KeyError):
        failing(model, "b*", path, [x[:3], x[3:5], x[5:6]])
    with pytest.raises(SemrsmError, match="recorded otherwise: layers"):
        semrsm.record(model, "b9", path, resume=True)
    with semrsm.record(model, "b*", path, resume=True) as recorder:
        assert recorder.n_samples == 6
        model(x[recorder.n_samples :])
    run(model, "b*", tmp_path / "whole.h5", x[:3], x[3:5], x[5:6], x[6:])
    whole = read(tmp_path / "whole.h5")
    for name, values in read(path).items():
        np.testing.assert_array_equal(values, whole[name])


def test_hooks_are_gone_afterwards(tmp_path: Path) -> None:
    model = net()
    run(model, "**", tmp_path / "a.h5", images(2))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_channels_last_outputs_are_told_from_their_module_or_shape(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    model = nn.Sequential(nn.Conv2d(3, 5, 1), Tokens(), nn.LayerNorm(5), nn.Flatten(1, 2)).eval()
    with pytest.warns(
        UserWarning, match="layer '1': gives \\(2, 8, 8, 5\\), which is taken as channels"
    ):
        run(model, "*", tmp_path / "a.h5", images(2))
    with h5py.File(tmp_path / "a.h5") as file:
        layouts = {name: file[name].attrs["layout"] for name in file}
    assert layouts == {"0": "nchw", "1": "nhwc", "2": "nhwc", "3": "ntd"}
    run(model, "*", tmp_path / "b.h5", images(2), layout={"1": "nchw"})
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["1"].attrs["layout"] == "nchw"


def test_no_more_than_one_output_is_kept(tmp_path: Path) -> None:
    """Every output is let go before the next module runs."""
    alive: list[weakref.ref] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert sum(ref() is not None for ref in alive) <= 1  # its input
            y = x * 2
            alive.append(weakref.ref(y))
            return y

    run(
        nn.Sequential(*(Watched() for _ in range(5))).eval(),
        "*",
        tmp_path / "a.h5",
        *[images(2)] * 3,
    )


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_stays_at_one_batch(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Conv2d(16, 16, 1) for _ in range(8))).eval()
    batch = torch.zeros(16, 16, 64, 64)  # 4 MiB, 2 MiB for each of 8 layers in the file
    sizes = []
    with torch.no_grad(), semrsm.record(model, "*", tmp_path / "a.h5"):
        for _ in range(20):
            model(batch)
            gc.collect()
            sizes.append(resident_bytes())
    assert (tmp_path / "a.h5").stat().st_size > 19 * 16 << 20
    assert max(sizes[6:]) - sizes[6] < 16 << 20  # 13 batches later


def test_quiet_recording_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(net(), ["b*", "stem"], tmp_path / "a.h5", images(2))


FAULTS = """
import resource
import torch
from semrsm.record.hooks import _keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):  # as a network that frees the outputs of its layers
        [torch.ones(1 << 20) for _ in range(5)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
_keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept_for_the_next_layer() -> None:
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    before, after = map(int, done.stdout.split())
    assert after < before / 4


def test_errors_name_the_arguments_of_the_function(tmp_path: Path) -> None:
    there = tmp_path / "there.h5"
    run(net(), "b9", there, images(2))
    for path, sentence in (
        (there, "choose another name with `path`"),
        (tmp_path / "no" / "a.h5", "choose another `path`"),
        (tmp_path, "name a file in it with `path`"),
    ):
        with pytest.raises(SemrsmError, match=sentence):
            semrsm.record(net(), "b9", path)
        with pytest.raises(SemrsmError, match=sentence):
            semrsm.ActivationWriter(path)
