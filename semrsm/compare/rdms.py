"""RDMs of the RSMs of a comparison, for the measures that correlate pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semrsm.compare.samples import ComparedRsm, loaded
from semrsm.engine.kernels import KERNELS
from semrsm.errors import SemrsmError
from semrsm.measures import Measure
from semrsm.measures.rdm import Rdm, RdmMatrix
from semrsm.rsms import Rsm


@dataclass(frozen=True)
class ComparedRdm:
    """The RDM of an RSM as measures read it, in place of the ComparedRsm it is made of.

    Attributes:
        compared: The RSM.
        matrix: Its RDM.
    """

    compared: ComparedRsm
    matrix: RdmMatrix

    @property
    def rsm(self) -> Rsm:
        """The RSM that it is made of."""
        return self.compared.rsm

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.matrix.shape

    @property
    def dtype(self) -> Any:
        """float64."""
        return self.matrix.dtype

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        return self.compared.name

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        """Return the rows of a slice, (k, n)."""
        return self.matrix[rows]

    def loaded(self) -> NDArray[np.floating]:
        """Return all of it, (n, n), made by blocks of rows."""
        return loaded(self)


def as_rdms(compared: Sequence[ComparedRsm], rdm: Rdm) -> tuple[list[ComparedRdm], list[str]]:
    """Return the RDMs of RSMs, and what a person should know of them.

    Raises SemrsmError if correlations are wanted of an RSM that does not hold what they take.
    """
    rdms, plain = [], []
    for one in compared:
        part = _constant_part(one) if rdm.without_means else None
        if rdm.without_means and one.rsm.matcher is None:
            plain.append(one.name)
        rdms.append(ComparedRdm(one, RdmMatrix(one, rdm, part)))
    if not plain:
        return rdms, []
    return rdms, [
        f"{', '.join(dict.fromkeys(plain))}: a plain matrix does not tell the mean of each sample's"
        " values, which is taken for 0: where it is not, this is the cosine, not the correlation"
    ]


def _constant_part(compared: ComparedRsm) -> NDArray[np.float64] | None:
    rsm = compared.rsm
    if rsm.kernel is None:  # a plain matrix, or a model of labels
        return None
    if KERNELS[rsm.kernel].needs_sigma:
        raise SemrsmError(
            f"{rsm.address}: correlations are those of linear and cosine kernels, not of {rsm.kernel};"
            " choose one with `kernel`, or another `rdm`"
        )
    part = rsm.constant_part()
    if part is None:
        raise SemrsmError(
            f"{rsm.address} does not hold the sums of values that correlations take, as files written"
            " before did not; compute it again, or choose another `rdm`"
        )
    return part if compared.order is None else part[compared.order]


def note_of_products(rsms: Sequence[Rsm], measures: Sequence[Measure]) -> list[str]:
    """Say what is correlated where nobody has said it and it is easily taken for something else."""
    names = [measure.name for measure in measures if measure.of_pairs]
    kernels = dict.fromkeys(rsm.kernel for rsm in rsms if rsm.kernel)
    unbounded = [kernel for kernel in kernels if not KERNELS[kernel].bounded]
    if not names or not unbounded:
        return []
    return [
        f"the inner products of the kernel {unbounded[0]} are correlated ({', '.join(names)}), which grow"
        " with the norms of samples; `rdm='correlation'` or `rdm='euclidean'` takes distances, as RSA"
        " mostly does"
    ]
