"""Weights from files: safetensors, or state dicts of torch of which only tensors are read, never code."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from semrsm.errors import SemrsmError
from semrsm.names import no_such
from semrsm.storage.input_files import refuse_irregular

NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
)  # where checkpoints of training keep the weights
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def load_weights(module: nn.Module, path: Path) -> None:
    """Give a module the weights of a file: every one, and no others.

    Raises SemrsmError if the file is missing, holds anything but tensors, or does not fit the module.
    """
    state = read_weights(path)
    module_state = module.state_dict()
    if missing := [name for name in module_state if name not in state]:
        raise SemrsmError(
            f"{path} lacks {_several(missing)} of the model; give the weights of this model"
        )
    if others := [name for name in state if name not in module_state]:
        raise SemrsmError(f"{path}: {no_such(list(module_state)[:8], others[0], 'weight')}, …")
    for name, value in state.items():
        if value.shape != module_state[name].shape:
            raise SemrsmError(
                f"{path}: '{name}' has the shape {tuple(value.shape)} and the model wants"
                f" {tuple(module_state[name].shape)}; give the weights of this model"
            )
    module.load_state_dict(state)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name: of a state dict, or of one within a checkpoint.

    Raises SemrsmError if it is missing or damaged, or would have to be unpickled.
    """
    refuse_irregular(path)
    if not path.is_file():
        raise SemrsmError(f"the weights {path} do not exist; check the path")
    content: Any = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    while isinstance(content, Mapping) and (nest := next((n for n in NESTS if n in content), None)):
        if not isinstance(content[nest], Mapping):
            break
        content = content[nest]
    if not isinstance(content, Mapping) or not content or not _all_tensors(content):
        raise SemrsmError(
            f"{path} holds no state dict (names of weights and tensors); save model.state_dict()"
        )
    prefixes = "|".join(map(re.escape, PREFIXES))
    return {re.sub(f"^({prefixes})+", "", name): value for name, value in content.items()}


def digest_of(module: nn.Module) -> str:
    """Return what tells the weights of a module from others.

    >>> digest_of(nn.ReLU()) == digest_of(nn.Tanh()), digest_of(nn.ReLU()) == digest_of(nn.BatchNorm1d(2))
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor) and not is_lazy(value):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as stream:
        return path.suffix == ".safetensors" or stream.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        library = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise SemrsmError(
            f"{path} is read with safetensors, which is not installed; pip install 'semrsm[models]'"
        ) from error
    try:
        tensors: dict[str, Tensor] = library.load_file(str(path))
    except Exception as error:  # the library has errors of its own
        raise SemrsmError(
            f"{path} cannot be read as safetensors ({error}); copy it again"
        ) from error
    return tensors


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SemrsmError(
            f"{path} holds Python objects, which are never unpickled, or is damaged; save"
            " model.state_dict(), or safetensors"
        ) from error
    except Exception as error:  # whatever damaged bytes make of it
        raise SemrsmError(f"{path} cannot be read as weights ({error}); save it again") from error


def _all_tensors(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _several(names: list[str]) -> str:
    return f"'{names[0]}'" + (f" and {len(names) - 1} more weights" if len(names) > 1 else "")
