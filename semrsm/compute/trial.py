"""Every matcher tried on some pairs of the user's own data: how long it takes and how near it comes."""

from __future__ import annotations

import csv
import functools
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compute.layers import LayerInput, layer_inputs, open_maps
from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.plan import refuse_without_grid, work_of
from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.storage.address import address_of

if TYPE_CHECKING:
    import torch

    from semrsm.engine.blocks import Block
    from semrsm.engine.matchers import Matcher
    from semrsm.engine.pairs import Work

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float64]

ENTRIES = 2**20  # affinities of the pairs that are matched together: they stay in the caches
BLOCKS = 8  # at least so many blocks of pairs, so that their times have a median


@dataclass(frozen=True)
class Trial:
    """What a matcher did on some pairs of a layer; what could not be measured is None.

    Attributes:
        layer: Name of the layer.
        n_positions: S.
        n_channels: C.
        matcher: Name of the matcher.
        parameters: Those that it reads, as "topk=128".
        pairs: So many were measured.
        ms_median: Milliseconds for a pair, median over the blocks of pairs.
        ms_p90: The 90th percentile of the same.
        ms_prepare: Milliseconds for a sample to be made ready (scaled, sorted, trees), mean.
        pairs_per_second: Pairs measured over the seconds that matching them took.
        whole_seconds: Estimate of the layer's RSM: its pairs at this rate, each sample prepared once.
        relative_mean: m over the optimal m, mean over the pairs whose optimum is positive.
        relative_worst: The same for the pair that is farthest from 1.
        gap_mean: (upper bound - m) / (|x_i| |x_j|), mean; the bound is that of `compute --certify`.
        reason: Why it was skipped, or measured on fewer pairs than were asked for.
    """

    layer: str
    n_positions: int
    n_channels: int
    matcher: str
    parameters: str
    pairs: int = 0
    ms_median: float | None = None
    ms_p90: float | None = None
    ms_prepare: float | None = None
    pairs_per_second: float | None = None
    whole_seconds: float | None = None
    relative_mean: float | None = None
    relative_worst: float | None = None
    gap_mean: float | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def try_matchers(
    activations: str | Path,
    *,
    layer: Sequence[str] = (),
    matcher: Sequence[str] = (),
    pairs: int = 200,
    seed: int = 0,
    seconds: float = 60.0,
    on_progress: Progress = lambda layer, pairs, of: None,
    **reading: Any,
) -> list[Trial]:
    """Match some random pairs of each layer with every matcher, on one CPU thread.

    The pairs are drawn in blocks of k x k, k random samples against k others, the size in which
    `semrsm compute` keeps affinities in the caches; every matcher gets the same blocks, in turn. A
    block is timed as a whole and gives milliseconds per pair. Reading is not timed, and making the
    samples ready is timed for itself. Before the first block each matcher runs once, not timed.

    Args:
        activations: Activation file, or `path::layer`.
        layer: Names or globs; none means every map.
        matcher: Keys of MATCHERS; none means all.
        pairs: How many pairs of each layer, at least 1; a pair may be drawn more than once.
        seed: Of the draw, and of random samples.
        seconds: A matcher that has taken longer on a layer is given no further block; the optimum,
            its certificate included, is found for all of them and stops the layer.
        on_progress: Called with (layer, pairs done, pairs in all).
        **reading: `layout`, `skip_tokens`, `pool`, `samples` and `exclude`, as in `semrsm.compute`.

    Returns:
        A record for each layer and matcher.

    Raises:
        SemrsmError: There is no such file, layer or matcher, or a layer has one sample only.

    Example:
        >>> from semrsm.data import digits_path
        >>> found = try_matchers(digits_path(), layer=["resnet/layer3"], matcher=["identity"], pairs=9)
        >>> [(trial.matcher, trial.pairs, trial.relative_mean < 1) for trial in found]
        [('identity', 9, True)]
    """
    from semrsm.engine.devices import one_thread
    from semrsm.engine.matchers import MATCHERS

    fixed = {"kernel": "linear", "device": "cpu", "threads": 1}
    options = options_of({"layer": list(layer), "seed": seed, **fixed, **reading})
    if pairs < 1 or not seconds > 0:
        raise SemrsmError(
            f"at least one pair and some time are needed, got {pairs} pairs and {seconds} seconds;"
            " change --pairs or --seconds"
        )
    matchers = [look_up(MATCHERS, name, "matcher") for name in matcher or MATCHERS]
    path, named = address_of(activations)
    with open_maps(path) as file, one_thread():
        found = []
        for rows in layer_inputs(file, named, options):
            if rows.n_samples < 2:
                raise SemrsmError(f"{rows.address} has one sample, and a pair needs two")
            found += _try_layer(rows, matchers, options, pairs, seed, seconds, on_progress)
    return found


