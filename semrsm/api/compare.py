"""`semrsm.compare` from Python: how alike RSMs are, as records."""

from __future__ import annotations

from typing import Any

from semrsm.api.arguments import (
    Names,
    Progress,
    Records,
    RsmLike,
    bytes_in,
    inference_in,
    names_in,
    rsm_in,
    rsms_in,
)
from semrsm.compare import compare as compare_rsms
from semrsm.compare import noise_ceiling as noise_ceiling_of
from semrsm.errors import SemrsmError
from semrsm.storage.labels import AddressOrArray


def compare(
    *rsm: RsmLike | list[RsmLike],
    measure: Names = (),
    kernel: str | None = None,
    kernel_b: str | None = None,
    layer: Names = (),
    matched_layers: bool = False,
    distance: bool = False,
    align: bool = False,
    by_position: bool = False,
    rdm: str | None = None,
    neighbours: int | None = None,
    noise_ceiling: bool = False,
    bootstrap: int = 0,
    interval: str | None = None,
    clusters: AddressOrArray | None = None,
    baseline: RsmLike | None = None,
    permutations: int = 0,
    seed: int = 0,
    memory: str | int | None = None,
    on_progress: Progress | None = None,
) -> Records:
    """Compare RSMs by one or more measures.

    Two give all pairs of a layer of the first and one of the second; a single one is compared with
    itself; of more every RSM is compared with every one, itself included.

    Args:
        *rsm: RSM files or plain matrices, `path` or `path::layer`; matrices (n, n) in memory; or
            `labels:path::array`, a model: 1 where two samples have the same label, else 0.
        measure: Keys of MEASURES; none means cka and cka-debiased.
        kernel: For all RSM files, finished where not stored; None takes the first that is stored.
        kernel_b: Another kernel for the second of two files.
        layer: Names or globs, for every file; none means all.
        matched_layers: Only pairs of layers with equal names.
        distance: Plain matrices hold distances D and are compared as -D / 2.
        align: Take the samples that all RSMs have, by their ids.
        by_position: Row i of all is of one sample, whatever their ids and records say.
        rdm: A key of RDMS: what rsa-* and cosine correlate; None means the entries of the RSMs.
        neighbours: How many count in mutual-knn, jaccard-knn and cknna; None means 10.
        noise_ceiling: Instead of comparing them with each other, say how alike RSMs of one kind
            (subjects, seeds) are to their mean; most of the other arguments do not go with it.
        bootstrap: Resamples of the samples for 95 % intervals, such as 1000.
        interval: A key of INTERVALS; 1000 resamples unless `bootstrap` says how many.
        clusters: Samples with one label are resampled together: an address, or labels (n,).
        baseline: Also the difference to this RSM, or its layer of the same name, in place of the first.
        permutations: Random orders of the samples for p-values, such as 1000.
        seed: Of both.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        on_progress: Called with (measures, values computed, of all).

    Returns:
        A record for each value: a, layer_a, matcher_a, b, layer_b, matcher_b, kernel, measure, value
        and reason (why a value is None); with intervals low and high, with permutations p, with a
        baseline difference, difference_low, difference_high and difference_p. Its `notes` say what
        should be known.

    Raises:
        SemrsmError: A file, layer, kernel or measure is missing; an RSM is rectangular; samples differ;
            it does not fit in memory; or not one value is defined.

    Example: a matrix is like itself, and like no other to the same degree.
        >>> x = np.random.default_rng(0).normal(size=(10, 4))
        >>> records = compare(x @ x.T, (x @ x.T) ** 2, measure=["cka", "rsa-spearman"])
        >>> [(record["measure"], round(record["value"], 3)) for record in records]
        [('cka', 0.623), ('rsa-spearman', 0.003)]
    """
    common: dict[str, Any] = {
        "measures": names_in(measure, "measure"),
        "layers": names_in(layer, "layer"),
        "kernel": kernel,
        "distance": distance,
        "align": align,
        "by_position": by_position,
        "rdm": rdm,
        "memory": bytes_in(memory),
        "on_progress": on_progress,
    }
    if noise_ceiling:
        unused = {
            "kernel_b": kernel_b,
            "matched_layers": matched_layers,
            "neighbours": neighbours,
            "bootstrap": bootstrap,
            "interval": interval,
            "clusters": clusters is not None,
            "baseline": baseline is not None,
            "permutations": permutations,
        }
        if names := ", ".join(f"`{name}`" for name, value in unused.items() if value):
            raise SemrsmError(f"a noise ceiling takes no {names}; leave that out")
        ceilings = noise_ceiling_of(rsms_in(rsm), **common)
        return Records(ceilings.records(), ceilings.notes)
    table = compare_rsms(
        rsms_in(rsm),
        kernel_b=kernel_b,
        matched_layers=matched_layers,
        neighbours=neighbours,
        inference=inference_in(bootstrap, permutations, seed, interval),
        clusters=clusters,
        baseline=None if baseline is None else rsm_in(baseline, "the baseline"),
        **common,
    )
    return Records(table.records(), table.notes)
