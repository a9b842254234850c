"""The rows of MEASURES that ask for the k nearest neighbours of each sample."""

from __future__ import annotations

from functools import partial
from math import inf

from semrsm.measures import neighbours
from semrsm.measures.measure import OF_ORDER, OF_PAIRS, Measure, Need
from semrsm.measures.references import HUH, KLABUNDE


def of_neighbours(k: int) -> tuple[Measure, ...]:
    """Return the measures of nearest neighbours for k of them, k >= 1.

    >>> [measure.min_samples for measure in of_neighbours(3)]
    [5, 5, 5]
    """
    need = Need(resample=29, sample=140 * k + 1000, kept_sample=16 * k)
    prepare = partial(neighbours.prepare_neighbours, k=k)  # one for all three: they share it
    return (
        Measure(
            name="mutual-knn",
            summary=f"share of the {k} nearest neighbours that K and L have in common",
            formula=f"mean over i of |N_K(i) ∩ N_L(i)| / {k}, i itself excluded",
            range=(0.0, 1.0),
            invariances=OF_ORDER,
            min_samples=k + 2,
            reference=HUH,
            doi="10.48550/arXiv.2405.07987",
            neighbours=k,
            need=need,
            prepare=prepare,
            compare=neighbours.compare_mutual,
            permute=neighbours.permute_neighbours,
        ),
        Measure(
            name="jaccard-knn",
            summary=f"Jaccard similarity of the sets of {k} nearest neighbours in K and in L",
            formula="mean over i of |N_K(i) ∩ N_L(i)| / |N_K(i) ∪ N_L(i)|, i itself excluded",
            range=(0.0, 1.0),
            invariances=OF_ORDER,
            min_samples=k + 2,
            reference=KLABUNDE,
            doi="10.48550/arXiv.2305.06329",
            neighbours=k,
            need=need,
            prepare=prepare,
            compare=neighbours.compare_jaccard,
            permute=neighbours.permute_neighbours,
        ),
        Measure(
            name="cknna",
            summary=f"debiased alignment (HSIC_1) of the common {k} nearest neighbours only",
            formula="HSIC_1(M∘K, M∘L) / √(HSIC_1(M_K∘K, M_K∘K) HSIC_1(M_L∘L, M_L∘L)),"
            " M_K[i,j] = 1 if j is in N_K(i), M = M_K∘M_L",
            range=(-inf, inf),
            symmetric=False,
            invariances=OF_PAIRS,
            min_samples=k + 2,
            reference=HUH,
            doi="10.48550/arXiv.2405.07987",
            neighbours=k,
            need=need,
            prepare=prepare,
            compare=neighbours.compare_cknna,
            permute=neighbours.permute_neighbours,
        ),
    )
