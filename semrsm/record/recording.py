"""`semrsm.record`, which loads torch only when it is called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from semrsm.record.hooks import Recorder


def record(
    model: nn.Module,
    layers: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    dtype: str = "float16",
    compression: str | None = None,
    layout: str | Mapping[str, str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Recorder:
    """Record what modules of a model output into an HDF5 activation file, while you run the model.

    Of tuples, lists, dicts and dataclasses the first tensor is recorded. A module that is called several
    times in a pass gives several layers: `relu`, `relu#2`, … Layers stand in the order of the forward pass.

    Args:
        model: Any torch module, in eval mode. DataParallel over one device and
            DistributedDataParallel are looked through; a compiled model is refused.
        layers: Names or globs of its modules; `*` matches no dot, `**` any depth.
        path: The file to write. It is called `PATH.unfinished` until the `with` block ends well.
        dtype: "float16", "bfloat16" or "float32".
        compression: "gzip" or "lzf"; None stores the numbers as they are.
        layout: How the axes of outputs are read, such as "nhwc", for layers of as many axes; or by layer.
            Else it follows from the module, or from the shape with a warning.
        resume: Go on with an unfinished file: begin with sample `recorder.n_samples`.
        overwrite: Replace a file of that name, and an unfinished one.

    Raises:
        SemrsmError: No module has such a name, or the file is there; while it runs: the model is in train
            mode, a layer gives no floats, another shape than before or numbers beyond the dtype, or the
            disk is full.

    Example:
        >>> with semrsm.record(model.eval(), "layer*", "acts.h5") as recorder:  # doctest: +SKIP
        ...     for images, names in batches:
        ...         with torch.no_grad():
        ...             logits = model(images)
        ...         recorder.add(samples=names, logits=logits)
    """
    from semrsm.record.hooks import Recorder

    return Recorder(
        model,
        layers,
        path,
        dtype=dtype,
        compression=compression,
        layout=layout,
        resume=resume,
        overwrite=overwrite,
    )
