"""Running a model over images and recording its layers: what `semrsm record` does."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semrsm.engine.devices import find_device
from semrsm.errors import SemrsmError
from semrsm.machine import cores
from semrsm.record.hooks import Recorder
from semrsm.record.images import Images, grey_image, open_images, shifted_views
from semrsm.record.layers import choose_modules
from semrsm.record.models import RANDOM, LoadedModel
from semrsm.record.outputs import aspect_of, first_tensor, layout_of, problem_of
from semrsm.record.weights import digest_of
from semrsm.storage.address import address_of
from semrsm.storage.whole_files import refuse_inputs

Progress = Callable[[str, int, int], None]
GREY_SIDE = 256  # pixels of the image that layers are listed for where none is given
VIEW_NAMES = ("up", "down")  # behind the ids of the two views of an image


@dataclass(frozen=True)
class RecordOptions:
    """How images are recorded.

    Attributes:
        layers: Names or globs of modules.
        dtype: What the layers are stored in.
        compression: "gzip", "lzf" or None.
        layout: Of layers with as many axes; None where it follows from the module or the shape.
        batch: Samples that run at once.
        device: "auto", "cpu", "cuda" or "cuda:N".
        shift: Pixels between two views of each image; None records each once.
        seed: Of random weights.
    """

    layers: Sequence[str]
    dtype: str = "float16"
    compression: str | None = None
    layout: str | None = None
    batch: int = 32
    device: str = "auto"
    shift: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class LayerRow:
    """A layer of a model or of a file: a row of a table.

    Attributes:
        layer: Its name.
        type: The class of the module.
        shape: Of its output for one sample, such as "64x56x56".
        layout: How its axes are read; "-" where it is no layer.
    """

    layer: str
    type: str
    shape: str
    layout: str


@dataclass(frozen=True)
class RecordReport:
    """What was recorded.

    Attributes:
        output: The file.
        samples: How many there are in it.
        resumed: How many of them were there before.
        layers: The layers of the file, in order.
    """

    output: str
    samples: int
    resumed: int
    layers: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"layers": list(self.layers)}


def record_images(
    model: LoadedModel,
    address: str,
    out: Path,
    options: RecordOptions,
    *,
    overwrite: bool = False,
    on_progress: Progress = lambda name, done, of: None,
) -> RecordReport:
    """Run a model over images and write an activation file; an unfinished one is gone on with.

    Args:
        model: What `load_model` gives.
        address: A folder of images, or `FILE::array`.
        out: The file to write.
        options: How.
        overwrite: Replace a file of that name, and begin an unfinished one anew.
        on_progress: Is called with (model, samples done, samples in all).

    Raises:
        SemrsmError: There are no images, one cannot be read or has another size, no layer has such a name,
            or as `semrsm.record` does.
    """
    if options.batch < 1:
        raise SemrsmError(f"a batch of {options.batch} samples cannot be run; give 1 or more")
    with open_images(address) as images:
        if not os.path.isdir(address):
            refuse_inputs(out, [address_of(address)[0]])
        device = find_device(options.device)
        model.module.to(device.place)
        views = 1 if options.shift is None else len(VIEW_NAMES)
        total = images.n * views
        recorder = Recorder(
            model.module,
            options.layers,
            out,
            dtype=options.dtype,
            compression=options.compression,
            layout=options.layout,
            resume=not overwrite,
            overwrite=overwrite,
            about=_about(model, images, options),
        )
        before = recorder.n_samples
        with recorder:
            on_progress(model.name, before, total)
            each = max(1, options.batch // views)
            for first, batch in _batches(images, model, before // views, each):
                with torch.inference_mode():
                    inputs = shifted_views(batch, options.shift) if options.shift else batch
                    output = model.run(model.module, inputs.to(device.place))
                known = _known(images, first, len(batch), options.shift is not None)
                recorder.add(**known, logits=_logits(output) if model.has_logits else None)
                on_progress(model.name, recorder.n_samples, total)
        return RecordReport(str(out), total, before, recorder.layers)


def list_layers(
    model: LoadedModel, patterns: Sequence[str] = (), address: str | None = None
) -> tuple[list[LayerRow], tuple[int, ...]]:
    """Return the modules that run, in the order of the forward pass; of none but those that patterns mean.

    The model runs on the first of some images, or on a grey one of GREY_SIDE x GREY_SIDE pixels.

    Returns:
        The modules, and the shape (c, h, w) of the input that their outputs are of.

    Raises SemrsmError if a pattern matches no module, or the model cannot run on that image.
    """
    chosen = choose_modules(model.module, list(patterns) or ["**"])
    rows: list[LayerRow] = []
    aspect = 1.0
    calls: Counter[str] = Counter()

    def take(name: str, module: nn.Module, args: Any, output: Any) -> None:
        calls[name] += 1
        tensor = first_tensor(output)
        shape = () if tensor is None else tuple(tensor.shape)
        problem = problem_of(tensor, 2)
        rows.append(
            LayerRow(
                name if calls[name] == 1 else f"{name}#{calls[name]}",
                type(module).__name__,
                "x".join(map(str, shape[1:])) or "-",
                "-" if problem else layout_of(module, shape, aspect)[0],
            )
        )

    with contextlib.ExitStack() as stack:
        for one in chosen:
            handle = one.module.register_forward_hook(functools.partial(take, one.name))
            stack.callback(handle.remove)
        image = _one_image(model, address)
        aspect = aspect_of(image[None])
        try:
            with torch.inference_mode():
                model.run(model.module, torch.stack([image, image]))
        except RuntimeError as error:
            raise SemrsmError(
                f"{model.name} does not run on an image of {tuple(image.shape)} ({error}); name your `images`"
            ) from error
    return rows, tuple(image.shape)


def _one_image(model: LoadedModel, address: str | None) -> Tensor:
    if address is None:
        return _prepared(model, grey_image(GREY_SIDE), "a grey image")
    with open_images(address) as images:
        return _prepared(model, images.read(0), address)


def _prepared(model: LoadedModel, image: Any, name: str) -> Tensor:
    """Return an image as the model takes it; a tensor needs no preparation."""
    if isinstance(image, Tensor):
        return image
    try:
        tensor = model.preprocess(image)
    except Exception as error:  # the user's preprocessing may raise anything
        raise SemrsmError(
            f"{name} cannot be prepared for {model.name} ({type(error).__name__}: {error}); mend its"
            " preprocessing, or leave the image out"
        ) from error
    if not isinstance(tensor, Tensor) or tensor.ndim != 3:
        what = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise SemrsmError(
            f"{model.name}: its preprocessing gives {what}; return a tensor (c, h, w)"
        )
    return tensor


def _batches(
    images: Images, model: LoadedModel, start: int, size: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield batches (b, c, h, w) and the number of their first image; the next one is made meanwhile."""

    def one(k: int) -> Tensor:
        return _prepared(model, images.read(k), _name_of(images, k))

    with ThreadPoolExecutor(min(8, cores())) as pool:
        firsts = range(start, images.n, size)
        futures = [pool.submit(one, k) for k in range(start, min(start + size, images.n))]
        for first in firsts:
            tensors = [future.result() for future in futures]
            following = range(first + size, min(first + 2 * size, images.n))
            futures = [pool.submit(one, k) for k in following]
            yield first, _stacked(tensors, images, first)


