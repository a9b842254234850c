"""What a comparison is asked for: measures, and what they correlate."""

from __future__ import annotations

from collections.abc import Sequence

from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES, Measure, of_neighbours
from semrsm.measures.rdm import RDMS, Rdm
from semrsm.names import look_up

DEFAULT_MEASURES = ("cka", "cka-debiased")


def measures_of(names: Sequence[str], neighbours: int | None = None) -> list[Measure]:
    """Return the measures of these names, or DEFAULT_MEASURES; for as many neighbours as are asked for.

    Raises SemrsmError if there is no such measure, or none asks for neighbours.
    """
    names = names or DEFAULT_MEASURES
    table = MEASURES
    if neighbours is not None:
        if neighbours < 1:
            raise SemrsmError(f"neighbours must be at least 1, got {neighbours}")
        of_these = {measure.name: measure for measure in of_neighbours(neighbours)}
        table = MEASURES | of_these
        if not of_these.keys() & set(names):
            raise SemrsmError(
                f"`neighbours` is for {', '.join(of_these)}; name one of them with `measure`, or leave"
                " `neighbours` out"
            )
    return [look_up(table, name, "measure") for name in dict.fromkeys(names)]


def rdm_of(name: str | None, rows: Sequence[Measure], distance: bool) -> Rdm | None:
    """Return what is to be made of RSMs; None where no name is given.

    Raises SemrsmError if there is no such RDM, no measure takes it, or matrices hold distances already.
    """
    if name is None:
        return None
    conversion = look_up(RDMS, name, "RDM")
    if not any(row.of_pairs for row in rows):
        of_pairs = ", ".join(row.name for row in MEASURES.values() if row.of_pairs)
        raise SemrsmError(
            f"`rdm` is for {of_pairs}; name one of them with `measure`, or leave `rdm` out"
        )
    if distance and conversion.negative_half is not None:
        raise SemrsmError(
            "`rdm` makes distances and `distance` says that they are there; leave one out"
        )
    return conversion
