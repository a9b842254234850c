"""Measures: how alike two RSMs are.

>>> import numpy as np
>>> K = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
>>> MEASURES["rsa-spearman"](K, -K)
-1.0
"""

from __future__ import annotations

from math import inf, pi

from semrsm.measures import bures, cka, neighbours, rsa
from semrsm.measures.measure import INVARIANCES, Direction, Invariance, Measure

__all__ = ["INVARIANCES", "MEASURES", "Direction", "Invariance", "Measure"]

EVERY_SHIFT: tuple[Invariance, ...] = ("scaling", "shift", "row-shift", "sample-permutation")
OF_PAIRS: tuple[Invariance, ...] = ("scaling", "diagonal", "sample-permutation")
OF_ORDER: tuple[Invariance, ...] = (*OF_PAIRS, "shift", "monotone")

KORNBLITH = "Kornblith et al.: Similarity of neural network representations revisited. ICML 2019"
SZEKELY = (
    "Székely, Rizzo: Partial distance correlation with methods for dissimilarities."
    " Annals of Statistics 42, 2014 (U-centring); Song et al.: Feature selection via dependence"
    " maximization. JMLR 13, 2012 (HSIC_1)"
)
KRIEGESKORTE = (
    "Kriegeskorte, Mur, Bandettini: Representational similarity analysis."
    " Frontiers in Systems Neuroscience 2, 2008"
)
SCHUTT = "Schütt et al.: Statistical inference on representational geometries. eLife 12, 2023"
NILI = "Nili et al.: A toolbox for representational similarity analysis. PLoS Comput Biol 10, 2014"
KENDALL = "Kendall: The treatment of ties in ranking problems. Biometrika 33, 1945"
DIEDRICHSEN = (
    "Diedrichsen et al.: Comparing representational geometries using whitened"
    " unbiased-distance-matrix similarity. Neurons, Behavior, Data analysis, and Theory 5, 2021"
)
HUH = "Huh et al.: The platonic representation hypothesis. ICML 2024"
KLABUNDE = "Klabunde et al.: Similarity of neural network models: a survey. 2023"
TANG = "Tang et al.: Similarity of neural networks with gradients. 2020"
WILLIAMS = "Williams et al.: Generalized shape metrics on neural representations. NeurIPS 2021"

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
            prepare=cka.prepare_corr_whitened,
            compare=cka.compare_centred,
            resample=cka.resample_corr_whitened,
        ),
        Measure(
            name="mutual-knn",
            summary="share of the 10 nearest neighbours that K and L have in common",
            formula="mean over i of |N_K(i) ∩ N_L(i)| / 10, i itself excluded",
            range=(0.0, 1.0),
            invariances=OF_ORDER,
            min_samples=neighbours.K_NEAREST + 2,
            reference=HUH,
            doi="10.48550/arXiv.2405.07987",
            prepare=neighbours.prepare_neighbours,
            compare=neighbours.compare_mutual,
            resample=neighbours.resampler(neighbours.compare_mutual),
        ),
        Measure(
            name="jaccard-knn",
            summary="Jaccard similarity of the sets of 10 nearest neighbours in K and in L",
            formula="mean over i of |N_K(i) ∩ N_L(i)| / |N_K(i) ∪ N_L(i)|, i itself excluded",
            range=(0.0, 1.0),
            invariances=OF_ORDER,
            min_samples=neighbours.K_NEAREST + 2,
            reference=KLABUNDE,
            doi="10.48550/arXiv.2305.06329",
            prepare=neighbours.prepare_neighbours,
            compare=neighbours.compare_jaccard,
            resample=neighbours.resampler(neighbours.compare_jaccard),
        ),
        Measure(
            name="cknna",
            summary="debiased alignment (HSIC_1) of the common 10 nearest neighbours only",
            formula="HSIC_1(M∘K, M∘L) / √(HSIC_1(M_K∘K, M_K∘K) HSIC_1(M_L∘L, M_L∘L)),"
            " M_K[i,j] = 1 if j is in N_K(i), M = M_K∘M_L",
            range=(-inf, inf),
            symmetric=False,
            invariances=OF_PAIRS,
            min_samples=neighbours.K_NEAREST + 2,
            reference=HUH,
            doi="10.48550/arXiv.2405.07987",
            prepare=neighbours.prepare_neighbours,
            compare=neighbours.compare_cknna,
            resample=neighbours.resampler(neighbours.compare_cknna),
        ),
        Measure(
            name="nbs",
            summary="normalised Bures similarity of positive semidefinite RSMs, not centred",
            formula="tr((K^½ L K^½)^½) / √(tr K tr L)",
            range=(0.0, 1.0),
            invariances=("scaling", "sample-permutation"),
            min_samples=2,
            reference=TANG,
            doi="10.48550/arXiv.2003.11498",
            prepare=bures.prepare_root,
            compare=bures.compare_roots,
            resample=bures.resample_nbs,
        ),
    )
}
