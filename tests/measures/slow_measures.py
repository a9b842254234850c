"""Every measure once more, slowly and by another route: what the package is held against."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import linalg, stats

from semrsm.measures.neighbours import K_NEAREST


def pairs(K):
    return np.array([K[i, j] for i, j in combinations(range(len(K)), 2)], dtype=float)


def cka(K, L):
    H = np.eye(len(K)) - 1 / len(K)
    return np.trace(K @ H @ L @ H) / np.sqrt(np.trace(K @ H @ K @ H) * np.trace(L @ H @ L @ H))


def hsic_1(K, L):
    """Song's trace form; K and L need not be symmetric."""
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    total = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (np.trace(K @ L) + total - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3))


def cka_debiased(K, L):
    return hsic_1(K, L) / np.sqrt(hsic_1(K, K) * hsic_1(L, L))


def rho_a(K, L):
    x, y = stats.rankdata(pairs(K)), stats.rankdata(pairs(L))
    m = len(x)
    return (
        12
        / (m**3 - m)
        * sum((a - (m + 1) / 2) * (b - (m + 1) / 2) for a, b in zip(x, y, strict=True))
    )


def concordance(K, L):
    """(concordant - discordant, untied in K, untied in L, all) pairs of pairs."""
    x, y = pairs(K), pairs(L)
    a = [np.sign(x[p] - x[q]) for p, q in combinations(range(len(x)), 2)]
    b = [np.sign(y[p] - y[q]) for p, q in combinations(range(len(y)), 2)]
    return np.dot(a, b), np.count_nonzero(a), np.count_nonzero(b), len(a)


def tau_a(K, L):
    difference, _, _, every = concordance(K, L)
    return difference / every


def tau_b(K, L):
    difference, untied_k, untied_l, _ = concordance(K, L)
    return difference / np.sqrt(untied_k * untied_l)


def cosine(K, L):
    x, y = pairs(K), pairs(L)
    return sum(x * y) / np.sqrt(sum(x * x) * sum(y * y))


def whitened(K, L, centred):
    n = len(K)
    contrasts = np.array([np.eye(n)[i] - np.eye(n)[j] for i, j in combinations(range(n), 2)])
    V = (contrasts @ contrasts.T) ** 2
    d, e = (pairs(np.diag(M)[:, None] + np.diag(M) - 2 * M) for M in (K, L))
    if centred:
        d, e = d - d.mean(), e - e.mean()
    Vd, Ve = np.linalg.solve(V, d), np.linalg.solve(V, e)
    return d @ Ve / np.sqrt((d @ Vd) * (e @ Ve))


def neighbours(K, i, k=K_NEAREST):
    others = [j for j in range(len(K)) if j != i]
    return set(sorted(others, key=lambda j: (-K[i, j], j))[:k])


def mutual_knn(K, L, k=K_NEAREST):
    return np.mean([len(neighbours(K, i, k) & neighbours(L, i, k)) / k for i in range(len(K))])


def jaccard_knn(K, L, k=K_NEAREST):
    sets = [(neighbours(K, i, k), neighbours(L, i, k)) for i in range(len(K))]
    return np.mean([len(a & b) / len(a | b) for a, b in sets])


def masked(K, *masks, k):
    out = np.zeros(K.shape)
    for i in range(len(K)):
        for j in set.intersection(*(neighbours(M, i, k) for M in masks)):
            out[i, j] = K[i, j]
    return out


def cknna(K, L, k=K_NEAREST):
    squares = [hsic_1(masked(M, M, k=k), masked(M, M, k=k)) for M in (K, L)]
    return hsic_1(masked(K, K, L, k=k), masked(L, K, L, k=k)) / np.sqrt(squares[0] * squares[1])


def nbs(K, L):
    root = linalg.sqrtm(K)
    return np.trace(linalg.sqrtm(root @ L @ root)).real / np.sqrt(np.trace(K) * np.trace(L))


SLOW = {
    "cka": cka,
    "cka-debiased": cka_debiased,
    "angular-cka": lambda K, L: np.arccos(np.clip(cka(K, L), -1, 1)),
    "rsa-pearson": lambda K, L: stats.pearsonr(pairs(K), pairs(L)).statistic,
    "rsa-spearman": lambda K, L: stats.spearmanr(pairs(K), pairs(L)).statistic,
    "rsa-rho-a": rho_a,
    "rsa-kendall-tau-a": tau_a,
    "rsa-kendall-tau-b": tau_b,
    "cosine": cosine,
    "cosine-whitened": lambda K, L: whitened(K, L, centred=False),
    "corr-whitened": lambda K, L: whitened(K, L, centred=True),
    "mutual-knn": mutual_knn,
    "jaccard-knn": jaccard_knn,
    "cknna": cknna,
    "nbs": nbs,
}