def _stacked(tensors: list[Tensor], images: Images, first: int) -> Tensor:
    for k, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise SemrsmError(
                f"{_name_of(images, first + k)} has the shape {tuple(tensor.shape)} and"
                f" {_name_of(images, first)} {tuple(tensors[0].shape)}; bring all to one size in the"
                " preprocessing"
            )
    return torch.stack(tensors)


def _name_of(images: Images, k: int) -> str:
    return f"image {k} of {images.address}" if images.ids is None else str(images.ids[k])


def _logits(output: Any) -> Tensor | None:
    """Return the two-dimensional output of a model."""
    tensor = first_tensor(getattr(output, "logits", output))
    return tensor if tensor is not None and tensor.ndim == 2 and tensor.shape[1] > 1 else None


def _known(images: Images, first: int, n: int, shifted: bool) -> dict[str, Any]:
    """Return what is known of the samples of a batch."""
    part = slice(first, first + n)
    known: dict[str, Any] = {"labels": images.labels and images.labels[part]}
    names = [str(k) for k in range(images.n)[part]] if images.ids is None else images.ids[part]
    if shifted:
        known["samples"] = [f"{name}@{view}" for name in names for view in VIEW_NAMES]
        known["views"] = [name for name in names for _ in VIEW_NAMES]
        known["labels"] = known["labels"] and [text for text in known["labels"] for _ in VIEW_NAMES]
    else:
        known["samples"] = images.ids and names
        known["views"] = images.views and images.views[part]
    return known


def _about(model: LoadedModel, images: Images, options: RecordOptions) -> dict[str, Any]:
    """Return how the activations are made: what a run that goes on must have in common."""
    shift = options.shift
    return {
        "model": model.name,
        "weights": model.weights,
        "weights_digest": digest_of(model.module),
        "preprocessing": model.preprocessing,
        "images": images.address,
        "images_digest": images.digest,
        "views": None if shift is None else f"translate:{shift}",
        "libraries": f"torch {torch.__version__}, {model.libraries}",
    } | ({"seed": options.seed} if model.weights == RANDOM else {})
