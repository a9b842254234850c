"""RSM files -> a table of measures: two files, layer by layer, or many models with each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semrsm.compare.pairs import Inference, Progress, Result, estimate_all, measure_all
from semrsm.compare.samples import OTHERWISE, ComparedRsm, as_compared
from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES, Measure
from semrsm.names import look_up
from semrsm.rsms import Rsm, open_rsms, stored_kernels
from semrsm.same_samples import check_same_samples
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import is_rsm_file

DEFAULT_MEASURES = ("cka", "cka-debiased")
MINIBATCH = "cka-debiased"  # the measure that batches estimate
ONLY_VALUES = Inference()


@dataclass(frozen=True)
class ComparisonTable:
    """Measures of pairs of RSMs.

    Attributes:
        results: ((a, b, name of the measure), result), pair by pair.
        inference: What intervals and p-values were asked for.
        notes: What a person should know of how it was made.
    """

    results: Sequence[tuple[tuple[Rsm, Rsm, str], Result]]
    inference: Inference
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each value.

        Its keys are a, layer_a, matcher_a, b, layer_b, matcher_b, kernel, measure, value and reason;
        with a bootstrap also low and high, with permutations p, with either the seed.
        """
        return [self._record(*key, result) for key, result in self.results]

    def _record(self, a: Rsm, b: Rsm, measure: str, result: Result) -> dict[str, Any]:
        record: dict[str, Any] = {
            "a": str(a.path),
            "layer_a": a.layer,
            "matcher_a": a.matcher,
            "b": str(b.path),
            "layer_b": b.layer,
            "matcher_b": b.matcher,
            "kernel": "/".join(dict.fromkeys(k for k in (a.kernel, b.kernel) if k)) or None,
            "measure": measure,
            "value": result.value,
            "reason": result.reason,
        }
        if self.inference.n_resamples:
            record |= {"low": result.low, "high": result.high}
        if self.inference.n_permutations:
            record |= {"p": result.p}
        if self.inference.n_resamples or self.inference.n_permutations:
            record |= {"seed": self.inference.seed}
        return record


