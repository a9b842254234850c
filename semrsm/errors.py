"""The one error that users see."""

from __future__ import annotations


class SemrsmError(Exception):
    """Something is wrong with the data or the run, in one sentence a user can act on.

    The sentence says what was wanted, what came (file, layer, sample) and what to do next. Commands
    print it without a traceback and exit with code 1. Deep code raises it short; the code that knows
    the file and the layer puts them in front with `within`. An option stands in backticks as a caller
    in Python gives it; the command line puts its flag there (cli/console.py).

    >>> raise SemrsmError("sample 3 holds NaN; leave it out with `exclude='3'`").within("a.h5::layer1")
    Traceback (most recent call last):
        ...
    semrsm.errors.SemrsmError: a.h5::layer1: sample 3 holds NaN; leave it out with `exclude='3'`
    """

    def within(self, place: object) -> SemrsmError:
        """Return the same error with `place` (a file, `path::layer`) in front, unless it is there."""
        if str(self).startswith(f"{place}: "):
            return self
        return type(self)(f"{place}: {self}")
