"""Numbers of samples as text and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from semrsm.sample_numbers import Taken, compact, ranges_of, runs_of, spans

NUMBERS = st.sets(st.integers(0, 60)).map(sorted)


@given(NUMBERS)
def test_what_is_written_is_read(numbers: list[int]) -> None:
    found = ranges_of(spans(numbers)) if numbers else []
    assert [i for part in found for i in part] == numbers
    assert [i for run in runs_of(compact(numbers)) for i in run] == numbers
    assert [i for run in runs_of(tuple(numbers)) for i in run] == numbers
    taken = Taken.of_text(spans(numbers), 61, len(numbers))
    assert taken == Taken(compact(numbers), 61) if numbers else taken is None


@given(st.integers(0, 9), st.integers(0, 40), st.integers(1, 9))
def test_equal_numbers_are_equal_however_they_came(start: int, stop: int, step: int) -> None:
    part = range(start, stop, step)
    assert compact(part) == compact(tuple(part)) == compact(list(part))
    assert spans(part) == spans(tuple(part))


@given(st.text("0123456789,: x", max_size=12))
def test_any_text_is_numbers_or_none(text: str) -> None:
    found = Taken.of_text(text, 20, 3)
    assert found is None or (len(found.numbers) == 3 and max(found.numbers) < 20)


def test_records_that_are_none_are_refused() -> None:
    for text in ("0:99999999999999", "2,1,0", "0,0,1", "17:20", "", "a"):
        assert Taken.of_text(text, 19, 3) is None
