"""RSM files -> a table of measures: two files, layer by layer, or many models with each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compare.baseline import difference, result_of
from semrsm.compare.lookup import measures_of, rdm_of
from semrsm.compare.pairs import Compared, Progress, Result, Results, measure_all
from semrsm.compare.rdms import as_rdms, note_of_products
from semrsm.compare.samples import ComparedRsm, as_compared
from semrsm.compare.sides import open_side, open_sides
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.inference import USUAL_RESAMPLES, Inference
from semrsm.measures.intervals import Difference
from semrsm.measures.rdm import Rdm
from semrsm.rsms import Rsm, baseline_of
from semrsm.same_samples import MATCH_IDS, check_same_samples
from semrsm.storage.labels import AddressOrArray, read_views, rows_of

ONLY_VALUES = Inference()


@dataclass(frozen=True)
class ComparisonTable:
    """Measures of pairs of RSMs.

    Attributes:
        results: ((a, b, measure), result), pair by pair.
        inference: What intervals and p-values were asked for.
        notes: What a person should know of how it was made.
        with_neighbours: A column says how many neighbours count.
        rdm: What is made of the RSMs for measures of pairs, if anything was said.
        differences: For each result the address of its baseline and by how much it exceeds it, None
            where that is not known; empty without a baseline.
    """

    results: Sequence[tuple[tuple[Rsm, Rsm, Measure], Result]]
    inference: Inference
    notes: tuple[str, ...] = ()
    with_neighbours: bool = False
    rdm: Rdm | None = None
    differences: Sequence[tuple[str, Difference | None]] = ()

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each value.

        Its keys are a, layer_a, matcher_a, b, layer_b, matcher_b, kernel, measure, value and reason.
        With `neighbours` also that number, and with `rdm` its name, null where it is not for a measure;
        with a bootstrap low and high, with a baseline its address, difference, difference_low,
        difference_high and difference_p, with permutations p; with any of them the seed.
        """
        records = [self._record(*key, result) for key, result in self.results]
        for record, (baseline, d) in zip(records, self.differences, strict=False):
            record["baseline"] = baseline
            record["difference"] = d and d.value
            record |= {f"difference_{end}": d and getattr(d, end) for end in ("low", "high", "p")}
        if self.inference.n_resamples or self.inference.n_permutations:
            records = [record | {"seed": self.inference.seed} for record in records]
        return records

    def _record(self, a: Rsm, b: Rsm, measure: Measure, result: Result) -> dict[str, Any]:
        record: dict[str, Any] = {
            "a": str(a.path),
            "layer_a": a.layer,
            "matcher_a": a.matcher,
            "b": str(b.path),
            "layer_b": b.layer,
            "matcher_b": b.matcher,
            "kernel": "/".join(dict.fromkeys(k for k in (a.kernel, b.kernel) if k)) or None,
            "measure": measure.name,
            "value": result.value,
            "reason": result.reason,
        }
        if self.with_neighbours:
            record |= {"neighbours": measure.neighbours}
        if self.rdm:
            record |= {"rdm": self.rdm.name if measure.of_pairs else None}
        if self.inference.n_resamples:
            record |= {"low": result.low, "high": result.high}
        if self.inference.n_permutations:
            record |= {"p": result.p}
        return record


