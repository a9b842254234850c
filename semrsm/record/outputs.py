"""What a module gives: which tensor of it is recorded, how its axes are read, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semrsm.errors import SemrsmError
from semrsm.storage.float_types import FloatType

# Where torch defines the modules whose channels are the second axis, whatever the sizes are.
CHANNELS_SECOND = tuple(
    f"torch.nn.modules.{name}"
    for name in ("conv", "batchnorm", "instancenorm", "pooling", "upsampling", "pixelshuffle")
)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
ROUNDING = 2.0  # pixels by which strides and borders change the aspect of a map
TORCH_TYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a module gave, None if there is none.

    Tuples and lists are looked through by position, dicts and dataclasses (those of Hugging Face) in the
    order of their fields, and whatever lies in them likewise.

    >>> first_tensor({"loss": None, "logits": (torch.ones(2, 3), torch.ones(1))}).shape
    torch.Size([2, 3])
    """
    if isinstance(output, Tensor):
        return output
    parts: Any = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, list | tuple):
        parts = output
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [getattr(output, field.name) for field in fields(output)]
    tensors = (first_tensor(part) for part in parts)
    return next((tensor for tensor in tensors if tensor is not None), None)


def batch_size(inputs: Any) -> int | None:
    """Return the number of samples that a model is given; None if no tensor says it.

    It is the first axis of the first tensor, or how many tensors of one sample a list holds.

    >>> batch_size(((torch.ones(5, 3, 8, 8),), {})), batch_size((([torch.ones(3, 8, 8)] * 2,), {}))
    (5, 2)
    """
    if isinstance(inputs, list) and inputs and all(isinstance(x, Tensor) for x in inputs):
        return len(inputs)
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.ndim else None
    parts = inputs.values() if isinstance(inputs, Mapping) else inputs
    if not isinstance(inputs, Mapping | list | tuple):
        return None
    return next((n for n in map(batch_size, parts) if n is not None), None)


def aspect_of(inputs: Any) -> float:
    """Return height over width of the images that a model is given; 1 if no tensor of them is.

    >>> aspect_of(((torch.ones(5, 3, 8, 4),), {})), aspect_of((([torch.ones(3, 8, 8)],), {}))
    (2.0, 1.0)
    """
    if isinstance(inputs, Tensor):
        return inputs.shape[-2] / inputs.shape[-1] if inputs.ndim == 4 and inputs.numel() else 1.0
    parts: Any = inputs.values() if isinstance(inputs, Mapping) else inputs
    if not isinstance(inputs, Mapping | list | tuple):
        return 1.0
    return next((aspect for aspect in map(aspect_of, parts) if aspect != 1.0), 1.0)


def problem_of(tensor: Tensor | None, n: int | None) -> str | None:
    """Say in a clause why an output of a batch of n samples is no layer; None if it is one."""
    if tensor is None:
        return "gives no tensor"
    shape = tuple(tensor.shape)
    if not tensor.is_floating_point():
        return f"gives {str(tensor.dtype).removeprefix('torch.')}, not floats"
    if not 2 <= len(shape) <= 5:
        return f"gives the shape {shape}, not (n, channels, height, width), (n, tokens, channels) or (n, d)"
    if n is not None and shape[0] != n:
        second = f"; its second axis counts the {n} samples" if shape[1] == n else ""
        return f"gives the shape {shape}, whose first axis does not count the {n} samples{second}"
    if not tensor.numel():
        return f"gives the shape {shape}, which is empty"
    return None


def layout_of(module: nn.Module, shape: tuple[int, ...], aspect: float = 1.0) -> tuple[str, bool]:
    """Return how an output is read, and whether that is a guess from its shape.

    A convolution, pooling or batch normalisation has its channels second, a linear layer or layer
    normalisation last. Of other modules a map is taken as channels-last if its last two axes do not have
    the aspect of the image, but the two before have.

    Args:
        module: What gave it.
        shape: Of the output, (n, ...).
        aspect: Height over width of the images.

    >>> layout_of(nn.Sequential(), (2, 56, 56, 96)), layout_of(nn.Conv2d(3, 8, 1), (2, 8, 8, 9))
    (('nhwc', True), ('nchw', False))
    >>> layout_of(nn.ReLU(), (2, 64, 64, 128), aspect=0.5)
    ('nchw', False)
    """
    second = type(module).__module__ in CHANNELS_SECOND or type(module) is nn.GroupNorm
    last = type(module) in CHANNELS_LAST
    if len(shape) == 4 and last:
        return "nhwc", False
    if len(shape) == 4 and not second:
        _, first, middle, end = shape
        off_second, off_last = abs(middle - aspect * end), abs(first - aspect * middle)
        if off_second > ROUNDING >= off_last:
            return "nhwc", True
    if len(shape) == 3 and second:
        return "ndt", False
    return {2: "nd", 3: "ntd", 4: "nchw", 5: "ncdhw"}[len(shape)], False


@dataclass(frozen=True)
class StoredOutput:
    """An output as the file holds it.

    Attributes:
        values: (b, ...) in the type of the file.
        note: What is wrong with its numbers though they are stored, or None.
    """

    values: NDArray[Any]
    note: str | None


def stored_output(tensor: Tensor, kind: FloatType, first: int) -> StoredOutput:
    """Return an output as the file holds it, on the CPU and in C order whatever its strides are.

    NaN and infinity are stored as the network gave them, with a note; numbers that would become
    infinity are refused.

    Args:
        tensor: (b, ...) of any floating type, on any device.
        kind: A row of FLOAT_TYPES.
        first: What number its first sample has, for sentences.

    Raises:
        SemrsmError: A finite number is too large for the type.
    """
    tensor = tensor.detach()
    low, high = (extreme.item() for extreme in torch.aminmax(tensor))
    largest = max(-low, high)
    note = None
    if not (-kind.beyond < low and high < kind.beyond):  # NaN is neither
        note = _look_at_samples(tensor, kind, first)
    elif 0 < largest < kind.normal:
        note = f"no value is larger than {largest:.3g}, where {kind.name} has fewer digits"
    stored = tensor.to(TORCH_TYPES[kind.name]).cpu().contiguous()
    bits = stored.view(torch.uint16) if kind.name == "bfloat16" else stored
    return StoredOutput(bits.numpy(), note)


def _look_at_samples(tensor: Tensor, kind: FloatType, first: int) -> str | None:
    """Refuse a finite number that is too large; say which sample holds one that is not finite."""
    note = None
    for row, sample in enumerate(tensor):
        finite = sample.isfinite()
        largest = sample.abs().where(finite, 0).max()
        try:
            kind.refuse_overflow(float(largest))
        except SemrsmError as error:
            raise error.within(f"sample {first + row}") from error
        if note is None and not finite.all():
            note = f"sample {first + row} holds NaN or infinity, as the network gave it"
    return note
