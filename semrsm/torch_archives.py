"""What torch.save wrote, without torch's own objects: names, shapes and where values lie in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from semrsm.errors import SemrsmError


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, without its values.

    Attributes:
        shape: Of the tensor.
        strides: In values, one for each axis.
        dtype: As torch calls it, such as "float16".
        itemsize: Bytes of a value.
        begin: Where its first value lies in the file, in bytes; None of sparse and quantized tensors,
            whose values do not stand there one by one.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    itemsize: int
    begin: int | None


def contents_of(stream: IO[bytes]) -> Any:
    """Return what torch.save wrote: containers, numbers, texts, and tensors for `stored_tensor`.

    `torch.load` is asked for weights only and for the device "meta": nothing but tensors and plain
    containers is made of the file, and no value is read.

    Raises pickle.UnpicklingError if it holds other objects.
    """
    import torch

    return torch.load(stream, map_location="meta", weights_only=True)


def stored_tensor(value: Any) -> StoredTensor | None:
    """Say where the values of one of the `contents_of` a file lie; None if it is no tensor.

    Raises SemrsmError if this torch does not know.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    begin = None
    if value.layout == torch.strided and not value.is_quantized:
        begin = _begin_of_storage(value) + int(value.storage_offset()) * value.element_size()
    strides = () if begin is None else tuple(value.stride())
    dtype = str(value.dtype).removeprefix("torch.")
    return StoredTensor(tuple(value.shape), strides, dtype, value.element_size(), begin)


def _begin_of_storage(tensor: Any) -> int:
    import torch

    begin = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if begin is None:
        raise SemrsmError(
            f"torch {torch.__version__} does not say where tensors lie in a file; update torch, or save"
            " safetensors"
        )
    return int(begin)
