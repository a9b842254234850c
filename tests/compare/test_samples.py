"""RSMs read by strips of whole chunks: the same rows, each chunk read once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compare import samples
from semrsm.compare.samples import by_strips


@given(n=st.integers(1, 40), step=st.integers(1, 9), chunk=st.integers(1, 12))
def test_rows_by_strips_are_the_rows_and_no_strip_is_read_twice(
    n: int, step: int, chunk: int
) -> None:
    matrix, reads = np.arange(n * n, dtype=np.float32).reshape(n, n), []

    def rows(wanted: slice) -> np.ndarray:
        reads.append((wanted.start, wanted.stop))
        return matrix[wanted]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "CHUNK", chunk)
        patch.setattr(samples, "BLOCK_BYTES", 0)
        read = by_strips(rows, n)
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            np.testing.assert_array_equal(read(part), matrix[part])
    assert len(reads) == len(set(reads)) == -(-n // chunk)


def test_what_is_too_large_or_read_whole_is_read_as_it_is() -> None:
    def rows(_: slice) -> np.ndarray:
        raise AssertionError

    assert by_strips(rows, 100) is rows
    assert by_strips(rows, 1_000_000) is rows
    assert by_strips(rows, 50_000) is not rows
