"""Options: sizes, slices, counts, and what is made of them."""

import pytest

from semrsm.compute.options import RunOptions, options_of
from semrsm.compute.parsers import parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1), ("1b", 1), ("2k", 2000), ("2KB", 2000), ("2 KiB", 2048), ("1.5M", 1_500_000),
        ("1.5MiB", 3 << 19), ("4g", 4 * 10**9), ("4Gi", 4 << 30), ("1TiB", 1 << 40), (123, 123),
    ],
)  # fmt: skip
def test_sizes(text: object, size: int) -> None:
    assert parse_memory(text) == size


def test_defaults_are_as_documented() -> None:
    options = options_of({})
    assert options == RunOptions()
    assert (options.kernel, options.matcher, options.sigma) == (("cosine",), "optimal", "median")


def test_a_kernel_named_twice_is_computed_once() -> None:
    assert options_of({"kernel": ["rbf", "linear", "rbf"]}).kernel == ("rbf", "linear")
