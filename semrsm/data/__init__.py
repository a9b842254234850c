"""The embedded example: activations of a small ResNet and a small ViT for handwritten digits."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def digits_path() -> Path:
    """Return the path of the embedded example, an HDF5 file of activations (2 MB).

    It holds the maps of three layers of a ResNet (n, c, h, w) and of four blocks of a ViT (n, t, d)
    for n = 80 samples, 40 digits at two random places each, with labels, logits and view ids. Every
    array, the making and the licence are described in `semrsm/data/README.md`.

    Source of the digits: E. Alpaydin and C. Kaynak (1998), doi:10.24432/C50P49.

    >>> digits_path().name
    'digits.h5'
    """
    return Path(str(files("semrsm.data").joinpath("digits.h5")))
