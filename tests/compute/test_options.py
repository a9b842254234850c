"""Options: sizes, slices, counts, and what is made of them."""

import re

import pytest

from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.parsers import parse_memory
from semrsm.errors import SemrsmError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1b", 1), ("8000000000B", 8 * 10**9), ("2k", 2000), ("2KB", 2000), ("2 KiB", 2048),
        ("1.5M", 1_500_000), ("1.5MiB", 3 << 19), ("4g", 4 * 10**9), ("4Gi", 4 << 30), ("1TiB", 1 << 40),
        (1234, 1234),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    ("bare", "meant"),
    [("4", "4GiB"), (4, "4GiB"), (" 0.5 ", "0.5GiB"), ("8000000000", "8000000000B")],
)
def test_a_size_without_unit_is_refused_with_a_proposal(bare: object, meant: str) -> None:
    with pytest.raises(SemrsmError, match=re.escape(f"do you mean {meant}?")):
        parse_memory(bare)


def test_defaults_are_as_documented() -> None:
    options = options_of({})
    assert options == RunOptions()
    assert (options.kernel, options.matcher, options.sigma) == (("cosine",), "optimal", "median")


def test_a_kernel_named_twice_is_computed_once() -> None:
    assert options_of({"kernel": ["rbf", "linear", "rbf"]}).kernel == ("rbf", "linear")
