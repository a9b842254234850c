"""The RSM of arrays in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.grid import reading_order
from semrsm.compute.layers import LayerInput, layer_input, refuse_unequal
from semrsm.compute.options import FIELDS, options_of
from semrsm.compute.plan import plan_layer
from semrsm.engine.kernels import KERNELS, Matched, finisher
from semrsm.engine.rounding import n_unsure, unsure_note
from semrsm.errors import SemrsmError
from semrsm.storage.layer import Layer

if TYPE_CHECKING:
    from torch import Tensor

Samples = str | int | Sequence[int | str] | NDArray[Any]


def rsm(
    array: NDArray[Any] | Tensor,
    matcher: str = "optimal",
    kernel: str = "cosine",
    *,
    against: NDArray[Any] | Tensor | None = None,
    topk: int | None = None,
    window: int | None = None,
    epsilon: float | None = None,
    group: int | None = None,
    sigma: str | float = "median",
    layout: str | None = None,
    skip_tokens: int = 0,
    pool: str | tuple[int, int] | None = None,
    samples: Samples | None = None,
    exclude: Samples | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    memory: str | int | None = None,
    dtype: str = "float32",
    precision: str = "exact",
) -> NDArray[np.float64]:
    """Return the RSM of activations in memory.

    Entry (i, j) is the kernel of m_ij = sum_s <x_s, y_p(s)>, where the matcher finds which position
    p(s) of sample j belongs with position s of sample i.

    Args:
        array: (n,c,h,w), (n,t,d) or (n,d), float16, float32 or float64, numpy or torch (bfloat16
            too), any device.
        matcher: A key of MATCHERS: "optimal" (semantic), "identity" (spatio-semantic), ...
        kernel: A key of KERNELS: "linear", "cosine" or "rbf".
        against: Other activations of m samples, with positions and channels as those of `array`: they
            are the columns.
        topk: These and the others as in `semrsm.compute`.
        window: Of batch-optimal.
        epsilon: Of sinkhorn.
        group: Of coarse.
        sigma: Width of rbf: "median" of the distances, or a number.
        layout: Axes of the arrays, a key of LAYOUTS; None means nchw, ntd or nd.
        skip_tokens: Leave out so many tokens at the front.
        pool: Average-pool the grid to (height, width) positions first, or "HxW".
        samples: Only these, of both arrays.
        exclude: Leave out these.
        seed: Of random samples.
        device: Where to match.
        threads: Threads that solve pairs.
        memory: Bytes, or a size such as "4GiB".
        dtype: Of the products: "float32" or "float64".
        precision: Of the products: "exact" or "fast".

    Returns:
        (n, n) float64, symmetric; (n, m) with `against`.

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
        >>> rsm(x, "identity", against=x[:1]).tolist()
        [[1.0], [0.0]]
    """
    options = {k: value for k, value in locals().items() if k in FIELDS and k != "against"}
    from semrsm.engine.tile_matcher import TileMatcher

    run = options_of(options)
    if len(run.kernel) > 1:
        raise SemrsmError(f"one RSM has one kernel, got {', '.join(run.kernel)}; call rsm for each")
    name = "the array" if against is None else "the first array"
    rows = layer_input(Path(name), _layer_of(array, name), run)
    columns = rows
    if against is not None:
        other = "the array against it"
        columns = layer_input(Path(other), _layer_of(against, other), run)
        refuse_unequal(rows, columns)
    plan = plan_layer(rows, columns, run)
    matched, sources = np.empty(plan.shape), {id(layer): layer.vectors for layer in (rows, columns)}
    with TileMatcher(sources[id(rows)], sources[id(columns)], plan.work, plan.budget) as tiles:
        for tile in reading_order(plan.grid, plan.grid.tiles, plan.budget.cached_blocks):
            i, j = (slice(r.start, r.stop) for r in (tile.rows, tile.columns))
            matched[i, j] = tiles.match(tile).matched
            if plan.symmetric:
                matched[j, i] = matched[i, j].T
    norms = (matched.diagonal().copy(),) * 2
    if not plan.symmetric:
        norms = squared_norms_of(rows), squared_norms_of(columns)
    whole = Matched(lambda: [(0, 0, matched)], *norms, symmetric=plan.symmetric)
    finish = finisher(KERNELS[run.kernel[0]], run.sigma, whole)
    if count := n_unsure(finish, 0, matched, symmetric=plan.symmetric):
        warnings.warn(unsure_note(count), stacklevel=2)
    return finish(0, matched)


def squared_norms_of(layer: LayerInput) -> NDArray[np.float64]:
    """Return the squared norms of the samples of a layer, (n,) float64, read one by one."""
    from semrsm.engine.maps import squared_norms

    read = (layer.vectors(range(k, k + 1)) for k in range(layer.n_samples))
    return np.concatenate([squared_norms(v, [k]).numpy() for k, v in enumerate(read)])


def _layer_of(array: Any, name: str) -> Layer:
    """Return an array in memory as a layer without a name; raise SemrsmError if it is none."""
    layer = _as_layer(array, name)
    if problem := layer.problem():
        raise SemrsmError(f"{name} {problem}; convert or reshape it")
    return layer


def _as_layer(array: Any, name: str) -> Layer:
    if isinstance(array, str | Path):
        raise SemrsmError(
            f"{name} is the path {str(array)!r}; give an array, or take semrsm.compute for files"
        )
    if isinstance(array, list | tuple) and any(hasattr(part, "shape") for part in array):
        raise SemrsmError(
            f"{name} is a list of {len(array)} arrays; join them along the samples first, with"
            " numpy.concatenate or torch.cat"
        )
    if hasattr(array, "detach"):
        import torch

        tensor = array.detach().cpu()
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    else:
        try:
            values = np.asarray(array)
        except (TypeError, ValueError) as error:
            raise SemrsmError(
                f"{name} is of type {type(array).__name__} and makes no array ({error}); give rows of"
                " equal length"
            ) from error
    if not values.ndim:
        kind = type(array).__name__
        raise SemrsmError(
            f"{name} is of type {kind}, no array; give activations (n,c,h,w), (n,t,d) or (n,d)"
        )
    return Layer("", values.shape, values.dtype, rows=values.__getitem__)
