"""Model RSMs: what an RSM would be if nothing but the labels of the samples counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm
from semrsm.storage.address import address_of
from semrsm.storage.labels import read_labels, rows_of

PREFIX = "labels:"  # of an address of labels that stand for an RSM
MATCHER = "labels"  # what stands where an RSM file has its matcher


def is_model(address: str | Path | Rsm) -> bool:
    """Say whether an address is one of labels.

    >>> is_model("labels:digits.h5::labels"), is_model("labels.csv")
    (True, False)
    """
    return not isinstance(address, Rsm) and str(address).startswith(PREFIX)


def file_of(address: str | Path) -> str:
    """Return an address without what makes it one of labels."""
    return str(address).removeprefix(PREFIX)


def model_of(address: str | Path, like: Rsm, by_position: bool = False) -> Rsm:
    """Return the model RSM of labels: entry (i, j) is how much i and j have in common.

    That is 2 |A & B| / (|A| + |B|) of the label sets A and B of the two samples; with one label each 1
    where they are equal, else 0. One minus it is the categorical model RDM of RSA.

    Args:
        address: `labels:` and what `read_labels` reads.
        like: An RSM of the same samples: labels are found by its ids, or stand in its order.
        by_position: Row i of the labels is of sample i, whatever ids they have.

    Raises:
        SemrsmError: There are no such labels, they do not fit the samples, or a sample has none.
    """
    labels = read_labels(file_of(address), by_position=by_position)
    rows = rows_of(labels, like.shape[0], like.samples, like.address, like.taken)
    sets = [labels.sets[row] for row in rows]
    if not all(sets):
        nameless = next(i for i, labels_of in enumerate(sets) if not labels_of)
        raise SemrsmError(
            f"{file_of(address)}: sample {nameless} has no label and so no place in a model; give it one,"
            " or leave the sample out"
        )
    path, name = address_of(file_of(address))
    return replace(
        like,
        path=Path(f"{PREFIX}{path}"),
        layer=name,
        matcher=MATCHER,
        kernel=None,
        rows=similarity_of(sets),
        constant_part=lambda: None,
    )


def similarity_of(sets: Sequence[frozenset[str]]) -> Callable[[slice], NDArray[np.floating]]:
    """Return what gives rows of the model RSM of label sets, (k, n) float32; none may be empty.

    >>> similarity_of([frozenset("a"), frozenset("ab"), frozenset("b")])(slice(0, 2)).tolist()
    [[1.0, 0.6666666865348816, 0.0], [0.6666666865348816, 1.0, 0.6666666865348816]]
    """
    from scipy import sparse  # every command would wait for it

    place = {label: k for k, label in enumerate(sorted(frozenset().union(*sets)))}
    sizes = np.array([len(labels) for labels in sets], dtype=np.float32)
    columns = [place[label] for labels in sets for label in labels]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    ones = np.ones(len(columns), dtype=np.float32)
    has = sparse.csr_array((ones, columns, starts), shape=(len(sets), len(place)))

    def rows(span: slice) -> NDArray[np.floating]:
        common = (has[span] @ has.T).toarray()
        return 2 * common / (sizes[span, None] + sizes)

    return rows