@dataclass
class _Runner:
    """A matcher at work on a layer, and what was measured so far."""

    matcher: Matcher
    work: Work
    problem: str | None = None
    ms: list[float] = field(default_factory=list)
    spent: float = 0.0
    prepared: float = 0.0
    samples: int = 0
    matched: list[Floats] = field(default_factory=list)


@dataclass(frozen=True)
class _Reference:
    """What is known of the pairs of a block: the optimum, bounds from above, |x_i| |x_j|; (P,) each."""

    optimal: Floats
    tight: Floats
    loose: Floats
    size: Floats


def _try_layer(
    layer: LayerInput,
    matchers: Sequence[Matcher],
    options: RunOptions,
    pairs: int,
    seed: int,
    seconds: float,
    on_progress: Progress,
) -> list[Trial]:
    """Match the same blocks of pairs of one layer with every matcher, block by block."""
    from semrsm.engine.matchers import MATCHERS

    name, done, bounding = layer.layer.name, 0, 0.0
    runners = [
        _Runner(m, work_of(replace(options, matcher=m.name), layer), _unfit(m, layer))
        for m in matchers
    ]
    optimal = work_of(replace(options, matcher=MATCHERS["optimal"].name), layer)
    references: list[_Reference] = []
    on_progress(name, 0, pairs)
    for samples, size in blocks_of_pairs(layer.n_samples, layer.n_positions, pairs, seed):
        vectors = _read(layer, samples)
        places = _places(len(samples) // 2, size)
        began = time.perf_counter()
        references.append(_refer(vectors, places, optimal))
        bounding += time.perf_counter() - began
        for runner in runners:
            if runner.problem is None and runner.spent <= seconds:
                _run_block(runner, vectors, places)
        done += size
        on_progress(name, done, pairs)
        if bounding > seconds:
            break
    return [_trial(runner, layer, references, pairs, seconds) for runner in runners]


def _unfit(matcher: Matcher, layer: LayerInput) -> str | None:
    """Say why a matcher cannot serve a layer; None if it can."""
    if matcher.needs_grid:
        try:
            refuse_without_grid(matcher, layer, layer)
        except SemrsmError as error:
            return str(error)
    return None


def blocks_of_pairs(
    n_samples: int, n_positions: int, pairs: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield blocks of random pairs: 2k different samples, the first half against the second.

    Args:
        n_samples: How many samples there are, at least 2.
        n_positions: S; the more, the smaller the blocks.
        pairs: How many pairs in all.
        seed: Of the draw.

    Yields:
        (2k,) int64, and how many of the k x k pairs count, row by row.

    >>> [(samples.tolist(), size) for samples, size in blocks_of_pairs(4, 3136, 2, seed=0)]
    [([2, 3], 1), ([1, 0], 1)]
    """
    rng = np.random.default_rng(seed)
    most = min(ENTRIES // n_positions**2, math.ceil(pairs / BLOCKS), (n_samples // 2) ** 2)
    k = max(1, math.isqrt(most))
    for first in range(0, pairs, k * k):
        yield rng.choice(n_samples, 2 * k, replace=False), min(k * k, pairs - first)


def _places(k: int, size: int) -> torch.Tensor:
    import torch

    return torch.cartesian_prod(torch.arange(k), torch.arange(k)).reshape(-1, 2)[:size]


def _read(layer: LayerInput, samples: NDArray[np.int64]) -> torch.Tensor:
    import torch

    return torch.cat([layer.vectors(range(i, i + 1)) for i in samples.tolist()])


def _ready(vectors: torch.Tensor, work: Work) -> tuple[Block, Block]:
    """Make both halves of the samples of a block ready."""
    from semrsm.engine.blocks import ready

    rows, columns = (
        ready(functools.partial(_some, half), range(len(half)), work)
        for half in vectors.tensor_split(2)
    )
    return rows, columns


def _some(vectors: torch.Tensor, samples: range) -> torch.Tensor:
    """Be a source of samples that are read already."""
    return vectors[samples.start : samples.stop]


def _run_block(runner: _Runner, vectors: torch.Tensor, places: torch.Tensor) -> None:
    """Match the pairs of a block and take the time; the first block is matched twice."""
    from semrsm.engine.pairs import match_pairs

    if not runner.ms:
        match_pairs(*_ready(vectors, runner.work), places, runner.work)
    began = time.perf_counter()
    rows, columns = _ready(vectors, runner.work)
    prepared = time.perf_counter()
    found = match_pairs(rows, columns, places, runner.work)
    taken = time.perf_counter() - prepared
    runner.prepared += prepared - began
    runner.samples += len(vectors)
    runner.spent += taken
    runner.ms.append(1000 * taken / len(places))
    runner.matched.append(found.matched.numpy())


def _refer(vectors: torch.Tensor, places: torch.Tensor, work: Work) -> _Reference:
    """Match the pairs of a block optimally and bound them, with and without that matching."""
    from semrsm.engine.certificate import bounds_of_pairs
    from semrsm.engine.pairs import match_pairs

    rows, columns = _ready(vectors, work)
    found = match_pairs(rows, columns, places, work)
    tight, loose = (
        bounds_of_pairs(rows.maps, columns.maps, places, known).numpy()
        for known in (found.permutation, None)
    )
    i, j = places.unbind(1)
    size = rows.maps.squared_norm[i].sqrt() * columns.maps.squared_norm[j].sqrt()
    return _Reference(found.matched.numpy(), tight, loose, size.numpy())


def _trial(
    runner: _Runner,
    layer: LayerInput,
    references: Sequence[_Reference],
    pairs: int,
    seconds: float,
) -> Trial:
    """Sum up what was measured of one matcher."""
    matcher, settings = runner.matcher, runner.work.settings
    parameters = " ".join(f"{name}={getattr(settings, name)}" for name in matcher.parameters)
    what = (layer.layer.name, layer.n_positions, layer.n_channels, matcher.name, parameters)
    if not runner.ms:
        return Trial(*what, reason=runner.problem)
    matched = np.concatenate(runner.matched)
    known = references[: len(runner.ms)]
    optimal, size = (np.concatenate([getattr(r, a) for r in known]) for a in ("optimal", "size"))
    bound = np.concatenate([r.tight if matcher.value == "exact" else r.loose for r in known])
    relative = matched[optimal > 0] / optimal[optimal > 0]
    gap = np.maximum(bound - matched, 0)
    gap = np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0)
    n, rate = layer.n_samples, len(matched) / runner.spent
    prepare = runner.prepared / runner.samples
    of_all = "" if runner.spent > seconds else ", which finding the optimum took"
    return Trial(
        *what,
        pairs=len(matched),
        ms_median=float(np.median(runner.ms)),
        ms_p90=float(np.quantile(runner.ms, 0.9)),
        ms_prepare=1000 * prepare,
        pairs_per_second=rate,
        whole_seconds=n * (n - 1) / 2 / rate + n * prepare,
        relative_mean=float(relative.mean()) if len(relative) else None,
        relative_worst=float(relative[np.abs(relative - 1).argmax()]) if len(relative) else None,
        gap_mean=None if matcher.value == "at least the optimum" else float(gap.mean()),
        reason=f"stopped after {seconds:g} s{of_all}" if len(matched) < pairs else None,
    )


def as_csv(trials: Sequence[Trial]) -> bytes:
    """Return trials as a CSV table with a header line; None is an empty cell.

    >>> as_csv([Trial("l", 4, 2, "pool", "")]).decode().splitlines()[0][:37]
    'layer,n_positions,n_channels,matcher,'
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([f.name for f in fields(Trial)])
    lines.writerows(trial.as_json().values() for trial in trials)
    return text.getvalue().encode()