def compare(
    addresses: Sequence[str | Path],
    *,
    measures: Sequence[str] = (),
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    kernel_b: str | None = None,
    matched_layers: bool = False,
    distance: bool = False,
    align: bool = False,
    by_position: bool = False,
    inference: Inference = ONLY_VALUES,
    minibatch: int | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> ComparisonTable:
    """Compare RSMs by one or more measures.

    Two files give all pairs of a layer of the first and one of the second; a single file is compared
    with itself; of more files every RSM is compared with every one, itself included. The value of a
    symmetric measure is computed once and stands in the table both ways.

    Args:
        addresses: RSM files or plain matrices, `path` or `path::layer`.
        measures: Keys of MEASURES; none means cka and cka-debiased.
        layers: Globs of layers, for every file; none means all.
        kernel: A kernel for all RSM files, finished where not stored; None takes the first that the
            first RSM file stores.
        kernel_b: Another kernel for the second of two files.
        matched_layers: Only pairs of layers with equal names.
        distance: Plain matrices hold distances D and are compared as -D / 2. For squared distances D
            that gives the CKA of the inner products; rank measures only need the sign.
        align: Take the samples that all RSMs have, by their ids.
        by_position: Row i of all is of one sample, whatever their ids and records say.
        inference: Intervals and p-values.
        minibatch: Estimate cka-debiased from batches of at least so many samples (Nguyen et al.,
            2021), named cka-debiased@<size>; the values of all other pairs of samples are not used.
        memory: Bytes that may be taken; None means half of the machine's.
        on_progress: Called with (measures, pairs of RSMs done, of all).

    Raises:
        SemrsmError: A file, layer, kernel or measure is missing; an RSM is rectangular; samples differ;
            it does not fit in memory; or not one value is defined, with the reason of the first.

    Example:
        >>> table = compare(["a.rsm.h5", "b.rsm.h5"], measures=["rsa-spearman"])  # doctest: +SKIP
        >>> table.records()[0]["value"]  # doctest: +SKIP
        0.8123
    """
    rows = [look_up(MEASURES, name, "measure") for name in dict.fromkeys(measures)]
    rows = rows or [MEASURES[m] for m in ((MINIBATCH,) if minibatch else DEFAULT_MEASURES)]
    if minibatch is not None:
        _check_minibatch(rows, inference)
    left, right = _open_sides(addresses, layers, kernel, kernel_b)
    rsms = left if left is right else [*left, *right]
    if distance and all(rsm.matcher is not None for rsm in rsms):
        raise SemrsmError("--distance is for plain matrices and all are RSM files; leave it out")
    columns = range(len(rsms) - len(right), len(rsms))
    pairs = list(itertools.product(range(len(left)), columns))
    notes = []
    if matched_layers:
        pairs, alone = _matched(rsms, pairs)
        notes += [f"no layer of that name to pair with: {', '.join(alone)}"] if alone else []
    compared = as_compared(rsms, align=align, by_position=by_position, distance=distance)
    if align:
        notes.append(_aligned_note(compared))
    elif unsure := check_same_samples(rsms, OTHERWISE, by_position=by_position):
        notes.append(unsure)
    if minibatch is None:
        found = measure_all(compared, pairs, rows, inference, memory, on_progress)
        names = [row.name for row in rows]
    else:
        names = [f"{MINIBATCH}@{minibatch}"]
        found = estimate_all(compared, pairs, names[0], minibatch, memory, on_progress)
    results = [
        ((rsms[i], rsms[j], name), found.get((i, j, name)) or found[j, i, name])
        for i, j in pairs
        for name in names
    ]
    if all(result.value is None for _, result in results):
        raise SemrsmError(results[0][1].reason or "no value is defined")
    return ComparisonTable(results, inference, tuple(notes))


def _check_minibatch(rows: list[Measure], inference: Inference) -> None:
    other = [row.name for row in rows if row.name != MINIBATCH]
    if other:
        raise SemrsmError(
            f"--minibatch estimates {MINIBATCH} and nothing else, not {', '.join(other)}: only its sums"
            " over batches are unbiased; leave --minibatch or those measures out"
        )
    if inference.n_resamples or inference.n_permutations:
        raise SemrsmError("--minibatch gives no intervals and p-values; leave them out")


def _open_sides(
    addresses: Sequence[str | Path],
    layers: tuple[str, ...],
    kernel: str | None,
    kernel_b: str | None,
) -> tuple[list[Rsm], list[Rsm]]:
    """Return the RSMs of the table's rows and of its columns."""
    if kernel_b is not None and len(addresses) > 2:
        raise SemrsmError(
            f"--kernel-b is for the second of two files and there are {len(addresses)}; use --kernel"
        )
    stored = next((k for address in addresses for k in stored_kernels(address)), None)
    first = kernel or stored
    if len(addresses) == 2 or kernel_b is not None:
        kernels = [first, kernel_b or first]
        sides = [
            _open(address, layers, k)
            for address, k in zip([addresses[0], addresses[-1]], kernels, strict=True)
        ]
    else:
        opened = [rsm for a in dict.fromkeys(addresses) for rsm in _open(a, layers, first)]
        sides = [opened, opened]
    for flag, name in (("--kernel", kernel), ("--kernel-b", kernel_b)):
        if name is not None and not any(rsm.kernel == name for side in sides for rsm in side):
            raise SemrsmError(f"plain matrices have no kernels; leave {flag} out")
    if len(addresses) == 2 and str(addresses[0]) == str(addresses[1]) and kernel_b in (None, first):
        return sides[0], sides[0]
    return sides[0], sides[1]


def _open(address: str | Path, layers: tuple[str, ...], kernel: str | None) -> list[Rsm]:
    plain = not is_rsm_file(address_of(address)[0])
    return open_rsms(address, layers=layers, kernel=None if plain else kernel)


def _matched(
    rsms: Sequence[Rsm], pairs: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the pairs of layers with equal names, and the RSMs that are in none with another."""
    matched = [(i, j) for i, j in pairs if rsms[i].layer == rsms[j].layer]
    if not matched:
        i, j = pairs[0]
        raise SemrsmError(
            f"no layer of {rsms[i].path} has its name in {rsms[j].path}; leave --matched-layers out"
            " or name two layers: path::layer"
        )
    paired = {index for pair in matched for index in pair}
    return matched, [rsms[index].address for index in range(len(rsms)) if index not in paired]


def _aligned_note(compared: Sequence[ComparedRsm]) -> str:
    held = dict.fromkeys(f"{c.rsm.path} holds {c.rsm.shape[0]}" for c in compared)
    return f"aligned {compared[0].shape[0]} samples that all have in common: {', '.join(held)}"
