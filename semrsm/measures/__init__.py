"""Measures: how alike two RSMs are.

>>> import numpy as np
>>> K = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
>>> MEASURES["rsa-spearman"](K, -K)
-1.0
"""

from __future__ import annotations

from math import pi

from semrsm.measures import bures, cka, rsa
from semrsm.measures.measure import (
    EVERY_SHIFT,
    INVARIANCES,
    OF_ORDER,
    OF_PAIRS,
    Direction,
    Invariance,
    Measure,
    Need,
)
from semrsm.measures.neighbour_measures import of_neighbours
from semrsm.measures.neighbours import K_NEAREST
from semrsm.measures.references import (
    DIEDRICHSEN,
    KENDALL,
    KORNBLITH,
    KRIEGESKORTE,
    NILI,
    SCHUTT,
    SZEKELY,
    TANG,
    WILLIAMS,
)

__all__ = ["INVARIANCES", "MEASURES", "Direction", "Invariance", "Measure", "Need", "of_neighbours"]

CENTRED = Need(resample=22)
RANKS = Need(held=4, prepare=26, resample=42)
PAIRS_OF_PAIRS = Need(compare=23, resample=42)  # of Kendall's tau, on ranks

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            name="cka",
            summary="centred kernel alignment, biased (Gretton's HSIC_0): high for few samples",
            formula="<HKH, HLH> / (‖HKH‖ ‖HLH‖), H = I - 11ᵀ/n",
            range=(-1.0, 1.0),
            invariances=EVERY_SHIFT,
            min_samples=2,
            reference=KORNBLITH,
            doi="10.48550/arXiv.1905.00414",
            alias="cka-kernel=linear-hsic=gretton-score",
            need=CENTRED,
            prepare=cka.prepare_cka,
            compare=cka.compare_centred,
            resample=cka.resample_cka,
        ),
        Measure(
            name="cka-debiased",
            summary="centred kernel alignment, debiased (Song's HSIC_1): noisy for few samples",
            formula="cosine of the U-centred matrices: k_ij - r_i - r_j + g, i ≠ j; diagonal 0;"
            " r_i = Σ_{l≠i} k_il / (n-2), g = Σ_{i≠j} k_ij / ((n-1)(n-2))",
            range=(-1.0, 1.0),
            invariances=(*EVERY_SHIFT, "diagonal"),
            min_samples=4,
            reference=SZEKELY,
            doi="10.1214/14-AOS1255",
            alias="cka-kernel=linear-hsic=song-score",
            need=CENTRED,
            prepare=cka.prepare_debiased,
            compare=cka.compare_centred,
            resample=cka.resample_debiased,
        ),
        Measure(
            name="angular-cka",
            summary="the angle of biased CKA in radians: a distance",
            formula="arccos(cka(K, L))",
            direction="larger = less similar",
            range=(0.0, pi),
            invariances=EVERY_SHIFT,
            min_samples=2,
            reference=WILLIAMS,
            doi="10.48550/arXiv.2110.14739",
            need=CENTRED,
            prepare=cka.prepare_cka,
            compare=cka.compare_angle,
            resample=cka.resample_angle,
        ),
        Measure(
            name="rsa-pearson",
            summary="Pearson correlation of the pairs i < j",
            formula="Σ (k_ij - k̄)(l_ij - l̄) / √(Σ (k_ij - k̄)² Σ (l_ij - l̄)²)",
            range=(-1.0, 1.0),
            invariances=(*OF_PAIRS, "shift"),
            min_samples=3,
            reference=KRIEGESKORTE,
            doi="10.3389/neuro.06.004.2008",
            need=Need(held=4, prepare=13, resample=35),
            of_pairs=True,
            prepare=rsa.prepare_pearson,
            compare=rsa.compare_vectors,
            resample=rsa.resampler(rsa.centred_unit_vector, rsa.compare_vectors),
        ),
        Measure(
            name="rsa-spearman",
            summary="Spearman correlation of the pairs i < j, ties sharing their mean rank",
            formula="Pearson correlation of the ranks of k_ij and l_ij",
            range=(-1.0, 1.0),
            invariances=OF_ORDER,
            min_samples=3,
            reference=KRIEGESKORTE,
            doi="10.3389/neuro.06.004.2008",
            alias="rsa-rdm=correlation-compare=spearman",
            need=RANKS,
            of_pairs=True,
            prepare=rsa.prepare_ranks,
            compare=rsa.compare_spearman,
            resample=rsa.resampler(rsa.centred_ranks, rsa.compare_spearman),
        ),
        Measure(
            name="rsa-rho-a",
            summary="Spearman correlation expected when ties are broken at random: for models with ties",
            formula="12 / (m³ - m) Σ (rank k_ij - r̄)(rank l_ij - r̄)",
            range=(-1.0, 1.0),
            invariances=OF_ORDER,
            min_samples=3,
            reference=SCHUTT,
            doi="10.7554/eLife.82566",
            need=RANKS,
            of_pairs=True,
            prepare=rsa.prepare_ranks,
            compare=rsa.compare_rho_a,
            resample=rsa.resampler(rsa.centred_ranks, rsa.compare_rho_a),
        ),
        Measure(
            name="rsa-kendall-tau-a",
            summary="Kendall's tau-a of the pairs i < j: ties count as disagreement in the denominator",
            formula="(concordant - discordant) / (m (m - 1) / 2)",
            range=(-1.0, 1.0),
            invariances=OF_ORDER,
            min_samples=3,
            reference=NILI,
            doi="10.1371/journal.pcbi.1003553",
            need=RANKS | PAIRS_OF_PAIRS,
            of_pairs=True,
            prepare=rsa.prepare_ranks,
            compare=rsa.compare_tau_a,
            resample=rsa.resampler(rsa.centred_ranks, rsa.compare_tau_a),
        ),
        Measure(
            name="rsa-kendall-tau-b",
            summary="Kendall's tau-b of the pairs i < j: corrected for ties",
            formula="(concordant - discordant) / √((not tied in K) (not tied in L))",
            range=(-1.0, 1.0),
            invariances=OF_ORDER,
            min_samples=3,
            reference=KENDALL,
            doi="10.1093/biomet/33.3.239",
            need=RANKS | PAIRS_OF_PAIRS,
            of_pairs=True,
            prepare=rsa.prepare_ranks,
            compare=rsa.compare_tau_b,
            resample=rsa.resampler(rsa.centred_ranks, rsa.compare_tau_b),
        ),
        Measure(
            name="cosine",
            summary="cosine of the pairs i < j, not centred",
            formula="Σ k_ij l_ij / √(Σ k_ij² Σ l_ij²)",
            range=(-1.0, 1.0),
            invariances=OF_PAIRS,
            min_samples=3,
            reference=DIEDRICHSEN,
            doi="10.51628/001c.27664",
            need=Need(held=4, prepare=9, resample=31),
            of_pairs=True,
            prepare=rsa.prepare_cosine,
            compare=rsa.compare_vectors,
            resample=rsa.resampler(rsa.unit_vector, rsa.compare_vectors),
        ),
        Measure(
            name="cosine-whitened",
            summary="whitened cosine (WUC) of the squared distances of K and L; equal to cka",
            formula="dᵀV⁻¹e / √(dᵀV⁻¹d eᵀV⁻¹e), d_ij = k_ii + k_jj - 2 k_ij, e likewise of L,"
            " V = (CCᵀ)∘(CCᵀ) with the pair contrasts C",
            range=(-1.0, 1.0),
            invariances=EVERY_SHIFT,
            min_samples=2,
            reference=DIEDRICHSEN,
            doi="10.51628/001c.27664",
            need=CENTRED,
            prepare=cka.prepare_cka,
            compare=cka.compare_centred,
            resample=cka.resample_cka,
        ),
        Measure(
            name="corr-whitened",
            summary="whitened correlation of the squared distances of K and L, their mean removed",
            formula="cosine-whitened of d - d̄ and e - ē; equal to the cosine of"
            " HKH - tr(HKH)/(n-1) H and the same of L",
            range=(-1.0, 1.0),
            invariances=EVERY_SHIFT,
            min_samples=3,
            reference=DIEDRICHSEN,
            doi="10.51628/001c.27664",
            need=CENTRED,
            prepare=cka.prepare_corr_whitened,
            compare=cka.compare_centred,
            resample=cka.resample_corr_whitened,
        ),
        *of_neighbours(K_NEAREST),
        Measure(
            name="nbs",
            summary="normalised Bures similarity of positive semidefinite RSMs, not centred",
            formula="tr((K^½ L K^½)^½) / √(tr K tr L)",
            range=(0.0, 1.0),
            invariances=("scaling", "sample-permutation"),
            min_samples=2,
            reference=TANG,
            doi="10.48550/arXiv.2003.11498",
            need=Need(held=8, prepare=48, compare=24, resample=64),
            prepare=bures.prepare_root,
            compare=bures.compare_roots,
            resample=bures.resample_nbs,
        ),
    )
}