def compare(
    addresses: Sequence[str | Path | Rsm],
    *,
    measures: Sequence[str] = (),
    layers: tuple[str, ...] = (),
    kernel: str | None = None,
    kernel_b: str | None = None,
    matched_layers: bool = False,
    distance: bool = False,
    align: bool = False,
    by_position: bool = False,
    neighbours: int | None = None,
    rdm: str | None = None,
    inference: Inference = ONLY_VALUES,
    clusters: AddressOrArray | None = None,
    baseline: str | Path | Rsm | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
) -> ComparisonTable:
    """Compare RSMs by one or more measures.

    Two files give all pairs of a layer of the first and one of the second; a single file is compared
    with itself; of more files every RSM is compared with every one, itself included. The value of a
    symmetric measure is computed once and stands in the table both ways.

    Args:
        addresses: RSM files or plain matrices, `path` or `path::layer`; or `labels:path::array`, a
            model: 1 where two samples have the same label, else 0.
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
        neighbours: How many nearest neighbours of a sample count in mutual-knn, jaccard-knn and
            cknna; None means 10.
        rdm: A key of RDMS: what rsa-* and cosine correlate; none means the entries of the RSMs.
        inference: Intervals and p-values.
        clusters: What `read_views` reads: samples with one label are drawn together. None draws each by
            itself.
        baseline: An RSM, or a file with layers of the same names: for a and b the difference of the
            measure of a and b and that of the baseline and b, with 95 % interval and p, all from the
            same resamples; 1000 unless `inference` says how many.
        memory: Bytes that may be taken; None means half of the machine's.
        on_progress: Called with (measures, values computed, of all), resampled ones included.

    Raises:
        SemrsmError: A file, layer, kernel or measure is missing; an RSM is rectangular; samples differ;
            it does not fit in memory; or not one value is defined, with the reason of the first.

    Example:
        >>> table = compare(["a.rsm.h5", "b.rsm.h5"], measures=["rsa-spearman"])  # doctest: +SKIP
        >>> table.records()[0]["value"]  # doctest: +SKIP
        0.8123
    """
    rows = measures_of(measures, neighbours)
    conversion = rdm_of(rdm, rows, distance)
    stored = conversion is None or conversion.negative_half is None
    left, right = open_sides(addresses, layers, kernel, kernel_b, stored, by_position)
    rsms = left if left is right else [*left, *right]
    if distance and all(rsm.matcher is not None for rsm in rsms):
        raise SemrsmError("`distance` is for plain matrices and all are RSM files; leave it out")
    columns = range(len(rsms) - len(right), len(rsms))
    pairs = list(itertools.product(range(len(left)), columns))
    notes = []
    if matched_layers:
        pairs, alone = _matched(rsms, pairs)
        notes += [f"no layer of that name to pair with: {', '.join(alone)}"] if alone else []
    bases = (
        [] if baseline is None else open_side(baseline, layers, kernel or rsms[0].kernel, stored)
    )
    if bases and not inference.n_resamples:
        inference = replace(inference, n_resamples=USUAL_RESAMPLES)
    base = [bases.index(baseline_of(rsm, bases)) + len(rsms) for rsm in rsms] if bases else []
    together = [*rsms, *bases]
    compared = as_compared(together, align=align, by_position=by_position, distance=distance)
    if align:
        notes.append(_aligned_note(compared))
    elif unsure := check_same_samples(together, MATCH_IDS, by_position=by_position):
        notes.append(unsure)
    if clusters is not None:
        inference = replace(inference, clusters=_clusters(clusters, compared[0], by_position))
    of_base = [(base[i], j) for i, j in pairs] if bases else []
    if conversion is None:
        notes += note_of_products(rsms, rows)
    sources, notes_of_sources = _sources(compared, rows, conversion)
    notes += notes_of_sources
    measurements: Results = {}
    for read, sharing in sources:
        measurements |= measure_all(
            read, [*pairs, *of_base], sharing, inference, memory, on_progress
        )
    results = [
        ((rsms[i], rsms[j], row), result_of(measurements, i, j, row))
        for i, j in pairs
        for row in rows
    ]
    differences = []
    if bases:
        for (i, j), row in itertools.product(pairs, rows):
            other = result_of(measurements, base[i], j, row)
            exceeds, reason = difference(
                result_of(measurements, i, j, row), other, inference.method
            )
            notes += [f"no difference: {reason}"] if reason else []
            differences.append((bases[base[i] - len(rsms)].address, exceeds))
    if all(result.value is None for _, result in results):
        raise SemrsmError(results[0][1].reason or "no value is defined")
    notes, by_hand = list(dict.fromkeys(notes)), neighbours is not None
    return ComparisonTable(results, inference, tuple(notes), by_hand, conversion, differences)


def _clusters(
    address: AddressOrArray, compared: ComparedRsm, by_position: bool
) -> NDArray[np.intp]:
    """Return which samples are drawn together, (n,): those with one label."""
    views, rsm = read_views(address, by_position=by_position), compared.rsm
    rows = rows_of(views, rsm.shape[0], rsm.samples, rsm.address, rsm.taken)
    names = np.array([next(iter(views.sets[row])) for row in rows])
    codes = np.unique(names, return_inverse=True)[1]
    return codes if compared.order is None else codes[compared.order]


def _sources(
    compared: list[ComparedRsm], rows: list[Measure], conversion: Rdm | None
) -> tuple[list[tuple[Sequence[Compared], list[Measure]]], list[str]]:
    """Return what is read and the measures that read it, and what a person should know of it."""
    if conversion is None or conversion.negative_half is None:
        return [(compared, rows)], []
    rdms, notes = as_rdms(compared, conversion)
    of_pairs, others = ([row for row in rows if row.of_pairs is flag] for flag in (True, False))
    return [(rdms, of_pairs), *([(compared, others)] if others else [])], notes


def _matched(
    rsms: Sequence[Rsm], pairs: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Return the pairs of layers with equal names, and the RSMs that are in none with another."""
    matched = [(i, j) for i, j in pairs if rsms[i].layer == rsms[j].layer]
    if not matched:
        i, j = pairs[0]
        raise SemrsmError(
            f"no layer of {rsms[i].path} has its name in {rsms[j].path}; leave `matched_layers` out"
            " or name two layers: path::layer"
        )
    paired = {index for pair in matched for index in pair}
    return matched, [rsms[index].address for index in range(len(rsms)) if index not in paired]


def _aligned_note(compared: Sequence[ComparedRsm]) -> str:
    counts = dict.fromkeys(f"{c.rsm.path} holds {c.rsm.shape[0]}" for c in compared)
    return f"aligned {compared[0].shape[0]} samples that all have in common: {', '.join(counts)}"
