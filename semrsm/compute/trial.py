"""Every matcher tried on some pairs of the user's own data: how long it takes and how near it comes."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semrsm.compute.layers import LayerInput, layer_inputs, open_maps
from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.plan import plan_layer, work_of
from semrsm.compute.trial_pairs import band_of, chunks_of_pairs, read
from semrsm.compute.trial_runs import Reference, Runner, refer, unfit
from semrsm.errors import SemrsmError
from semrsm.names import look_up
from semrsm.storage.address import address_of

if TYPE_CHECKING:
    from semrsm.engine.matchers import Matcher

Progress = Callable[[str, int, int], None]

BOUNDS = {"at most the optimum": "lower", "at least the optimum": "upper"}


@dataclass(frozen=True)
class Trial:
    """What a matcher did on some pairs of a layer; what could not be measured is None.

    Attributes:
        layer: Name of the layer.
        n_positions: S.
        n_channels: C.
        matcher: Name of the matcher.
        parameters: Those that it reads, as "topk=128".
        pairs: So many were matched; some of them again, to be timed.
        ms_median: Milliseconds for a pair, median over the chunks of pairs.
        ms_p90: The 90th percentile of the same.
        ms_prepare: Milliseconds for a sample to be made ready (scaled, sorted, trees), mean.
        pairs_per_second: Pairs that were timed over the seconds that matching them took.
        whole_seconds: Estimate of the layer's RSM: its pairs at this rate, each sample prepared once.
        relative_mean: m over the optimal m, mean over the pairs whose optimum is positive.
        relative_worst: The same for the pair that is farthest from 1.
        gap_mean: (upper bound - m) / (|x_i| |x_j|), mean; the bound is that of `compute --certify`.
        reason: Why it was skipped, or measured on fewer pairs than were asked for.
        bound: "upper" or "lower" where the matcher matches nothing and only bounds the optimum.
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
    bound: str | None = None

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
    device: str = "cpu",
    on_progress: Progress = lambda layer, pairs, of: None,
    **reading: Any,
) -> list[Trial]:
    """Match some random pairs of each layer with every matcher, on one CPU thread or a GPU.

    The pairs come in chunks as large as those that `semrsm compute` gives a thread for this layer, a few
    random samples against others; every matcher gets the same chunks, in turn. A chunk is timed as a whole
    and gives milliseconds per pair; there are at least 8 times, the first chunk is matched again for them.
    What a run matches by whole products instead (`identity`, `pool`) is timed on one of up to 64 x 64
    samples. Reading is not timed, and making the samples ready is timed for itself. Before its first
    chunk each matcher runs once, not timed.

    Args:
        activations: Activation file, or `path::layer`.
        layer: Names or globs; none means every map.
        matcher: Keys of MATCHERS; none means all.
        pairs: How many pairs of each layer, at least 1; a pair may be drawn more than once.
        seed: Of the draw, and of random samples.
        seconds: A matcher that has taken longer on a layer is given no further chunk; the optimum,
            its certificate included, is found for all of them and stops the layer.
        device: Where to match: auto, cpu, cuda or cuda:N.
        on_progress: Called with (layer, pairs done, pairs in all).
        **reading: `layout`, `skip_tokens`, `pool`, `samples` and `exclude`, as in `semrsm.compute`.

    Returns:
        A record for each layer and matcher.

    Raises:
        SemrsmError: There is no such file, layer or matcher, or a layer has one sample only.

    Example:
        >>> from semrsm.data import digits_path
        >>> trials = try_matchers(digits_path(), layer=["resnet/layer3"], matcher=["identity"], pairs=9)
        >>> [(trial.matcher, trial.pairs, trial.relative_mean < 1) for trial in trials]
        [('identity', 9, True)]
    """
    from semrsm.engine.devices import one_thread
    from semrsm.engine.matchers import MATCHERS

    fixed = {"kernel": "linear", "device": device, "threads": 1}
    options = options_of({"layer": list(layer), "seed": seed, **fixed, **reading})
    if pairs < 1 or not seconds > 0:
        raise SemrsmError(
            f"at least one pair and some time are needed, got {pairs} pairs and {seconds} seconds;"
            " change `pairs` or `seconds`"
        )
    matchers = [look_up(MATCHERS, name, "matcher") for name in matcher or MATCHERS]
    path, named = address_of(activations)
    with open_maps(path) as file, one_thread():
        trials = []
        for rows in layer_inputs(file, named, options):
            if rows.n_samples < 2:
                raise SemrsmError(f"{rows.address} has one sample, and a pair needs two")
            trials += _try_layer(rows, matchers, options, pairs, seed, seconds, on_progress)
    return trials


