"""`semrsm.pair` and `semrsm.methods_on`: two samples, and every matcher tried on some pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from semrsm.api.arguments import Names, Progress, names_in
from semrsm.compute.pair import Pair, compare_pair
from semrsm.compute.trial import Trial, try_matchers
from semrsm.storage.address import require_path

IN_MEMORY = "save the array first, or compare two samples with semrsm.rsm"


def pair(
    activations: str | Path,
    i: int | str,
    j: int | str,
    *,
    layer: str | None = None,
    matcher: str = "optimal",
    sigma: float | None = None,
    skip_tokens: int = 0,
    device: str = "cpu",
) -> Pair:
    """Return the similarity of two samples under every kernel, and which of their positions match.

    The values are those of the RSM at (i, j).

    Args:
        activations: Activation file, or `path::layer`.
        i: A sample: its number in the file, counted from 0, or its id.
        j: Another one, or the same.
        layer: Name of the layer; needed where the file holds several.
        matcher: A key of MATCHERS.
        sigma: Width of rbf; without one its values are None.
        skip_tokens: Leave out so many tokens at the front.
        device: Where to match: auto, cpu, cuda or cuda:N.

    Returns:
        A record for each kernel, which `pandas.DataFrame(...)` takes: layer, i, j, kernel, identity,
        matcher, matched, reason; and `permutation` (S,) int64, `strength` (S,) float64, `grid`.

    Raises:
        SemrsmError: There is no such file, layer, sample, matcher or device, several layers are meant, or
            the matcher needs a grid and there is none.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example: two views of the same digit.
        >>> from semrsm.data import digits_path
        >>> match = pair(digits_path(), 0, 10, layer="resnet/layer3")
        >>> [record["kernel"] for record in match], match.permutation.shape, match.grid
        (['linear', 'cosine', 'rbf'], (16,), (4, 4))
    """
    require_path(activations, "activations", IN_MEMORY)
    return compare_pair(
        activations,
        i,
        j,
        layer=layer,
        matcher=matcher,
        sigma=sigma,
        skip_tokens=skip_tokens,
        device=device,
    )


def methods_on(
    activations: str | Path,
    *,
    layer: Names = (),
    matcher: Names = (),
    pairs: int = 200,
    seed: int = 0,
    seconds: float = 60.0,
    device: str = "cpu",
    layout: str | None = None,
    skip_tokens: int = 0,
    pool: str | tuple[int, int] | None = None,
    samples: str | Sequence[int | str] | NDArray[Any] | None = None,
    exclude: str | int | Sequence[int] | None = None,
    on_progress: Progress = lambda layer, pairs, of: None,
) -> list[Trial]:
    """Match some random pairs of each layer with every matcher: how long it takes, how near it comes.

    Args:
        activations: Activation file, or `path::layer`.
        layer: Names or globs; none means every map.
        matcher: Keys of MATCHERS; none means all.
        pairs: How many pairs of each layer, at least 1.
        seed: Of the random pairs and samples.
        seconds: A matcher that has taken longer on a layer is given no further pairs.
        device: Where to match: auto, cpu, cuda or cuda:N; on the CPU one thread.
        layout: Axes of the arrays; None takes that of the file, or nchw, ntd, nd.
        skip_tokens: Leave out so many tokens at the front.
        pool: Average-pool the grid to (height, width) positions first, or "HxW".
        samples: Only these, as in `compute`.
        exclude: Leave out these samples, by their numbers in the file.
        on_progress: Called with (layer, pairs done, pairs in all).

    Returns:
        A record for each layer and matcher, which `pandas.DataFrame(...)` takes; see `Trial`.

    Raises:
        SemrsmError: There is no such file, layer or matcher, or a layer has one sample only.

    Example:
        >>> from semrsm.data import digits_path
        >>> trials = methods_on(digits_path(), layer="resnet/layer3", matcher="identity", pairs=9)
        >>> [(trial.matcher, trial.pairs, trial.relative_mean < 1) for trial in trials]
        [('identity', 9, True)]
    """
    require_path(activations, "activations", IN_MEMORY)
    return try_matchers(
        activations,
        layer=names_in(layer, "layer"),
        matcher=names_in(matcher, "matcher"),
        pairs=pairs,
        seed=seed,
        seconds=seconds,
        device=device,
        on_progress=on_progress,
        layout=layout,
        skip_tokens=skip_tokens,
        pool=pool,
        samples=samples,
        exclude=exclude,
    )
