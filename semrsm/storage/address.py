"""Addresses: `path` or `path::layer`, how a file and one array in it are named everywhere."""

from __future__ import annotations

from pathlib import Path


def split_address(address: str | Path) -> tuple[Path, str | None]:
    """Split `path::layer` into its parts; the layer is None where there is none.

    >>> split_address("dump.h5::encoder/layer4")
    (PosixPath('dump.h5'), 'encoder/layer4')
    """
    path, _, layer = str(address).partition("::")
    return Path(path), layer.strip("/") or None


def address_of(address: str | Path) -> tuple[Path, str | None]:
    """Split an address into path and layer; a file whose own name holds "::" wins."""
    path = Path(address)
    return (path, None) if path.exists() else split_address(address)
