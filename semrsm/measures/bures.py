"""Normalised Bures similarity: the fidelity of two positive semidefinite RSMs."""

from __future__ import annotations

import numpy as np

from semrsm.errors import SemrsmError
from semrsm.measures.matrices import (
    Floats,
    Integers,
    Matrix,
    check_rsm,
    check_same_size,
)


def prepare_root(matrix: Matrix) -> Floats:
    """Factor an RSM as K / tr K = A Aᵀ; return A, (n, n) float64.

    Negative eigenvalues of the size of float32 rounding are taken for 0.

    Raises SemrsmError if an eigenvalue is more negative (a matched RSM need not be positive
    semidefinite) or all are 0.
    """
    scale = check_rsm(matrix, at_least=2)
    values = np.array(matrix[0 : matrix.shape[0]], dtype=np.float64) / scale
    eigenvalues, vectors = np.linalg.eigh(values)
    n = len(values)
    rounding = 10 * np.sqrt(n) * _precision(matrix) * np.abs(values).max()
    if eigenvalues[0] < -rounding:
        raise SemrsmError(
            "wanted a positive semidefinite RSM, got the eigenvalue"
            f" {eigenvalues[0] * scale:.4g} (largest {eigenvalues[-1] * scale:.4g});"
            " choose another measure, such as cka"
        )
    if eigenvalues[-1] <= 0:
        raise SemrsmError("the RSM is zero, so this measure is undefined; choose another layer")
    eigenvalues = np.clip(eigenvalues, 0.0, None)
    return vectors * np.sqrt(eigenvalues / eigenvalues.sum())


def compare_roots(a: Floats, b: Floats) -> float:
    """Return the sum of the singular values of AᵀB. Raises SemrsmError if they differ in n."""
    check_same_size(len(a), len(b))
    return float(np.clip(np.linalg.svd(a.T @ b, compute_uv=False).sum(), 0.0, 1.0))


def permute_root(root: Floats, order: Integers) -> Floats:
    """Return the factor of an RSM with its samples in another order."""
    return root[order]


def _precision(matrix: Matrix) -> float:
    """The rounding of the RSM's entries, taken for float32's at least."""
    dtype = np.dtype(matrix.dtype)
    single = float(np.finfo(np.float32).eps)
    return max(single, float(np.finfo(dtype).eps)) if dtype.kind == "f" else single
