"""The machine that this process runs on: its cores, its memory, and what this job may take of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from semrsm.errors import SemrsmError


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the model of the processor, or what is known of it."""
    with contextlib.suppress(OSError):
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if model:
            return model[1]
    return platform.processor() or platform.machine()


def default_memory() -> int:
    """Return half of the machine's memory, or of what this job may take of it, in bytes."""
    return job_memory() // 2


def job_memory() -> int:
    """Return the machine's memory, or what this job may take of it, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [limit.read_text().strip() for limit in limits_of_this_job() if limit.exists()]
    limits = [int(text) for text in texts if text.isdigit()]
    return min([physical, *limits, *memory_of_slurm_job(os.environ)])


def require_memory(what: str, needed: float, granted: int, otherwise: str) -> None:
    """Refuse what needs more memory than is granted, before it starts; all commands say it like this.

    Args:
        what: What is to be done, such as "comparing RSMs of 4000 samples".
        needed: Bytes it takes at its peak; rounded up, so that granting the number in the sentence does.
        granted: Bytes.
        otherwise: What to do where there is no more memory, such as "choose another measure".

    Raises:
        SemrsmError: It does not fit.

    >>> require_memory("drawing this", 3 << 30, 2 << 30, "choose fewer layers")
    Traceback (most recent call last):
    semrsm.errors.SemrsmError: drawing this needs 3072 MiB and `memory` grants 2048 MiB; raise `memory`
    or choose fewer layers
    """
    if needed > granted:
        raise SemrsmError(
            f"{what} needs {_size(needed, math.ceil)} and `memory` grants {_size(granted, math.floor)};"
            f" raise `memory` or {otherwise}"
        )


def _size(n_bytes: float, rounded: Callable[[float], int]) -> str:
    """Return a size as `memory` takes it, of at least two digits where there are so many."""
    units = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}
    unit = next((u for u, size in units.items() if n_bytes >= 10 * size), "KiB")
    return f"{rounded(n_bytes / units[unit])} {unit}"


def memory_of_slurm_job(environment: Mapping[str, str]) -> list[int]:
    """Return the bytes that Slurm granted this job on this node, if it says so; not every node confines.

    >>> memory_of_slurm_job({"SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "4"})
    [4194304000]
    """
    per_node, per_cpu, cpus = (
        int(text) if (text := environment.get(f"SLURM_{name}", "")).isdecimal() else 0
        for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE")
    )
    return [mebibytes << 20 for mebibytes in (per_node, per_cpu * cpus) if mebibytes]


def limits_of_this_job(
    membership: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Return the files that may limit this process's memory: its control group's and those above it."""
    limits = [groups / "memory" / "memory.limit_in_bytes"]
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = groups / controllers
            name = "memory.max" if not controllers else "memory.limit_in_bytes"
            own = root / path.strip("/")
            limits += [group / name for group in (own, *own.parents) if group.is_relative_to(root)]
    return limits


@functools.cache
def host() -> str:
    """Return what tells this system's processes from those of others: name, boot, process namespace.

    Two containers may have one name and number their processes alike; they differ in the namespace
    on one kernel, and in the boot on two.
    """
    parts = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            path = Path(source)
            parts.append(os.readlink(path) if path.is_symlink() else path.read_text().strip())
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()
    name = re.sub(r"[^A-Za-z0-9-]+", "-", platform.node())[:32]
    return f"{name}-{digest}"


def is_running(process: int) -> bool:
    """Say whether a process of this system is running, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
