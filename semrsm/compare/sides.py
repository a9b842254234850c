"""The RSMs of the rows and of the columns of a table, from their addresses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semrsm.compare.models import is_model, model_of
from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm, open_rsms, stored_kernels
from semrsm.storage.address import address_of
from semrsm.storage.rsm_file import is_rsm_file


def open_sides(
    addresses: Sequence[str | Path | Rsm],
    layers: tuple[str, ...],
    kernel: str | None,
    kernel_b: str | None,
    stored: bool,
    by_position: bool = False,
) -> tuple[list[Rsm], list[Rsm]]:
    """Return the RSMs of the table's rows and of its columns.

    Args:
        addresses: RSM files, plain matrices and models; one is compared with itself, more than two each
            with each.
        layers: Globs, for every file.
        kernel: For all of them; None takes the first that the first RSM file stores.
        kernel_b: Another one for the second of two.
        stored: As in `open_rsms`.
        by_position: Row i of the labels of a model is of sample i.

    Raises:
        SemrsmError: A file, layer or kernel is missing, or all are models.
    """
    if kernel_b is not None and len(addresses) > 2:
        raise SemrsmError(
            f"`kernel_b` is for the second of two files and there are {len(addresses)}; use `kernel`"
        )
    files = [address for address in addresses if not is_model(address)]
    if not files:
        raise SemrsmError(
            f"{addresses[0]} is a model of the samples of another RSM; name one to compare it with"
        )
    first_stored = next((k for address in files for k in stored_kernels(address)), None)
    first = kernel or first_stored
    like = open_side(files[0], layers, first, stored)[0]

    def open_one(address: str | Path | Rsm, kernel: str | None) -> list[Rsm]:
        if not isinstance(address, Rsm) and is_model(address):
            return [model_of(address, like, by_position)]
        return open_side(address, layers, kernel, stored)

    if len(addresses) == 2 or kernel_b is not None:
        kernels = [first, kernel_b or first]
        sides = [
            open_one(address, k)
            for address, k in zip([addresses[0], addresses[-1]], kernels, strict=True)
        ]
    else:
        once = {a if isinstance(a, str | Path) else id(a): a for a in addresses}
        opened = [rsm for a in once.values() for rsm in open_one(a, first)]
        sides = [opened, opened]
    for keyword, name in (("kernel", kernel), ("kernel_b", kernel_b)):
        if name is not None and not any(rsm.kernel == name for side in sides for rsm in side):
            raise SemrsmError(f"plain matrices have no kernels; leave `{keyword}` out")
    same = [a if isinstance(a, Rsm) else str(a) for a in addresses]
    if len(addresses) == 2 and same[0] == same[1] and kernel_b in (None, first):
        return sides[0], sides[0]
    return sides[0], sides[1]


def open_side(
    address: str | Path | Rsm, layers: tuple[str, ...], kernel: str | None, stored: bool
) -> list[Rsm]:
    """Return the RSMs of one address that is no model; a plain matrix has no kernel."""
    if isinstance(address, Rsm):
        return [address]
    plain = not is_rsm_file(address_of(address)[0])
    return open_rsms(address, layers=layers, kernel=None if plain else kernel, stored=stored)
