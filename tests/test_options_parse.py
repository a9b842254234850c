"""Options: sizes, slices, counts, and what is made of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.errors import SemrsmError
from semrsm.options import RunOptions, default_memory, default_threads, options_of, sample_range
from semrsm.parsers import parse_memory


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
    if expected:
        assert sample_range(samples, n) == expected
    else:
        with pytest.raises(SemrsmError, match="leaves none"):
            sample_range(samples, n)


def test_defaults_are_as_documented() -> None:
    options = options_of({})
    assert options == RunOptions()
    assert (options.kernel, options.matcher, options.sigma) == (("cosine",), "optimal", "median")
    assert default_threads() >= 1
    assert default_memory() > 2**20


def test_a_kernel_named_twice_is_computed_once() -> None:
    assert options_of({"kernel": ["rbf", "linear", "rbf"]}).kernel == ("rbf", "linear")


def test_the_memory_of_a_job_is_that_of_its_control_group_or_one_above(tmp_path: Path) -> None:
    from semrsm.options import _limits_of_this_job

    (tmp_path / "cgroup").write_text("0::/slurm/job_1/step_0\n")
    groups = tmp_path / "groups"
    (groups / "slurm" / "job_1" / "step_0").mkdir(parents=True)
    (groups / "slurm" / "job_1" / "memory.max").write_text("1000\n")
    found = [p for p in _limits_of_this_job(tmp_path / "cgroup", groups) if p.exists()]
    assert [p.read_text() for p in found] == ["1000\n"]
    (tmp_path / "old").write_text("4:memory:/slurm/job_1\n2:cpu:/x\n")
    (groups / "memory" / "slurm" / "job_1").mkdir(parents=True)
    (groups / "memory" / "slurm" / "job_1" / "memory.limit_in_bytes").write_text("2000")
    found = [p for p in _limits_of_this_job(tmp_path / "old", groups) if p.exists()]
    assert [p.read_text() for p in found] == ["2000"]