def _try_layer(
    layer: LayerInput,
    matchers: Sequence[Matcher],
    options: RunOptions,
    pairs: int,
    seed: int,
    seconds: float,
    on_progress: Progress,
) -> list[Trial]:
    """Match the same chunks of pairs of one layer with every matcher, chunk by chunk."""
    from semrsm.engine.matchers import MATCHERS

    name, done, bounding = layer.layer.name, 0, 0.0
    runners = [
        Runner(work_of(replace(options, matcher=m.name), layer), unfit(m, layer)) for m in matchers
    ]
    optimal = plan_layer(layer, layer, replace(options, matcher=MATCHERS["optimal"].name))
    references: list[Reference] = []
    first = None
    on_progress(name, 0, pairs)
    for chunk in chunks_of_pairs(layer.n_samples, pairs, optimal.budget.chunk, seed):
        vectors = read(layer, chunk.rows), read(layer, chunk.columns)
        first = first or (chunk, *vectors)
        began = time.perf_counter()
        references.append(refer(chunk, *vectors, optimal.work))
        bounding += time.perf_counter() - began
        for runner in runners:
            if runner.problem is None and runner.spent <= seconds:
                runner.run(chunk, *vectors)
        done += chunk.size
        on_progress(name, done, pairs)
        if bounding > seconds:
            break
    _time_bands(layer, runners, seed, seconds)
    for runner in runners:
        if runner.matcher.in_chunks and first is not None:
            runner.run_again(*first, seconds)
    return [_trial(runner, layer, references, pairs, seconds) for runner in runners]


def _time_bands(layer: LayerInput, runners: Sequence[Runner], seed: int, seconds: float) -> None:
    """Time the matchers that a run gives whole products, on one of them."""
    wide = [runner for runner in runners if not runner.matcher.in_chunks and runner.matched]
    if not wide:
        return
    band = band_of(layer.n_samples, seed)
    vectors = read(layer, band.rows), read(layer, band.columns)
    for runner in wide:
        runner.run_again(band, *vectors, seconds)


def _trial(
    runner: Runner,
    layer: LayerInput,
    references: Sequence[Reference],
    pairs: int,
    seconds: float,
) -> Trial:
    """Sum up what was measured of one matcher."""
    matcher, settings = runner.matcher, runner.work.settings
    parameters = " ".join(f"{name}={getattr(settings, name)}" for name in matcher.parameters)
    what = (layer.layer.name, layer.n_positions, layer.n_channels, matcher.name, parameters)
    bound = None if matcher.permutation else BOUNDS[matcher.value]
    if not runner.matched:
        return Trial(*what, reason=runner.problem, bound=bound)
    matched = np.concatenate(runner.matched)
    known = references[: len(runner.matched)]
    optimal, size = (np.concatenate([getattr(r, a) for r in known]) for a in ("optimal", "size"))
    highest = np.concatenate([r.tight if matcher.value == "exact" else r.loose for r in known])
    relative = matched[optimal > 0] / optimal[optimal > 0]
    gap = np.maximum(highest - matched, 0)
    gap = np.divide(gap, size, out=np.zeros_like(gap), where=gap > 0)
    n, rate = layer.n_samples, runner.timed / runner.spent
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
        bound=bound,
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
    return text.getvalue().encode("utf-8", "backslashreplace")
