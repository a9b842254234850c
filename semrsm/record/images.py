"""Images: folders of files and arrays, and what makes tensors of them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from semrsm.errors import SemrsmError
from semrsm.names import natural_key
from semrsm.storage.activations import ActivationFile, open_activations
from semrsm.storage.address import address_of
from semrsm.storage.input_files import refuse_irregular
from semrsm.storage.labels import read_labels
from semrsm.storage.layer import Layer
from semrsm.storage.sample_ids import read_sample_ids

if TYPE_CHECKING:
    from PIL.Image import Image

Preprocess = Callable[["Image"], Tensor]

SUFFIXES = (*(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"),)


@dataclass(frozen=True)
class Images:
    """Images in order, each read when it is asked for.

    Attributes:
        address: Where they are.
        n: How many.
        read: Gives one: a PIL image, or a tensor (c, h, w) that needs no preparation.
        ids: Of each, None where there are none.
        labels: Of each, None where there are none.
        views: Of what each is a view, None where that is not known.
        digest: What tells these images from others, from their names and sizes.
    """

    address: str
    n: int
    read: Callable[[int], Image | Tensor]
    ids: Sequence[str] | None
    labels: Sequence[str] | None
    views: Sequence[str] | None
    digest: str


@contextlib.contextmanager
def open_images(address: str) -> Iterator[Images]:
    """Open a folder of images, or an array of images in a file: `FILE.h5::images`.

    Raises SemrsmError if there is none, or it holds no images.
    """
    if os.path.isdir(address):
        yield _folder(Path(address))
        return
    path, name = address_of(address)
    with open_activations(path) as file:
        if name is None or name not in file.arrays:
            names = ", ".join(file.arrays) or "none"
            raise SemrsmError(
                f"{path}: name the array that holds the images: {path}::NAME. There are: {names}"
            )
        yield _array(file, file.arrays[name])


def grey_image(side: int) -> Image:
    """Return a square in colour that is grey everywhere."""
    image: Image = importlib.import_module("PIL.Image").new("RGB", (side, side), (128, 128, 128))
    return image


def as_tensor(image: Image) -> Tensor:
    """Return an image as (c, h, w) float32 from 0 to 1, with the channels that it has."""
    array = np.asarray(image, np.float32) / 255
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def in_colour(preprocess: Callable[[Any], Any]) -> Preprocess:
    """Return a preprocessing that is given images with three channels, whatever they have."""
    return lambda image: preprocess(image.convert("RGB"))


def centre_crop(image: Image, side: int) -> Tensor:
    """Return the square in the middle, its side scaled to `side`, with values from -1 to 1."""
    scale = side / min(image.size)
    width, height = (max(side, round(edge * scale)) for edge in image.size)
    image = image.resize((width, height), 3)  # bicubic
    left, top = (width - side) // 2, (height - side) // 2
    return (as_tensor(image.crop((left, top, left + side, top + side))) - 0.5) / 0.5


def shifted_views(batch: Tensor, pixels: int) -> Tensor:
    """Return two views of each image that overlap but for some rows: its upper and its lower part.

    Each image is enlarged by so many pixels; the views are cut from it at the old size, one above and
    one below, in the middle of the columns. They stand behind each other: (2b, c, h, w) for (b, c, h, w).
    A thing that stands in row r of the upper view stands in row r - pixels of the lower one.

    >>> shifted_views(torch.arange(6.0).reshape(1, 1, 6, 1).expand(1, 1, 6, 6), 2).shape
    torch.Size([2, 1, 6, 6])
    """
    height, width = batch.shape[-2:]
    size = (height + pixels, width + pixels)
    large = functional.interpolate(batch, size=size, mode="bilinear", align_corners=False)
    left = pixels // 2
    columns = large[..., left : left + width]
    views = torch.stack([columns[..., :height, :], columns[..., pixels:, :]], dim=1)
    return views.flatten(0, 1).contiguous()


def _folder(folder: Path) -> Images:
    names = sorted(_image_names(folder), key=natural_key)
    if not names:
        raise SemrsmError(f"{folder} holds no images ({', '.join(SUFFIXES)}); name another folder")
    parts = [name.partition("/") for name in names]
    classes = [first for first, slash, _ in parts if slash]
    labelled = len(classes) == len(names) and len(set(classes)) > 1
    sizes = "".join(f"{name} {(folder / name).stat().st_size}\n" for name in names)
    return Images(
        str(folder),
        len(names),
        lambda k: _open_image(folder / names[k]),
        names,
        classes if labelled else None,
        None,
        _digest(sizes),
    )


def _image_names(folder: Path) -> Iterator[str]:
    """Yield the paths of the images below a folder; hidden ones are left out, links are followed once."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(root, name).relative_to(folder).as_posix()


def _open_image(path: Path) -> Image:
    """Read an image whole, in colour; raises SemrsmError if it is damaged."""
    refuse_irregular(path)
    pillow = importlib.import_module("PIL.Image")
    try:
        with pillow.open(path) as image:
            colour: Image = image.convert("RGB")
    except Exception as error:  # damaged images raise anything
        raise SemrsmError(
            f"{path} cannot be read as an image ({error}); mend it or remove it"
        ) from error
    return colour


def _array(file: ActivationFile, array: Layer) -> Images:
    address, shape = f"{file.path}::{array.name}", array.shape
    whole = array.dtype.kind == "f" and len(shape) == 4
    grey = array.dtype == np.uint8 and len(shape) == 3
    last = array.dtype == np.uint8 and len(shape) == 4 and shape[3] in (1, 3, 4)
    second = array.dtype == np.uint8 and len(shape) == 4 and shape[1] in (1, 3, 4)
    if not (whole or grey or last or second):
        raise SemrsmError(
            f"{address} has type {array.dtype} and shape {shape}; give images (n, h, w), (n, h, w, c) or"
            " (n, c, h, w) in uint8, or (n, c, h, w) in floats as the model takes them"
        )

    def read(k: int) -> Image | Tensor:
        try:
            if whole:
                return torch.from_numpy(array.read(range(k, k + 1))[0]).float()
            pixels = array.take(slice(k, k + 1))[0]
        except SemrsmError as error:
            raise error.within(address) from error
        pixels = pixels if grey or last else pixels.transpose(1, 2, 0)
        pillow = importlib.import_module("PIL.Image")
        image: Image = pillow.fromarray(
            np.ascontiguousarray(pixels.squeeze(2) if _flat(pixels) else pixels)
        )
        return image

    n = array.n_samples
    ids = read_sample_ids(file, n)
    return Images(
        address,
        n,
        read,
        ids,
        _one_each(file, "labels", n),
        _one_each(file, "views", n),
        _digest(f"{shape} {array.dtype} {file.path.stat().st_size} {ids}"),
    )


def _flat(pixels: np.ndarray) -> bool:
    return pixels.ndim == 3 and pixels.shape[2] == 1


def _one_each(file: ActivationFile, name: str, n: int) -> list[str] | None:
    """Return the labels or views that lie beside the images, if each image has one."""
    if name not in file.arrays or file.arrays[name].shape != (n,):
        return None
    sets = read_labels(f"{file.path}::{name}", name).sets
    return [next(iter(labels)) for labels in sets]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()
