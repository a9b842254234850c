"""RDMs as rsatoolbox saves them: HDF5, the pairs i < j of every RDM, descriptors beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray


def write_rdms(
    path: Path,
    rdms: Sequence[Callable[[], Iterable[NDArray[np.floating]]]],
    n_samples: int,
    measure: str,
    about_rdms: Mapping[str, Sequence[str]],
    about_samples: Mapping[str, Sequence[str]],
) -> None:
    """Write RDMs of the same samples to a file that `rsatoolbox.rdm.load_rdm` reads.

    Args:
        path: A name where nothing stands.
        rdms: Give the values of the pairs i < j, piece by piece in the order of rows.
        n_samples: n.
        measure: What the values are.
        about_rdms: Descriptor -> a text for each RDM, such as layer.
        about_samples: Descriptor -> a text for each sample, such as its id.
    """
    pairs = n_samples * (n_samples - 1) // 2
    with h5py.File(path, "x", libver=("v108", "v110")) as file:  # attributes of any size
        dataset = file.create_dataset("dissimilarities", (len(rdms), pairs), "float64")
        for k, pieces in enumerate(rdms):
            start = 0
            for piece in pieces():
                dataset[k, start : start + len(piece)] = piece
                start += len(piece)
        file.attrs["dissimilarity_measure"] = measure
        file.create_group("descriptors")
        for name, about, n in (
            ("rdm_descriptors", about_rdms, len(rdms)),
            ("pattern_descriptors", about_samples, n_samples),
        ):
            group = file.create_group(name)
            group["index"] = np.arange(n)
            for key, texts in about.items():
                # What rsatoolbox reads as texts: datasets of ASCII bytes, or attributes of any texts.
                if all(map(str.isascii, texts)):
                    group[key] = np.array([text.encode() for text in texts])
                else:
                    group.attrs[key] = np.array(texts, dtype=h5py.string_dtype())
