"""What a job may take of its machine."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compute.parsers import parse_memory
from semrsm.errors import SemrsmError
from semrsm.machine import cores, default_memory, limits_of_this_job, require_memory


@given(needed=st.integers(2, 2**44), share=st.floats(0.1, 0.999))
def test_the_number_in_the_sentence_suffices(needed: int, share: float) -> None:
    with pytest.raises(SemrsmError, match=r"^this needs .* `memory` grants") as raised:
        require_memory("this", needed, int(needed * share), "do that")
    number = re.findall(r"needs (.*) and", str(raised.value))[0]
    require_memory("this", needed, parse_memory(number), "do that")


def test_a_machine_has_a_core_and_some_memory() -> None:
    assert cores() >= 1
    assert default_memory() > 2**20


def test_the_memory_of_a_job_is_that_of_its_control_group_or_one_above(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/slurm/job_1/step_0\n")
    groups = tmp_path / "groups"
    (groups / "slurm" / "job_1" / "step_0").mkdir(parents=True)
    (groups / "slurm" / "job_1" / "memory.max").write_text("1000\n")
    found = [p for p in limits_of_this_job(tmp_path / "cgroup", groups) if p.exists()]
    assert [p.read_text() for p in found] == ["1000\n"]
    (tmp_path / "old").write_text("4:memory:/slurm/job_1\n2:cpu:/x\n")
    (groups / "memory" / "slurm" / "job_1").mkdir(parents=True)
    (groups / "memory" / "slurm" / "job_1" / "memory.limit_in_bytes").write_text("2000")
    found = [p for p in limits_of_this_job(tmp_path / "old", groups) if p.exists()]
    assert [p.read_text() for p in found] == ["2000"]
