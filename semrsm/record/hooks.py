"""Recording what the modules of a model output while it runs, into an activation file."""

from __future__ import annotations

import functools
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from semrsm.engine.positions import LAYOUTS
from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.record.layers import Chosen, choose_modules, unwrapped
from semrsm.record.outputs import (
    aspect_of,
    batch_size,
    first_tensor,
    layout_of,
    problem_of,
    stored_output,
)
from semrsm.storage.activation_writer import ActivationWriter

# Where a recorder is: before a call of the model, within one, after one that is not written yet; or among
# calls of the model's parts, without one of the model.
IDLE, WITHIN, AFTER, PARTS = "idle", "within", "after", "parts"
KEPT_BYTES = 31 << 20  # a little less than the most that glibc goes up to


class Recorder:
    """Puts forward hooks on modules and appends what they output to an activation file, batch by batch.

    Use it in a `with` statement; `semrsm.record` makes one. A call of the model is a batch. It is written
    while the model runs, so that no more than the output of one module is kept, and counts when the next
    one begins, with `add`, or at the end.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str],
        path: str | os.PathLike[str],
        *,
        dtype: str = "float16",
        compression: str | None = None,
        layout: str | Mapping[str, str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise SemrsmError(
                f"the model is a {type(model).__name__}, not a torch.nn.Module; give one"
            )
        self._model = model
        for name in layout.values() if isinstance(layout, Mapping) else [layout] if layout else []:
            look_up(LAYOUTS, name, "layout")
        self._layout = layout
        unwrapped(model)
        patterns = [layers] if isinstance(layers, str) else list(layers)
        self._chosen = choose_modules(model, patterns)
        self._writer = ActivationWriter(
            path,
            dtype=dtype,
            compression=compression,
            resume=resume,
            overwrite=overwrite,
            about={"layers": patterns} | dict(about or {}),
        )
        self._state = IDLE
        self._n: int | None = None  # samples of the batch, where the model's input says it
        self._aspect = 1.0  # height over width of the images
        self._calls: Counter[str] = Counter()
        self._noted: set[str] = set()
        self._left_out: set[str] = set()
        self._handles: list[RemovableHandle] = []

    @property
    def n_samples(self) -> int:
        """Samples that are in the file: where to go on after `resume`."""
        return self._writer.n_samples

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the file, in the order of the forward pass; none before the first batch."""
        return self._writer.layers

    def __enter__(self) -> Recorder:
        _keep_freed_memory()
        for chosen in self._chosen:
            take = functools.partial(self._take, chosen)
            self._handles.append(chosen.module.register_forward_hook(take))
        self._handles += [
            self._model.register_forward_pre_hook(self._begin, with_kwargs=True),
            self._model.register_forward_hook(self._end),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if error is None:
            with self._writer:
                self._commit_last()
            return
        # A whole batch counts, unless `add` was still to come.
        if self._state == AFTER and self.n_samples and not self._writer.sample_arrays:
            self._commit()
        self._writer.__exit__(kind, error, traceback)

    def add(
        self,
        *,
        samples: Iterable[object] | None = None,
        labels: Any = None,
        logits: Any = None,
        views: Any = None,
    ) -> None:
        """Say what is known of the samples of the batch that the model has just seen, and end it.

        Args:
            samples: An id for each of the b samples, all different.
            labels: (b,) whole numbers or texts, or (b, classes) of 0 and 1; arrays or tensors.
            logits: (b, classes) floats.
            views: (b,) whole numbers or texts: of what thing each sample is a view.

        Raises:
            SemrsmError: The model has not run since the last batch, numbers of samples differ, or the
                disk is full.
        """
        if self._state not in (AFTER, PARTS):
            raise SemrsmError(
                "there is no batch to add to; call the model first, then recorder.add"
            )
        arrays = {"samples": samples, "labels": labels, "logits": logits, "views": views}
        self._commit(**{name: _on_cpu(values) for name, values in arrays.items()})

    def _begin(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        """Begin a batch, as the model is called."""
        if self._state == WITHIN:  # the call before did not come to its end
            self._forget()
        self._commit_last()
        _refuse_training(model)
        self._n = batch_size((args, kwargs))
        self._aspect = aspect_of((args, kwargs))
        self._state = WITHIN

    def _end(self, model: nn.Module, args: Any, output: Any) -> None:
        self._state = AFTER

    def _take(self, chosen: Chosen, module: nn.Module, args: Any, output: Any) -> None:
        """Write what a module gave."""
        if self._state == AFTER:
            self._commit_last()
        if self._state == IDLE:
            _refuse_training(module)
            self._state, self._n = PARTS, None
        self._calls[chosen.name] += 1
        call = self._calls[chosen.name]
        if call > 1 and self._state == PARTS:
            raise SemrsmError(
                f"'{chosen.name}' was called again, and the model itself was not, so that it is not known"
                " where a batch ends; call recorder.add() behind each batch"
            )
        name = chosen.name if call == 1 else f"{chosen.name}#{call}"
        if name not in self._left_out:
            self._write(name, chosen, module, first_tensor(output))

    def _write(self, name: str, chosen: Chosen, module: nn.Module, tensor: Tensor | None) -> None:
        problem = problem_of(tensor, self._n)
        if problem or tensor is None:
            if chosen.outright or name in self._writer.layers:
                raise SemrsmError(f"layer '{name}' {problem}; choose another one")
            self._note(name, f"{problem}, and is left out")
            self._left_out.add(name)
            return
        if self._n is None:
            self._n = len(tensor)
        layout = None
        if name not in self._writer.layers:
            layout = self._layout_of(name, module, tuple(tensor.shape))
        try:
            stored = stored_output(tensor, self._writer.kind, self.n_samples)
        except SemrsmError as error:
            raise error.within(f"layer '{name}'") from error
        if stored.note:
            self._note(name, stored.note)
        self._writer.write(name, stored.values, layout)

    def _layout_of(self, name: str, module: nn.Module, shape: tuple[int, ...]) -> str:
        setting = self._layout.get(name) if isinstance(self._layout, Mapping) else self._layout
        if setting is not None and len(setting) == len(shape):
            return setting
        layout, guessed = layout_of(module, shape, self._aspect)
        if guessed:
            self._note(
                name,
                f"gives {shape}, which is taken as channels-last; say `layout='nchw'` if it is not",
            )
        return layout

    def _note(self, name: str, text: str) -> None:
        """Warn of something, once for each layer."""
        if name not in self._noted:
            self._noted.add(name)
            warnings.warn(f"layer '{name}': {text}", stacklevel=2)

    def _commit_last(self) -> None:
        if self._state in (AFTER, PARTS):
            self._commit()

    def _commit(self, **arrays: Any) -> None:
        self._state, calls = IDLE, self._calls
        self._calls = Counter()
        missing = [c.name for c in self._chosen if c.outright and not calls[c.name]]
        if missing:
            self._writer.rollback()
            raise SemrsmError(
                f"layer '{missing[0]}' is not called when the model runs; choose another one"
            )
        if not calls:
            names = ", ".join(c.name for c in self._chosen[:5])
            raise SemrsmError(f"no layer was called when the model ran, of {names}; choose others")
        self._writer.commit(**arrays)

    def _forget(self) -> None:
        self._writer.rollback()
        self._calls.clear()
        self._state = IDLE


def _refuse_training(module: nn.Module) -> None:
    """Raise SemrsmError for a module in train mode: its outputs depend on chance and on the batch."""
    if module.training or any(part.training for part in module.modules()):
        raise SemrsmError(
            "the model is in train mode, in which dropout and batch normalisation make outputs depend on"
            " chance and on the batch; call model.eval() first"
        )


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next layer's output.

    Once glibc has freed a block of this size, it no longer gives those up to it back to the system and asks
    for them anew, which can take as long as the forward pass (mallopt(3), M_MMAP_THRESHOLD).
    """
    np.empty(KEPT_BYTES, np.uint8)


def _on_cpu(values: Any) -> Any:
    """Return a tensor as an array, anything else as it is."""
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
