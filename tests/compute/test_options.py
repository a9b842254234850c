"""Options: sizes, slices, counts, and what is made of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compute.options import (
    RunOptions,
    options_of,
    sample_range,
)
from semrsm.compute.parsers import parse_memory
from semrsm.errors import SemrsmError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1), ("1b", 1), ("2k", 2000), ("2KB", 2000), ("2 KiB", 2048), ("1.5M", 1_500_000),
        ("1.5MiB", 3 << 19), ("4g", 4 * 10**9), ("4Gi", 4 << 30), ("1TiB", 1 << 40), (123, 123),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert parse_memory(text) == size


@given(
    n=st.integers(1, 50),
    start=st.none() | st.integers(-60, 60),
    stop=st.none() | st.integers(-60, 60),
    step=st.none() | st.integers(1, 9),
)
def test_samples_mean_what_python_means(
    n: int, start: int | None, stop: int | None, step: int | None
) -> None:
    text = ":".join("" if part is None else str(part) for part in (start, stop, step))
    samples = options_of({"samples": text}).samples
    expected = range(n)[start:stop:step]
    if any(part is not None and abs(part) > n for part in (start, stop)):
        with pytest.raises(SemrsmError, match=f"beyond the {n} samples"):
            sample_range(samples, n)
    elif expected:
        assert sample_range(samples, n) == expected
    else:
        with pytest.raises(SemrsmError, match="leaves none"):
            sample_range(samples, n)


def test_defaults_are_as_documented() -> None:
    options = options_of({})
    assert options == RunOptions()
    assert (options.kernel, options.matcher, options.sigma) == (("cosine",), "optimal", "median")


def test_a_kernel_named_twice_is_computed_once() -> None:
    assert options_of({"kernel": ["rbf", "linear", "rbf"]}).kernel == ("rbf", "linear")
