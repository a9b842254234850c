"""RSMs of the same samples, in the same order, or a refusal: by ids, else by what their files record."""

from __future__ import annotations

from collections.abc import Sequence

from semrsm.errors import SemrsmError
from semrsm.rsms import Rsm
from semrsm.storage.rsm_file import Source

MATCH_IDS = "match their ids with `align=True`"  # what else may be done where ids are shared


def check_same_samples(
    rsms: Sequence[Rsm], otherwise: str, *, by_position: bool = False
) -> str | None:
    """Refuse RSMs that are known to be of different samples.

    Where two of them have ids of their samples, those decide. Else two records of different samples,
    out of files of equally many, show that the samples differ. RSMs of one file, and of equal samples
    of one activation file, are of the same.

    Args:
        rsms: Their rows are compared.
        otherwise: What else may be done, for sentences; MATCH_IDS is said only where ids are shared.
        by_position: Row i of all is of one sample, whatever ids and records say.

    Returns:
        A sentence where nothing shows that the samples are the same, and nothing that they differ.

    Raises:
        SemrsmError: They differ in their number, or in their samples or the order of these.
    """
    first = rsms[0]
    for rsm in rsms:
        if rsm.shape[0] != first.shape[0]:
            raise SemrsmError(
                f"{first.address} has {first.shape[0]} samples and {rsm.address} {rsm.shape[0]};"
                f" compute both from the same samples{_or(otherwise, first, rsm)}"
            )
    if by_position:
        return None
    unsure: list[tuple[Rsm, Rsm]] = []
    kinds: list[Rsm] = []  # RSMs that differ in what is known of their samples
    for rsm in rsms:
        for other in kinds:
            if other.samples is not None and rsm.samples is not None:
                _refuse_other_ids(other, rsm, otherwise)
            else:
                _refuse_other_numbers(other, rsm, otherwise)
        if all(_known_of(rsm) != _known_of(other) for other in kinds):
            unsure += [(other, rsm) for other in kinds[:1] if not _are_same(other, rsm)]
            kinds.append(rsm)
    if not unsure:
        return None
    a, b = unsure[0]
    more = f" and {len(unsure) - 1} more" if len(unsure) > 1 else ""
    return (
        f"nothing shows that {a.address} and {b.address}{more} are of the same samples, and nothing that"
        " they are not: row i of each is taken for one sample; ids in the activation files would tell"
    )


def _or(otherwise: str, a: Rsm, b: Rsm) -> str:
    """Return what else may be done with two RSMs, to follow "compute both from the same samples"."""
    return f", or {otherwise}" if otherwise != MATCH_IDS or _share_ids(a, b) else ""


def _share_ids(a: Rsm, b: Rsm) -> bool:
    return not set(a.samples or ()).isdisjoint(b.samples or ())


def _known_of(rsm: Rsm) -> tuple[object, ...]:
    ids = None if rsm.samples is None else tuple(rsm.samples)
    return ids, rsm.taken, rsm.source or rsm.path


def _are_same(a: Rsm, b: Rsm) -> bool:
    if a.samples is not None and b.samples is not None:
        return True  # or it would have been refused
    same_numbers = a.taken is not None and a.taken == b.taken
    return a.path == b.path or (same_numbers and _of_one_file(a.source, b.source))


def _of_one_file(a: Source | None, b: Source | None) -> bool:
    """Say whether two RSMs are of one activation file, or of it and a copy under another name."""
    if a is None or b is None:
        return False
    (path, size, changed, digest), (path_b, size_b, changed_b, digest_b) = a, b
    one = (path, size, changed) == (path_b, size_b, changed_b)
    return one or (size, digest) == (size_b, digest_b)


def _refuse_other_ids(a: Rsm, b: Rsm, otherwise: str) -> None:
    ours, theirs = a.samples or [], b.samples or []
    if ours == theirs:
        return
    where = next(i for i, (x, y) in enumerate(zip(ours, theirs, strict=True)) if x != y)
    same = sorted(ours) == sorted(theirs)
    helps = otherwise != MATCH_IDS or _share_ids(a, b)
    raise SemrsmError(
        f"{a.address} and {b.address} hold"
        f" {'the same samples in another order' if same else 'different samples'}: sample {where} is"
        f" '{ours[where]}' and '{theirs[where]}'"
        f"{f'; {otherwise}' if helps else ', and no id is in both; compute both from the same samples'}"
    )


def _refuse_other_numbers(a: Rsm, b: Rsm, otherwise: str) -> None:
    if a.taken is None or b.taken is None or a.taken.numbers == b.taken.numbers:
        return
    if a.taken.of is not None and b.taken.of is not None and a.taken.of != b.taken.of:
        return
    raise SemrsmError(
        f"{a.address} holds {a.taken} and {b.address} {b.taken}, which are not the same; compute both"
        f" from the same samples{_or(otherwise, a, b)}, or say `by_position=True` if row i of each is of one"
        " sample"
    )
