"""The RSM of an array in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.grid import reading_order
from semrsm.compute.layers import layer_input
from semrsm.compute.options import options_of
from semrsm.compute.plan import plan_layer
from semrsm.engine.kernels import KERNELS, Matched, finisher
from semrsm.engine.rounding import n_unsure, unsure_note
from semrsm.errors import SemrsmError
from semrsm.storage.layer import Layer

if TYPE_CHECKING:
    from torch import Tensor

FOR_FILES = (
    *("layer", "against", "overwrite", "bfloat16", "certify"),
    *("workers", "dask", "shard", "run_folder", "restart"),
)


def rsm(
    array: NDArray[Any] | Tensor, matcher: str = "optimal", kernel: str = "cosine", **options: Any
) -> NDArray[np.float64]:
    """Return the RSM of activations in memory.

    Entry (i, j) is the kernel of m_ij = sum_s <x_s, y_p(s)>, where the matcher finds which position
    p(s) of sample j belongs with position s of sample i.

    Args:
        array: (n,c,h,w), (n,t,d) or (n,d), float16, float32 or float64, numpy or torch (bfloat16
            too), any device.
        matcher: A key of MATCHERS: "optimal" (semantic), "identity" (spatio-semantic), ...
        kernel: A key of KERNELS: "linear", "cosine" or "rbf".
        **options: `topk`, `window`, `epsilon`, `group`, `sigma`, `layout`, `skip_tokens`, `pool`,
            `samples`, `exclude`, `seed`, `device`, `threads`, `memory`, `dtype` and `precision`, as in
            `semrsm.compute`.

    Returns:
        (n, n) float64, symmetric.

    Raises:
        SemrsmError: The array or an option is not as it must be.

    Warns:
        UserWarning: The width is so small that some rbf may be off by more than 0.001, and of how many
            pairs.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example: two maps with the same content at different places.
        >>> x = np.zeros((2, 1, 2, 2), np.float32)
        >>> x[0, 0, 0, 0] = x[1, 0, 1, 1] = 1
        >>> rsm(x, "identity").tolist(), rsm(x, "optimal").tolist()
        ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]])
    """
    from semrsm.engine.tile_matcher import TileMatcher

    if unused := [name for name in FOR_FILES if name in options]:
        raise SemrsmError(
            f"the option {unused[0]} is for files; use semrsm.compute or leave it out"
        )
    run = options_of({"matcher": matcher, "kernel": kernel, **options})
    if len(run.kernel) > 1:
        raise SemrsmError(f"one RSM has one kernel, got {', '.join(run.kernel)}; call rsm for each")
    layer = _layer_of(array)
    if problem := layer.problem():
        raise SemrsmError(f"the array {problem}; convert or reshape it")
    rows = layer_input(Path("the array"), layer, run)
    plan = plan_layer(rows, rows, run)
    matched, vectors = np.empty(plan.shape), rows.vectors
    with TileMatcher(vectors, vectors, plan.work, plan.budget) as tiles:
        for tile in reading_order(plan.grid, plan.grid.tiles, plan.budget.held):
            i, j = (slice(r.start, r.stop) for r in (tile.rows, tile.columns))
            matched[i, j] = tiles.match(tile).matched
            matched[j, i] = matched[i, j].T
    squared_norm = matched.diagonal().copy()
    whole = Matched(lambda: [(0, 0, matched)], squared_norm, squared_norm, symmetric=True)
    finish = finisher(KERNELS[run.kernel[0]], run.sigma, whole)
    if count := n_unsure(finish, 0, matched, symmetric=True):
        warnings.warn(unsure_note(count), stacklevel=2)
    return finish(0, matched)


def _layer_of(array: NDArray[Any] | Tensor) -> Layer:
    """Return an array in memory as a layer without a name."""
    if not hasattr(array, "detach"):
        values = np.asarray(array)
    else:
        import torch

        tensor = array.detach().cpu()
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return Layer("", values.shape, values.dtype, rows=values.__getitem__)
